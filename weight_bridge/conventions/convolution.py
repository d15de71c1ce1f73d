"""Convolutions: torch stores (out, in/groups, *kernel), Flax and Haiku (*kernel, in/groups, out).

A transposed convolution is (in, out/groups, *kernel) in torch. Flax stores (*kernel, in, out) and correlates with the
kernel as it is, so its spatial axes are reversed; with `transpose_kernel=True` it stores (*kernel, out, in) and
reverses them itself. Haiku stores (*kernel, out, in) and Equinox (out, in/groups, *kernel), both reversed.
References: https://docs.jax.dev/en/latest/_autosummary/jax.lax.conv_transpose.html
"""

from __future__ import annotations

from weight_bridge._errors import Misfit
from weight_bridge.axes import Flatten, Unflatten
from weight_bridge.conventions.family import AS_IT_IS, Layout, LayoutFamily
from weight_bridge.transforms import Flip, Identity, Permute, Transform, chain
from weight_bridge.units import Unit

_RANKS = ("1d", "2d", "3d")
_HAIKU_RANKS = ("ND", "1D", "2D", "3D")
_TORCH = frozenset(f"torch.Conv{rank}" for rank in _RANKS)
_EQUINOX = frozenset({"equinox.Conv", *(f"equinox.Conv{rank}" for rank in _RANKS)})
_SPATIAL_FIRST = frozenset(
    {"nnx.Conv", "linen.Conv"}
    | {f"haiku.Conv{rank}" for rank in _HAIKU_RANKS}
    | {f"haiku.DepthwiseConv{rank}" for rank in _HAIKU_RANKS}
)
_TORCH_TRANSPOSED = frozenset(f"torch.ConvTranspose{rank}" for rank in _RANKS)
_EQUINOX_TRANSPOSED = frozenset({"equinox.ConvTranspose", *(f"equinox.ConvTranspose{rank}" for rank in _RANKS)})
_FLAX_TRANSPOSED = frozenset({"nnx.ConvTranspose", "linen.ConvTranspose"})
_HAIKU_TRANSPOSED = frozenset(f"haiku.Conv{rank}Transpose" for rank in _HAIKU_RANKS)
_WITHOUT_GROUPS = _FLAX_TRANSPOSED | _HAIKU_TRANSPOSED

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
    label = unit.members[role].label
    torch = Layout(Identity(), "(in, out, *kernel)")
    if unit.layer is not None and kind in _FLAX_TRANSPOSED:
        return (_flax_transposed(rank, flipped=not unit.layer.options.get("transpose_kernel", False)),)
    if unit.layer is not None and kind in _EQUINOX_TRANSPOSED:
        return (_equinox_transposed(rank, _groups(unit), int(str(unit.layer.options["in_channels"]))),)
    if kind in _TORCH_TRANSPOSED or unit.side == "source":
        return (torch,)
    if kind in _HAIKU_TRANSPOSED or label == "w":
        return (_haiku_transposed(rank),)
    if label == "kernel":
        return (_flax_transposed(rank, flipped=True),)
    return (torch, _flax_transposed(rank, flipped=True), _equinox_transposed(rank, 1, 0))


def _flax_transposed(rank: int, *, flipped: bool) -> Layout:
    spatial = tuple(range(2, rank))
    if not flipped:
        return Layout(Permute((*spatial, 1, 0)), "(*kernel, out, in)")
    back: Transform = chain(Permute((*spatial, 0, 1)), Flip(tuple(range(rank - 2))))
    return Layout(back, "(*kernel, in, out), reversed")


def _haiku_transposed(rank: int) -> Layout:
    back = chain(Permute((*range(2, rank), 1, 0)), Flip(tuple(range(rank - 2))))
    return Layout(back, "(*kernel, out, in), reversed")


def _equinox_transposed(rank: int, groups: int, inputs: int) -> Layout:
    """(out, in/groups, *kernel), reversed: each group's block is turned by itself."""
    spatial = tuple(range(2, rank))
    if groups == 1:
        return Layout(chain(Permute((1, 0, *spatial)), Flip(spatial)), "(out, in, *kernel), reversed")
    turned = Permute((0, 2, 1, *range(3, rank + 1)))
    blocks = chain(Unflatten(0, (groups, inputs // groups)), turned, Flatten(0, 2), Flip(spatial))
    return Layout(blocks, "(out, in/groups, *kernel), reversed")


def _groups(unit: Unit) -> int:
    """The groups of a layer, under torch's name of them or Flax's."""
    options = unit.layer.options if unit.layer is not None else {}
    return int(str(options.get("groups", options.get("feature_group_count", 1))))


def _same_groups(source: Unit, target: Unit) -> None:
    """Flax's and Haiku's own transposed convolutions have no groups; a subclass has them in `feature_group_count`."""
    kind = target.layer.kind if target.layer is not None else ""
    if source.layer is not None and _groups(source) > 1 and _groups(target) == 1 and kind in _WITHOUT_GROUPS:
        theirs = f"{'Flax' if kind in _FLAX_TRANSPOSED else 'Haiku'}'s {kind.split('.')[1]}"
        raise Misfit(f"{source.main.key}: {source.layer.kind} has groups={_groups(source)}; {theirs} has no groups")


def _rank(unit: Unit) -> int:
    rank = len(unit.members["weight"].spec.shape)
    if not 3 <= rank <= 5:
        raise Misfit(f"{unit.members['weight'].key}: a convolution kernel has 3 to 5 axes, this has {rank}")
    return rank


CONVOLUTION = LayoutFamily("convolution", _TORCH | _EQUINOX | _SPATIAL_FIRST, convolution)
CONVOLUTION_TRANSPOSED = LayoutFamily(
    "transposed convolution", _TORCH_TRANSPOSED | _EQUINOX_TRANSPOSED | _WITHOUT_GROUPS, transposed, _same_groups
)
