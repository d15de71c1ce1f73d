"""What a TiDHy is built from: every option, checked once, shared by all three versions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIMENSIONS = ("input_dim", "r_dim", "r2_dim", "mix_dim", "hyper_hid_dim", "r2_decoder_hid_dim", "max_iter")
_NOT_NEGATIVE = ("lr_r", "lr_r2", "lr_weights_inf", "tol", "lr_weights", "weight_decay", "clip_grad")


@dataclass(frozen=True, kw_only=True)
class TiDHyConfig:
    """Every option of TiDHy; the defaults are those the original project ships.

    Frozen and hashable, so that a compiled function may close over it or take it as a static argument.

    Attributes:
      input_dim: observed features D.
      r_dim: lower latents R.
      r2_dim: upper latents Q.
      mix_dim: dynamics components M.
      hyper_hid_dim: hidden width H of the hypernetwork and of the nonlinear decoder.
      r2_decoder_hid_dim: hidden width H2 of the R2 decoder; read only with `use_r2_decoder`.
      loss_type: `"MSE"`, `"BCE"` or `"Poisson"`; any other string acts as MSE, as in the original.
      nonlin_decoder: decode r with a network in place of one linear layer.
      low_rank_temp: components are U Uᵀ with U of shape (R, 2) in place of any R×R matrix.
      dyn_bias: the hypernetwork also yields a bias per lower latent.
      use_r2_decoder: pull r2 towards what a network makes of the latents before it.
      lr_r: step size for r, halved along the way.
      lr_r2: step size for r2, constant.
      temp_weight: weight of the temporal prediction error.
      L1_inf_w: weight of ‖w‖₁ during inference, summed over the batch; likewise `L1_inf_r2`, `L1_inf_r`.
      lmda_r: shrinkage of r after each update (not scaled by the step size); likewise `lmda_r2`.
      max_iter: updates at most; from 10 on, or inference of a time step refuses to run.
      tol: relative change below which a latent counts as converged.
      batch_converge: judge the batch by one norm in place of one per row.
      grad_norm_inf: balance the gradients of the inference objectives against each other.
      grad_alpha_inf: strength of that balance; `lr_weights_inf` is the step size of its weights.
      stateful: keep the last latents of a training pass as `r_state`, `r2_state`; nothing reads them.
      normalize_spatial: `normalize()` rescales each latent's weights in the decoder's first layer.
      normalize_temporal: `normalize()` rescales the components along their last axis.
      verbatim_bce: build the BCE decoder as the original does, without the sigmoid that keeps it in [0, 1].
      lr_weights: unused by the model, accepted because recorded configurations carry it; likewise
        `weight_decay`, `cos_eta`, `L1_alpha`, `L1_alpha_inf`, `L1_alpha_r2`, `grad_alpha`, `clip_grad`,
        `learning_rate_gamma`, `spat_weight`. Training reads `lr_weights`, `weight_decay`, `cos_eta`, `L1_alpha`,
        `grad_alpha` and `clip_grad`: see `TrainingConfig`.

    Raises:
      ValueError: for values that no TiDHy can have; all of them in one message.

    Example:
      >>> TiDHyConfig(r_dim=4, loss_type="Poisson").loss
      'Poisson'
      >>> TiDHyConfig(r_dim=0)
      Traceback (most recent call last):
      ...
      ValueError: TiDHyConfig: 1 option cannot be used
        r_dim: expected an integer of at least 1, got 0
    """

    input_dim: int = 6
    r_dim: int = 10
    r2_dim: int = 5
    mix_dim: int = 15
    hyper_hid_dim: int = 50
    r2_decoder_hid_dim: int = 50
    loss_type: str = "MSE"
    nonlin_decoder: bool = False
    low_rank_temp: bool = False
    dyn_bias: bool = False
    use_r2_decoder: bool = False
    lr_r: float = 0.2
    lr_r2: float = 0.2
    temp_weight: float = 2.0
    L1_inf_w: float = 0.0
    L1_inf_r2: float = 0.0
    L1_inf_r: float = 0.0
    lmda_r: float = 0.0
    lmda_r2: float = 0.0
    max_iter: int = 2000
    tol: float = 0.01
    batch_converge: bool = True
    grad_norm_inf: bool = False
    grad_alpha_inf: float = 1.0
    lr_weights_inf: float = 0.005
    stateful: bool = False
    normalize_spatial: bool = False
    normalize_temporal: bool = False
    verbatim_bce: bool = False
    lr_weights: float = 0.01
    weight_decay: float = 1e-5
    cos_eta: float = 5.0
    L1_alpha: float = 0.0
    L1_alpha_inf: float = 0.0
    L1_alpha_r2: float = 0.0
    grad_alpha: float = 0.5
    clip_grad: float = 500.0
    learning_rate_gamma: float = 0.5
    spat_weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuses, all at once, the options that cannot be used."""
        problems = [
            f"  {field.name}: expected {wanted}, got {getattr(self, field.name)!r}"
            for field in fields(self)
            if (wanted := _wanted(field.name, str(field.type), getattr(self, field.name)))
        ]
        if problems:
            count = "1 option" if len(problems) == 1 else f"{len(problems)} options"
            raise ValueError("\n".join([f"TiDHyConfig: {count} cannot be used", *problems]))

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> TiDHyConfig:
        """Builds a configuration from names and values, such as a recorded JSON object.

        Args:
          options: option names and values; those left out take their defaults.

        Returns:
          The configuration.

        Raises:
          ValueError: for names that are no option, or for values that cannot be used.

        Example:
          >>> TiDHyConfig.from_mapping({"r_dim": 4, "tol": 1e-9}).r_dim
          4
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            names, options_known = ", ".join(unknown), ", ".join(sorted(known))
            raise ValueError(f"TiDHyConfig: no option is called {names}; expected some of {options_known}")
        return cls(**options)

    @property
    def loss(self) -> Literal["MSE", "BCE", "Poisson"]:
        """The loss that `loss_type` stands for; unknown names mean MSE."""
        return self.loss_type if self.loss_type in ("BCE", "Poisson") else "MSE"  # pyright: ignore[reportReturnType]  (membership narrows to the literals)

    @property
    def bounded(self) -> bool:
        """Whether the decoder ends in a sigmoid."""
        return self.loss == "BCE" and not self.verbatim_bce

    @property
    def components_shape(self) -> tuple[int, ...]:
        """Shape of the parameter `temporal`: (M, R·R), or (M, R, 2) with `low_rank_temp`."""
        return (self.mix_dim, self.r_dim, 2) if self.low_rank_temp else (self.mix_dim, self.r_dim**2)

    @property
    def halving_period(self) -> int:
        """Number of updates after which the step size of r is halved, again and again.

        Raises:
          ValueError: if `max_iter` is below 10, where the original's schedule has no period.
        """
        if self.max_iter < 10:
            raise ValueError(
                f"TiDHy: inference of a time step needs max_iter of at least 10, got {self.max_iter}: the "
                "step size of r is halved every max_iter // 10 updates; raise max_iter, or pass one time step"
            )
        return self.max_iter // 10


def check_sequence(shape: tuple[int, ...], config: TiDHyConfig) -> None:
    """Refuses a sequence batch that is not (B, T, D) with the configured D.

    Args:
      shape: shape of the batch.
      config: the configuration.

    Raises:
      ValueError: naming the expected and the given shape.

    Example:
      >>> check_sequence((64, 200, 6), TiDHyConfig())
    """
    if len(shape) != 3 or 0 in shape or shape[2] != config.input_dim:
        raise ValueError(
            f"TiDHy: expected X of shape (batch, time, {config.input_dim}), got {tuple(shape)}; "
            "the last axis holds input_dim features and no axis may be empty"
        )


def _wanted(name: str, kind: str, value: object) -> str | None:
    """What `value` should have been, or None if it will do."""
    if kind == "bool":
        return None if isinstance(value, bool) else "True or False"
    if kind == "str":
        return None if isinstance(value, str) else 'a string such as "MSE", "BCE" or "Poisson"'
    if name in _DIMENSIONS:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        return None if fits else "an integer of at least 1"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return "a finite number"
    return "a finite number of at least 0" if name in _NOT_NEGATIVE and value < 0 else None
