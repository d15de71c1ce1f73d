"""TiDHy's outer training, Flax linen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import optax

from models.tidhy.penalties_jax import Penalised
from models.tidhy.training_jax import Measured, first_balance, gradients, optimiser, without_small

if TYPE_CHECKING:
    from jax import Array

    from models.tidhy.balance_jax import Balance
    from models.tidhy.linen import TiDHy
    from models.tidhy.training_config import TrainingConfig

Variables = dict[str, Any]


class OptimiserState(NamedTuple):
    """State of AdamW, and of the balance of the losses; None for their plain sum."""

    steps: optax.OptState
    balance: Balance | None


def optimiser_state(model: TiDHy, variables: Variables, training: TrainingConfig) -> OptimiserState:
    """What `training_step` starts from; see `training_jax.optimiser`."""
    steps = optimiser(model.config, training).init(variables["params"])
    return OptimiserState(steps, first_balance(model.config, training, like=variables["params"]["temporal"]))


def training_step(
    model: TiDHy, variables: Variables, state: OptimiserState, X: Array, training: TrainingConfig
) -> tuple[Variables, OptimiserState, Array]:
    """One update of the parameters on one batch; wrap it in `jax.jit` with `model` and `training` static.

    Args:
      model: the model.
      variables: its variables.
      state: its `optimiser_state`, or what the step before returned.
      X: (B, T, D) batch.
      training: the options.

    Returns:
      The next variables and optimiser state, and the loss () before the update: the plain sum, or with
      `grad_norm` the weighted one.

    Raises:
      ValueError: if the state was made with another `grad_norm`.
    """

    def measure(params: Any) -> Measured:
        losses: Any = model.apply(variables | {"params": params}, X)
        return Measured(losses[:4], _penalised(params))

    params = variables["params"]
    loss, slopes, balance, _ = gradients(measure, params, state.balance, model.config, training)
    updates, steps = optimiser(model.config, training).update(slopes, state.steps, params)
    params: Any = optax.apply_updates(params, updates)
    params = params | {"temporal": without_small(params["temporal"], training)}
    return model.normalize(variables | {"params": params}), OptimiserState(steps, balance), loss


def _penalised(params: Any) -> Penalised:
    decoder, network = params["spatial_decoder"], params["hypernet"]
    kernels = (decoder["layers_0"], network["layers_0"], network["layers_4"])
    return Penalised(params["temporal"], *(layer["kernel"] for layer in kernels))
