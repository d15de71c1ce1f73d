"""TiDHy's outer training, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flax import nnx

from models.tidhy.penalties_jax import Penalised
from models.tidhy.training_jax import Measured, first_balance, gradients, without_small
from models.tidhy.training_jax import optimiser as transformation

if TYPE_CHECKING:
    from jax import Array

    from models.tidhy.balance_jax import Balance
    from models.tidhy.nnx import TiDHy
    from models.tidhy.training_config import TrainingConfig


class Optimiser(nnx.Module):
    """What updates the parameters, itself updated by each step: AdamW and, with `grad_norm`, the balance of losses.

    Args:
      model: the model.
      training: the options; see `training_jax.optimiser`.
    """

    def __init__(self, model: TiDHy, training: TrainingConfig) -> None:
        self.steps = nnx.Optimizer(model, transformation(model.config, training), wrt=nnx.Param)
        self.balance: Balance | None = nnx.data(first_balance(model.config, training, like=model.temporal[...]))


def training_step(model: TiDHy, updates: Optimiser, X: Array, training: TrainingConfig) -> Array:
    """One update of the parameters on one batch; wrap it in `nnx.jit` with `training` static.

    Args:
      model: the model, updated in place.
      updates: its `Optimiser`, updated in place.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      The loss () before the update: the plain sum, or with `grad_norm` the weighted one.

    Raises:
      ValueError: if the optimiser was made with another `grad_norm`.
    """
    graphdef, params, others = nnx.split(model, nnx.Param, ...)

    def measure(params: Any) -> Measured:
        copy = nnx.merge(graphdef, params, others)
        losses = copy(X)[:4]
        return Measured(losses, _penalised(copy), (copy.r_state, copy.r2_state))

    loss, slopes, updates.balance, latents = gradients(measure, params, updates.balance, model.config, training)
    model.r_state, model.r2_state = latents
    updates.steps.update(model, slopes)
    model.temporal[...] = without_small(model.temporal[...], training)
    model.normalize()
    return loss


def _penalised(model: TiDHy) -> Penalised:
    decoder: Any = model.spatial_decoder.layers[0]
    first: Any = model.hypernet.layers[0]
    last: Any = model.hypernet.layers[4]
    return Penalised(model.temporal[...], decoder.kernel[...], first.kernel[...], last.kernel[...])
