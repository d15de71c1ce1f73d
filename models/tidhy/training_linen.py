"""TiDHy's outer training, Flax linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import optax

from models.tidhy.training_jax import Penalised, optimiser, penalty, without_small

if TYPE_CHECKING:
    from jax import Array

    from models.tidhy.linen import TiDHy
    from models.tidhy.training_config import TrainingConfig

Variables = dict[str, Any]


def training_step(
    model: TiDHy, variables: Variables, state: optax.OptState, X: Array, training: TrainingConfig
) -> tuple[Variables, optax.OptState, Array]:
    """One update of the parameters on one batch; wrap it in `jax.jit` with `model` and `training` static.

    Args:
      model: the model.
      variables: its variables.
      state: what `optimiser(model.config, training).init(variables["params"])` starts as.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      The next variables and optimiser state, and the loss () before the update.
    """
    steps = optimiser(model.config, training)
    loss, gradients = jax.value_and_grad(training_loss, argnums=1)(model, variables, X, training)
    updates, state = steps.update(gradients["params"], state, variables["params"])
    params: Any = optax.apply_updates(variables["params"], updates)
    params = params | {"temporal": without_small(params["temporal"], training)}
    return model.normalize(variables | {"params": params}), state, loss


def training_loss(model: TiDHy, variables: Variables, X: Array, training: TrainingConfig) -> Array:
    """Plain sum of the losses of `forward` and of the active regularisers: (B, T, D) → ()."""
    losses: Any = model.apply(variables, X)
    rhat, rbar, temp, r2_losses, _, _ = losses
    return rhat + rbar + temp + r2_losses + penalty(_penalised(variables), model.config, training)


def _penalised(variables: Variables) -> Penalised:
    params = variables["params"]
    decoder, network = params["spatial_decoder"], params["hypernet"]
    kernels = (decoder["layers_0"], network["layers_0"], network["layers_4"])
    return Penalised(params["temporal"], *(layer["kernel"] for layer in kernels))
