"""Normalisations: gain, offset and statistics are stored alike everywhere, under each library's names."""

from __future__ import annotations

from weight_bridge.conventions.family import AS_IT_IS, Layout, LayoutFamily
from weight_bridge.units import Unit

_PER_SAMPLE = ("LayerNorm", "RMSNorm", "GroupNorm")


def layouts(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns the one layout there is."""
    del unit, role
    return (AS_IT_IS,)


NORMALIZATION = LayoutFamily(
    "normalisation",
    frozenset(
        {f"{library}.{name}" for library in ("torch", "nnx", "linen", "equinox", "haiku") for name in _PER_SAMPLE}
        | {
            "torch.InstanceNorm1d",
            "torch.InstanceNorm2d",
            "torch.InstanceNorm3d",
            "nnx.InstanceNorm",
            "linen.InstanceNorm",
        }
    ),
    layouts,
)
BATCH_NORMALIZATION = LayoutFamily(
    "batch normalisation",
    frozenset(
        {"torch.BatchNorm1d", "torch.BatchNorm2d", "torch.BatchNorm3d", "torch.SyncBatchNorm"}
        | {"nnx.BatchNorm", "linen.BatchNorm", "haiku.BatchNorm", "equinox.BatchNorm"}
    ),
    layouts,
)
