"""Convolutions: torch stores (out, in/groups, *kernel), Flax and Haiku (*kernel, in/groups, out).

A transposed convolution is (in, out/groups, *kernel) in torch. Flax stores (*kernel, in, out) and correlates with the
kernel as it is, so its spatial axes are reversed; with `transpose_kernel=True` it stores (*kernel, out, in) and
reverses them itself.
References: https://docs.jax.dev/en/latest/_autosummary/jax.lax.conv_transpose.html
"""

from __future__ import annotations

from weight_bridge._errors import Misfit
from weight_bridge.conventions.family import AS_IT_IS, Layout, LayoutFamily
from weight_bridge.transforms import Flip, Identity, Permute, Transform, chain
from weight_bridge.units import Unit

_TORCH = frozenset({"torch.Conv1d", "torch.Conv2d", "torch.Conv3d"})
_EQUINOX = frozenset({"equinox.Conv", "equinox.Conv1d", "equinox.Conv2d", "equinox.Conv3d"})
_SPATIAL_FIRST = frozenset({"nnx.Conv", "linen.Conv", "haiku.ConvND", "haiku.Conv1D", "haiku.Conv2D", "haiku.Conv3D"})
_TORCH_TRANSPOSED = frozenset({"torch.ConvTranspose1d", "torch.ConvTranspose2d", "torch.ConvTranspose3d"})
_FLAX_TRANSPOSED = frozenset({"nnx.ConvTranspose", "linen.ConvTranspose"})

CHANNELS_FIRST = Layout(Identity(), "(out, in, *kernel)")


def _spatial_first(rank: int) -> Layout:
    return Layout(Permute((*range(2, rank), 1, 0)), "(*kernel, in, out)")


def convolution(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns how a convolution may store a role."""
    if role != "weight":
        return (AS_IT_IS,)
    rank = _rank(unit)
    kind = unit.layer.kind if unit.layer else ""
    label = unit.members[role].label
    if kind in _TORCH | _EQUINOX:
        return (CHANNELS_FIRST,)
    if kind in _SPATIAL_FIRST or label in {"kernel", "w"}:
        return (_spatial_first(rank),)
    return (CHANNELS_FIRST,) if unit.side == "source" else (CHANNELS_FIRST, _spatial_first(rank))


def transposed(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns how a transposed convolution may store a role."""
    if role != "weight":
        return (AS_IT_IS,)
    rank = _rank(unit)
    kind = unit.layer.kind if unit.layer else ""
    torch = Layout(Identity(), "(in, out, *kernel)")
    if unit.layer is not None and kind in _FLAX_TRANSPOSED:
        return (_flax_transposed(rank, flipped=not unit.layer.options.get("transpose_kernel", False)),)
    if kind in _TORCH_TRANSPOSED or unit.side == "source":
        return (torch,)
    if unit.members[role].label == "kernel":
        return (_flax_transposed(rank, flipped=True),)
    return (torch, _flax_transposed(rank, flipped=True))


def _flax_transposed(rank: int, *, flipped: bool) -> Layout:
    spatial = tuple(range(2, rank))
    if not flipped:
        return Layout(Permute((*spatial, 1, 0)), "(*kernel, out, in)")
    back: Transform = chain(Permute((*spatial, 0, 1)), Flip(tuple(range(rank - 2))))
    return Layout(back, "(*kernel, in, out), reversed")


def _groups(unit: Unit) -> int:
    """The groups of a layer, under torch's name of them or Flax's."""
    options = unit.layer.options if unit.layer is not None else {}
    return int(str(options.get("groups", options.get("feature_group_count", 1))))


def _same_groups(source: Unit, target: Unit) -> None:
    """Flax's own transposed convolution has no groups; a subclass has them in `feature_group_count`."""
    known = target.layer is not None and target.layer.kind in _FLAX_TRANSPOSED
    if source.layer is not None and known and _groups(source) > 1 and _groups(target) == 1:
        kind, groups = source.layer.kind, _groups(source)
        raise Misfit(f"{source.main.key}: {kind} has groups={groups}; Flax's ConvTranspose has no groups")


def _rank(unit: Unit) -> int:
    rank = len(unit.members["weight"].spec.shape)
    if not 3 <= rank <= 5:
        raise Misfit(f"{unit.members['weight'].key}: a convolution kernel has 3 to 5 axes, this has {rank}")
    return rank


CONVOLUTION = LayoutFamily("convolution", _TORCH | _EQUINOX | _SPATIAL_FIRST, convolution)
CONVOLUTION_TRANSPOSED = LayoutFamily(
    "transposed convolution", _TORCH_TRANSPOSED | _FLAX_TRANSPOSED, transposed, _same_groups
)
