"""What TiDHy's outer training is set up with, shared by all versions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Options of the outer training that are not already the model's.

    The model's own `weight_decay`, `cos_eta`, `L1_alpha`, `normalize_spatial` and `normalize_temporal` apply too.

    Attributes:
      learning_rate_s: step size of the decoder; `learning_rate_t` that of `temporal` and `temporal_bias`,
        `learning_rate_h` that of the hypernetwork. The R2 decoder belongs to no group: it is never trained.
      halve_every: updates after which all step sizes are halved, again and again; 0 for never. The original
        halves them every `num_epochs // 5` epochs.
      L0_alpha: if not 0, entries of `temporal` below 1e-4 become 0 after each update, and their number counts
        in the loss, weighted by the model's `L1_alpha`.
      Lnuc_alpha: weight of the components' nuclear norms.
      L1_alpha_W: weight of the L1 norm of the hypernetwork's last layer; likewise `L1_alpha_spat` for the
        decoder's first.
      Orth_alpha_spat: weight of the distance of the decoder's first layer from orthonormal columns.
      Orth_alpha_r2: weight of the similarity of the columns of the hypernetwork's first layer.

    Raises:
      ValueError: for values that cannot be used; all of them in one message.

    Example:
      >>> TrainingConfig(halve_every=100).learning_rate_h
      0.001
    """

    learning_rate_s: float = 0.01
    learning_rate_t: float = 0.01
    learning_rate_h: float = 0.001
    halve_every: int = 0
    L0_alpha: float = 0.0
    Lnuc_alpha: float = 0.0
    L1_alpha_W: float = 0.0
    L1_alpha_spat: float = 0.0
    Orth_alpha_spat: float = 0.0
    Orth_alpha_r2: float = 0.0

    def __post_init__(self) -> None:
        """Refuses, all at once, the options that cannot be used."""
        problems = [
            f"  {field.name}: expected a finite number of at least 0, got {value!r}"
            for field in fields(self)
            if not _usable(value := getattr(self, field.name))
        ]
        if problems:
            raise ValueError("\n".join(["TrainingConfig: these options cannot be used", *problems]))


def _usable(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0
