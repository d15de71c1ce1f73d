"""TiDHy's outer training, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flax import nnx

from models.tidhy.training_jax import Penalised, penalty, without_small
from models.tidhy.training_jax import optimiser as transformation

if TYPE_CHECKING:
    from jax import Array

    from models.tidhy.nnx import TiDHy
    from models.tidhy.training_config import TrainingConfig


def optimiser(model: TiDHy, training: TrainingConfig) -> nnx.Optimizer:
    """AdamW over decoder, dynamics and hypernetwork; see `training_jax.optimiser`."""
    return nnx.Optimizer(model, transformation(model.config, training), wrt=nnx.Param)


def training_step(model: TiDHy, steps: nnx.Optimizer, X: Array, training: TrainingConfig) -> Array:
    """One update of the parameters on one batch; wrap it in `nnx.jit` with `training` static.

    Args:
      model: the model, updated in place.
      steps: its `optimiser`, updated in place.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      The loss () before the update.
    """
    loss, gradients = nnx.value_and_grad(training_loss)(model, X, training)
    steps.update(model, gradients)
    model.temporal[...] = without_small(model.temporal[...], training)
    model.normalize()
    return loss


def training_loss(model: TiDHy, X: Array, training: TrainingConfig) -> Array:
    """Plain sum of the losses of `forward` and of the active regularisers: (B, T, D) → ()."""
    rhat, rbar, temp, r2_losses, _, _ = model(X)
    return rhat + rbar + temp + r2_losses + penalty(_penalised(model), model.config, training)


def _penalised(model: TiDHy) -> Penalised:
    decoder: Any = model.spatial_decoder.layers[0]
    first: Any = model.hypernet.layers[0]
    last: Any = model.hypernet.layers[4]
    return Penalised(model.temporal[...], decoder.kernel[...], first.kernel[...], last.kernel[...])
