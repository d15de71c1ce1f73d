"""What TiDHy's outer training is set up with, shared by all versions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.tidhy.config import TiDHyConfig


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Options of the outer training that are not already the model's.

    The model's own `weight_decay`, `cos_eta`, `L1_alpha`, `clip_grad`, `normalize_spatial` and
    `normalize_temporal` apply too, and with `grad_norm` also `grad_alpha` and `lr_weights`.

    Attributes:
      learning_rate_s: step size of the decoder; `learning_rate_t` that of `temporal` and `temporal_bias`,
        `learning_rate_h` that of the hypernetwork. The R2 decoder belongs to no group: it is never trained.
      grad_norm: balance the losses of `forward` by the norms of their gradients, in place of their plain sum. The
        model's `grad_alpha` is the strength of that balance, `lr_weights` the step size of its weights and
        `weight_decay` their decay too.
      halve_every: updates after which all step sizes are halved, again and again; 0 for never. The original
        halves them every `num_epochs // 5` epochs.
      L0_alpha: if not 0, entries of `temporal` below 1e-4 become 0 after each update, and their number counts
        in the loss, weighted by the model's `L1_alpha`.
      Lnuc_alpha: weight of the components' nuclear norms.
      L1_alpha_W: weight of the L1 norm of the hypernetwork's last layer, left out with `grad_norm`, as in the
        original; likewise `L1_alpha_spat` for the decoder's first, which is not left out.
      Orth_alpha_spat: weight of the distance of the decoder's first layer from orthonormal columns.
      Orth_alpha_r2: weight of the similarity of the columns of the hypernetwork's first layer.

    Raises:
      ValueError: for values that cannot be used; all of them in one message.

    Example:
      >>> TrainingConfig(halve_every=100).learning_rate_h
      0.001
    """

    grad_norm: bool = False
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
            f"  {field.name}: expected {wanted}, got {getattr(self, field.name)!r}"
            for field in fields(self)
            if (wanted := _wanted(str(field.type), getattr(self, field.name)))
        ]
        if problems:
            raise ValueError("\n".join(["TrainingConfig: these options cannot be used", *problems]))


def balanced_groups(config: TiDHyConfig, training: TrainingConfig) -> tuple[tuple[str, ...], ...]:
    """For each loss that `grad_norm` balances, the attributes of the model whose gradients say how strong it is.

    The losses are those of r̂, of r̄, the temporal loss and, with the R2 decoder, its loss. For the last, an active L0
    or L1 regulariser puts its own group in the place of the hypernetwork, as in the original.

    Args:
      config: the model's configuration.
      training: the options.

    Returns:
      The groups; `temporal_bias` and the R2 decoder are in none.

    Example:
      >>> from models.tidhy.config import TiDHyConfig
      >>> balanced_groups(TiDHyConfig(), TrainingConfig())
      (('spatial_decoder',), ('spatial_decoder', 'temporal'), ('temporal', 'hypernet'))
    """
    groups = (("spatial_decoder",), ("spatial_decoder", "temporal"), ("temporal", "hypernet"))
    if not config.use_r2_decoder:
        return groups
    if training.L0_alpha or config.L1_alpha:
        return (*groups, ("temporal",))
    return (*groups, ("spatial_decoder",) if training.L1_alpha_spat else ("hypernet",))


def check_started(training: TrainingConfig, *, balanced: bool) -> None:
    """Refuses to train with `grad_norm` what was set up without it, or the other way round.

    Args:
      training: what a step is asked to train with.
      balanced: whether the optimiser holds a balance.

    Raises:
      ValueError: if they differ.

    Example:
      >>> check_started(TrainingConfig(grad_norm=True), balanced=True)
    """
    if training.grad_norm != balanced:
        raise ValueError(
            f"TiDHy: training_step was given grad_norm={training.grad_norm}, but its optimiser was made with "
            f"grad_norm={balanced}; make it and train with the same TrainingConfig"
        )


def _wanted(kind: str, value: object) -> str | None:
    """What `value` should have been, or None if it will do."""
    if kind == "bool":
        return None if isinstance(value, bool) else "True or False"
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return None if usable else "a finite number of at least 0"
