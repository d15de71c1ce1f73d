"""Know-how on layers, one file per family. A new layer is a row in a file, a new family a file and a row here."""

from __future__ import annotations

from weight_bridge._errors import Misfit
from weight_bridge.conventions.activation import SLOPE
from weight_bridge.conventions.bilinear import BILINEAR
from weight_bridge.conventions.convolution import CONVOLUTION, CONVOLUTION_TRANSPOSED
from weight_bridge.conventions.embedding import EMBEDDING
from weight_bridge.conventions.family import Draft, Family
from weight_bridge.conventions.linear import LINEAR
from weight_bridge.conventions.normalization import BATCH_NORMALIZATION, NORMALIZATION
from weight_bridge.conventions.parameter import PARAMETER
from weight_bridge.conventions.projections import PROJECTION_GROUP
from weight_bridge.conventions.recurrent import RECURRENT_CELL
from weight_bridge.conventions.reparametrization import as_kept
from weight_bridge.names import words
from weight_bridge.units import VALUE, Unit

__all__ = ["FAMILIES", "Draft", "Family", "draft"]

FAMILIES: tuple[Family, ...] = (
    LINEAR,
    CONVOLUTION,
    CONVOLUTION_TRANSPOSED,
    NORMALIZATION,
    BATCH_NORMALIZATION,
    EMBEDDING,
    SLOPE,
    BILINEAR,
    PARAMETER,
    RECURRENT_CELL,
    PROJECTION_GROUP,
)
_BY_KIND = {kind: family for family in FAMILIES for kind in family.kinds}
_BY_NAME = {family.name: family for family in FAMILIES}


def draft(source: Unit, target: Unit) -> tuple[Draft, ...]:
    """Returns how a source unit fills a target unit, as far as their roles go.

    Args:
      source: a layer of the checkpoint.
      target: a layer of the model.

    Returns:
      One draft per tensor or group of tensors.

    Raises:
      Misfit: types or shapes rule it out.
      Undecided: several transforms fit.
    """
    source = as_kept(source, target)
    return _family(source, target).draft(source, target)


def _family(source: Unit, target: Unit) -> Family:
    """By what gathered the units, the types on both sides, the type on one, else by what labels and shapes suggest."""
    if source.family != target.family:
        raise Misfit(f"{source.where} and {target.where} are gathered otherwise")
    if source.family is not None:
        return _BY_NAME[source.family]
    if VALUE in source.members or VALUE in target.members:
        return PARAMETER
    ours, theirs = _typed(source), _typed(target)
    if ours is not None and theirs is not None and ours is not theirs:
        kinds = f"{theirs.name} ({target.layer}), {source.main.key} of {ours.name} ({source.layer})"
        raise Misfit(f"{target.main.key}: part of {kinds}")
    return ours or theirs or _suggested(source, target)


def _typed(unit: Unit) -> Family | None:
    return _BY_KIND.get(unit.layer.kind) if unit.layer is not None else None


def _suggested(source: Unit, target: Unit) -> Family:
    if "mean" in target.members or "mean" in source.members:
        return BATCH_NORMALIZATION
    if "weight" not in target.members or "weight" not in source.members:
        return NORMALIZATION
    weight = target.members["weight"]
    if weight.label in {"embedding", "embeddings"}:
        return EMBEDDING
    if weight.label in {"scale", "gamma"} or len(source.members["weight"].spec.shape) < 2:
        return NORMALIZATION
    if len(weight.spec.shape) < 3 or len(source.members["weight"].spec.shape) < 3:
        return LINEAR
    said = {word for token in (*source.tokens, *target.tokens) for word in words(token)}
    return (
        CONVOLUTION_TRANSPOSED
        if said & {"transpose", "transposed", "deconv", "convtranspose", "upconv"}
        else CONVOLUTION
    )
