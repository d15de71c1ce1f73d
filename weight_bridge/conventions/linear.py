"""Linear layers: torch and Equinox store (out, in), Flax and Haiku (in, out), their general ones with axes apart."""

from __future__ import annotations

from weight_bridge._errors import Misfit
from weight_bridge.axes import Unflatten
from weight_bridge.conventions.family import AS_IT_IS, Layout, LayoutFamily, dense
from weight_bridge.structure import Layer
from weight_bridge.transforms import Identity, Permute, chain
from weight_bridge.units import Unit

OUT_IN = Layout(Identity(), "(out, in)")
IN_OUT = Layout(Permute((1, 0)), "(in, out)")

_OUT_IN = frozenset(
    {"torch.Linear", "torch.NonDynamicallyQuantizableLinear", "torch.MultiheadAttention", "equinox.Linear"}
)
IN_OUT_KINDS = frozenset({"nnx.Linear", "nnx.LoRALinear", "linen.Dense", "haiku.Linear", "transformers.Conv1D"})
_GENERAL = frozenset({"nnx.LinearGeneral", "linen.DenseGeneral"})


def layouts(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns how a unit may store a role: by its type, else by its label."""
    member = unit.members[role]
    if role == "bias" and unit.side == "target" and len(dense(member.spec.shape)) > 1:
        return (AS_IT_IS, Layout(Unflatten(0, member.spec.shape), "outputs apart"))
    if role != "weight":
        return (AS_IT_IS,)
    if unit.layer is not None and unit.layer.kind in _GENERAL:
        return (_apart(member.spec.shape, _inputs(unit.layer, len(member.spec.shape))),)
    if unit.layer is not None and unit.layer.kind in _OUT_IN:
        return (OUT_IN,)
    if unit.layer is not None and unit.layer.kind in IN_OUT_KINDS:
        return (IN_OUT,)
    if member.label in {"kernel", "w"}:
        return tuple(_apart(member.spec.shape, inputs) for inputs in _ranks_of_inputs(member.spec.shape))
    if unit.side == "source":  # a torch module may store (in, out): GPT-2's Conv1D does
        return (OUT_IN, Layout(IN_OUT.transform, IN_OUT.name, exception=True))
    return (OUT_IN, IN_OUT)


def _ranks_of_inputs(shape: tuple[int, ...]) -> list[int]:
    """How many axes of a kernel may be inputs; an axis of one at the border counts as an output's."""
    return [rank for rank in range(1, len(shape)) if rank == 1 or shape[rank - 1] != 1]


def _apart(shape: tuple[int, ...], inputs: int) -> Layout:
    """(in, out) with the inputs' and the outputs' axes apart: heads and their features."""
    parts = [Unflatten(1, shape[inputs:])] if len(shape) - inputs > 1 else []
    parts += [Unflatten(0, shape[:inputs])] if inputs > 1 else []
    return Layout(chain(IN_OUT.transform, *parts), "(in, out)" + ", axes apart" * bool(parts))


def _inputs(layer: Layer, rank: int) -> int:
    """How many axes of a general layer's kernel are inputs."""
    if layer.options.get("batch_axis") or layer.options.get("batch_dims"):
        raise Misfit(f"{layer} has batch axes in its kernel, for which there is no convention")
    out = layer.options.get("out_features", layer.options.get("features"))
    return rank - (len(out) if isinstance(out, tuple) else 1)


LINEAR = LayoutFamily("linear", _OUT_IN | IN_OUT_KINDS | _GENERAL, layouts)
