"""Linear layers: torch and Equinox store (out, in), Flax and Haiku (in, out)."""

from __future__ import annotations

from weight_bridge.conventions.family import AS_IT_IS, Layout, LayoutFamily
from weight_bridge.transforms import Identity, Permute
from weight_bridge.units import Unit

OUT_IN = Layout(Identity(), "(out, in)")
IN_OUT = Layout(Permute((1, 0)), "(in, out)")

_OUT_IN = frozenset({"torch.Linear", "torch.NonDynamicallyQuantizableLinear", "equinox.Linear"})
_IN_OUT = frozenset({"nnx.Linear", "nnx.LoRALinear", "linen.Dense", "haiku.Linear", "transformers.Conv1D"})


def layouts(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns how a unit may store a role: by its type, else by its label."""
    if role != "weight":
        return (AS_IT_IS,)
    if unit.layer is not None and unit.layer.kind in _OUT_IN:
        return (OUT_IN,)
    if unit.layer is not None and unit.layer.kind in _IN_OUT:
        return (IN_OUT,)
    if unit.members[role].label in {"kernel", "w"}:
        return (IN_OUT,)
    if unit.side == "source":  # a torch module may store (in, out): GPT-2's Conv1D does
        return (OUT_IN, Layout(IN_OUT.transform, IN_OUT.name, exception=True))
    return (OUT_IN, IN_OUT)


LINEAR = LayoutFamily("linear", _OUT_IN | _IN_OUT, layouts)
