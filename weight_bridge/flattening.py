"""Linear layers behind flattened convolutions: torch counts (channel, row, column), channels last counts otherwise.

The kernel has one shape either way, so that no shape tells; a declaration does. Layers whose inputs another layer is
known to make, targets that keep channels first, and inputs that are as many as the channels need none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from weight_bridge._errors import Misfit
from weight_bridge.axes import Regroup
from weight_bridge.conventions import Draft
from weight_bridge.conventions.linear import IN_OUT_KINDS
from weight_bridge.pairing import Match, Question
from weight_bridge.structure import Layer
from weight_bridge.transforms import Identity, chain
from weight_bridge.units import Unit

_POOLED = ("BatchNorm2d", "BatchNorm3d", "GroupNorm")


def undeclared(matches: Sequence[Match], names: Iterable[str], modules: Iterable[str]) -> list[Question]:
    """Returns a question for each linear layer that may follow flattened channels which the target has last.

    Args:
      matches: what inference found, without what a mapping pairs.
      names: of the checkpoint's tensors, in its order.
      modules: names of the source's modules, as far as known, in their order.
    """
    places = {name: place for place, name in enumerate(names)}
    if list(places) == sorted(places):  # sorted names tell nothing about what follows what
        places = {name: place for place, name in enumerate(modules)}
    told = all(_place(found, places) >= 0 for found in matches)
    convolutions = [found for found in matches if _turns_channels(found)]
    linear = [found for found in matches if _is_linear(found)]
    questions: list[Question] = []
    for found in linear if convolutions else []:
        behind = [other for other in convolutions if not told or _place(other, places) < _place(found, places)]
        behind = behind[-1:] if told else behind
        width = _inputs(found.source)
        near = next((o for o in behind if _channels(o.source) < width and width % _channels(o.source) == 0), None)
        if near is None or any(_makes(other, found, places, told=told) for other in matches if other is not found):
            continue
        questions.append(Question(found.source, found.target, _line(found, near, width)))
    return questions


def channels_last(drafts: Sequence[Draft], source: Unit, channels: int) -> tuple[Draft, ...]:
    """Returns drafts of a linear layer with its inputs turned from (channel, place) to (place, channel).

    Raises:
      Misfit: it is no linear layer, or its inputs are no multiple of the channels.
    """
    weight = source.members.get("weight")
    width = _inputs(source) if weight is not None and len(weight.spec.shape) == 2 else 0
    if not width or channels < 1 or width % channels or source.family is not None:
        what = f"a linear layer of a multiple of {channels} inputs"
        raise Misfit(f"{source.where}: channels_last = {channels} goes with {what}")
    turned = Regroup(0 if _stores_inputs_first(source) else 1, (channels, width // channels), (1, 0))
    why = f"{channels} channels turned last"
    return tuple(
        replace(part, transform=chain(turned, part.transform), why=f"{part.why}; {why}")
        if part.sources == source.members["weight"].names
        else part
        for part in drafts
    )


def _line(found: Match, near: Match, width: int) -> str:
    channels, source, target = _channels(near.source), found.source, found.target
    return (
        f"{target.main.key} from {source.main.key} {list(source.main.spec.shape)}: its {width} inputs may be "
        f"{channels} channels of {near.source.where} × {width // channels} places, which torch flattens channels first "
        "and the target perhaps channels last; nothing tells. A [[layer]] of --mapping with "
        f'source = "{source.where}", target = "{target.where}" takes it as it stands, '
        f"channels_last = {channels} beside these turns it"
    )


def _is_linear(found: Match) -> bool:
    """Whether a match is of two linear layers, as far as is known."""
    layers = [unit.layer.kind for unit in (found.source, found.target) if unit.layer is not None]
    labelled = found.target.main.label not in {"embedding", "embeddings"}
    named = all("Embed" not in kind and "Bilinear" not in kind for kind in layers)
    return found.source.family is None and "weight" in found.source.members and _rank(found) == 2 and labelled and named


def _turns_channels(found: Match) -> bool:
    """Whether a match is of convolutions of which the target stores, and so has, channels last."""
    if _rank(found) < 3 or found.source.family is not None or "weight" not in found.source.members:
        return False
    if found.target.layer is not None and found.target.layer.options.get("channels_first") is True:
        return False
    weight = found.source.members["weight"].names
    return any(part.sources == weight and not isinstance(part.transform, Identity) for part in found.drafts)


def _makes(other: Match, found: Match, places: Mapping[str, int], *, told: bool) -> bool:
    """Whether another layer is known to make a linear layer's inputs: as many, or twice as many for a gate."""
    width, unit = _inputs(found.source), other.source
    kind = unit.layer.kind if unit.layer is not None else ""
    if kind.endswith(_POOLED) and math.prod(unit.main.spec.shape) == width:
        return True
    if _rank(other) < 2 or "weight" not in unit.members:
        return unit.family is not None and any(width == member.spec.shape[-1] for member in unit.members.values())
    shape = unit.main.spec.shape
    widths = {_channels(unit)} if len(shape) > 2 else set(shape if not _is_linear(other) else {_outputs(unit)})
    if width not in widths and 2 * width not in widths:
        return False
    block = _block(unit, found.source)
    return block or (told and _place(other, places) < _place(found, places))


def _block(one: Unit, other: Unit) -> bool:
    """Whether two layers have one parent, or lie in one numbered part of the model."""
    if one.tokens[:-1] == other.tokens[:-1]:
        return True
    shared = [a for a, b in zip(one.tokens, other.tokens, strict=False) if a == b]
    common = one.tokens[: len(shared)] if tuple(shared) == one.tokens[: len(shared)] else ()
    return any(token.isdigit() for token in common)


def _place(found: Match, places: Mapping[str, int]) -> int:
    unit = found.source
    return places.get(unit.where, places.get(unit.main.names[0], -1))


def _rank(found: Match) -> int:
    return len(found.source.main.spec.shape)


def _stores_inputs_first(unit: Unit) -> bool:
    return unit.layer is not None and unit.layer.kind in IN_OUT_KINDS


def _inputs(unit: Unit) -> int:
    return unit.main.spec.shape[0 if _stores_inputs_first(unit) else 1]


def _outputs(unit: Unit) -> int:
    return unit.main.spec.shape[1 if _stores_inputs_first(unit) else 0]


def _channels(unit: Unit) -> int:
    """Channels that a convolution gives: its biases', else its kernel's first axis, the second of a transposed one."""
    if "bias" in unit.members:
        return max(1, math.prod(unit.members["bias"].spec.shape))
    layer: Layer | None = unit.layer
    return unit.main.spec.shape[int(layer is not None and "ConvTranspose" in layer.kind)]
