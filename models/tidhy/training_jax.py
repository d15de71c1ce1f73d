"""TiDHy's outer training, JAX: optimiser and gradients as pure functions, for linen and NNX alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from models.tidhy.balance_jax import Balance, balanced_gradients, initial_balance
from models.tidhy.losses_jax import norm
from models.tidhy.penalties_jax import Penalised, penalties
from models.tidhy.training_config import balanced_groups, check_started

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from jax import Array

    from models.tidhy.config import TiDHyConfig
    from models.tidhy.training_config import TrainingConfig

_GROUPS = {
    "spatial_decoder": "decoder",
    "temporal": "dynamics",
    "temporal_bias": "dynamics",
    "hypernet": "hypernetwork",
    "R2_Decoder": "untrained",
}


class Measured(NamedTuple):
    """What training needs of one pass: the first four values of `forward`, the penalised arrays, the model's state."""

    losses: tuple[Array, ...]
    weights: Penalised
    state: Any = None


def optimiser(config: TiDHyConfig, training: TrainingConfig) -> optax.GradientTransformation:
    """AdamW over decoder, dynamics and hypernetwork, each with its own step size, on clipped gradients.

    Args:
      config: the model's configuration.
      training: the step sizes.

    Returns:
      The transformation, for a tree whose first keys are the model's attributes (linen's `params`, or the
      `nnx.Param` state). The R2 decoder is left as it is, as in the original.

    Example:
      >>> from models.tidhy.config import TiDHyConfig
      >>> from models.tidhy.training_config import TrainingConfig
      >>> steps = optimiser(TiDHyConfig(weight_decay=0.0), TrainingConfig())
      >>> params = {"temporal": jnp.zeros(2)}
      >>> updates, _ = steps.update({"temporal": jnp.ones(2)}, steps.init(params), params)
      >>> bool(jnp.allclose(updates["temporal"], -0.01))
      True

    References:
      Loshchilov & Hutter, Decoupled weight decay regularization, 2019.
    """
    rates = {
        "decoder": training.learning_rate_s,
        "dynamics": training.learning_rate_t,
        "hypernetwork": training.learning_rate_h,
    }
    steps: dict[Hashable, optax.GradientTransformation] = {
        # weight decay written out: torch's own default is 1e-2, optax's 1e-4
        group: optax.adamw(_halved(rate, training), 0.9, 0.999, 1e-8, weight_decay=config.weight_decay)
        for group, rate in rates.items()
    }
    steps["untrained"] = optax.set_to_zero()
    return optax.chain(_clipped(config.clip_grad), optax.multi_transform(steps, _groups))


def first_balance(config: TiDHyConfig, training: TrainingConfig, like: Array) -> Balance | None:
    """The balance that training with `grad_norm` starts from, of the dtype of `like`; None without it."""
    return initial_balance(len(balanced_groups(config, training)), like) if training.grad_norm else None


def gradients(
    measure: Callable[[Any], Measured],
    params: Any,
    balance: Balance | None,
    config: TiDHyConfig,
    training: TrainingConfig,
) -> tuple[Array, Any, Balance | None, Any]:
    """What one update of the parameters follows.

    Args:
      measure: one pass over a batch, as a function of the parameters.
      params: the parameters, in a tree whose first keys are the model's attributes.
      balance: the balance of the losses that the step before left; None for their plain sum.
      config: the model's configuration.
      training: the options.

    Returns:
      The loss () before the update (the plain sum, or the weighted one), the gradients, the next balance, and
      the model's state.

    Raises:
      ValueError: if the balance is there without `grad_norm`, or the other way round.
    """
    check_started(training, balanced=balance is not None)
    if balance is not None:
        return _balanced(measure, params, balance, config, training)

    def total(params: Any) -> tuple[Array, Any]:
        losses, weights, state = measure(params)
        return jnp.stack([*losses, *penalties(weights, config, training)]).sum(), state

    (loss, state), slopes = jax.value_and_grad(total, has_aux=True)(params)
    return loss, slopes, None, state


def balanced_losses(measured: Measured, config: TiDHyConfig, training: TrainingConfig) -> Array:
    """The losses that `grad_norm` balances, each with the active regularisers.

    The similarity of components belongs to the temporal loss alone, that of the hypernetwork's columns to the
    last loss alone; the hypernetwork's L1 norm belongs to none. The original cannot train the R2 decoder: there
    its loss is taken to be one more, treated like the others.

    Args:
      measured: one pass over a batch.
      config: the model's configuration.
      training: the options.

    Returns:
      (3,) losses of r̂, of r̄ and of the temporal prediction; (4,) with that of the R2 decoder.
    """
    rhat, rbar, temp, r2_losses = measured.losses
    cosine, first, _, others = penalties(measured.weights, config, training)
    losses = [rhat, rbar, temp + cosine, *([r2_losses] if config.use_r2_decoder else [])]
    losses[-1] += first
    return jnp.stack(losses) + others


def without_small(temporal: Array, training: TrainingConfig) -> Array:
    """`temporal` with entries below 1e-4 set to 0, if `L0_alpha` asks for it."""
    return jnp.where(jnp.abs(temporal) < 1e-4, 0.0, temporal) if training.L0_alpha else temporal


def _balanced(
    measure: Callable[[Any], Measured], params: Any, balance: Balance, config: TiDHyConfig, training: TrainingConfig
) -> tuple[Array, Any, Balance, Any]:
    groups = balanced_groups(config, training)

    def tasks(params: Any) -> tuple[Array, tuple[Array, Any]]:
        measured = measure(params)
        losses = balanced_losses(measured, config, training)
        return losses, (losses, measured.state)

    def norms_of(gradient: Callable[[Array], Any], rows: Array) -> Array:
        norms = jax.tree.map(jax.vmap(norm), jax.vmap(gradient)(rows))  # of each loss, by each parameter
        return jnp.stack([_of_group(norms, group, loss) for loss, group in enumerate(groups)])

    strength = {"alpha": config.grad_alpha, "lr": config.lr_weights, "decay": config.weight_decay}
    slopes, after, (losses, state) = balanced_gradients(tasks, norms_of, params, balance, **strength)
    return balance.weights @ losses, slopes, after, state


def _of_group(norms: Any, group: tuple[str, ...], loss: int) -> Array:
    return jnp.stack([leaf[loss] for name in group for leaf in jax.tree.leaves(norms[name])]).sum()


def _clipped(limit: float) -> optax.GradientTransformation:
    """Scales gradients to a total norm of at most `limit`, as torch does: optax's own adds no 1e-6."""

    def clip(slopes: Any, params: Any = None) -> Any:
        del params
        total = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(slopes)))
        scale = jnp.minimum(limit / (total + 1e-6), 1.0)
        return jax.tree.map(lambda slope: scale * slope, slopes)

    return optax.stateless(clip)


def _halved(rate: float, training: TrainingConfig) -> float | optax.Schedule:
    if not training.halve_every:
        return rate

    def schedule(count: Any) -> Array:
        # optax's own schedules compute in float32, whatever the parameters are
        return jnp.ldexp(jnp.asarray(rate, jnp.result_type(float)), -(count // training.halve_every))

    return schedule


def _groups(tree: Any) -> Any:
    """The parameter group of each leaf, by the attribute of the model that it belongs to."""
    return jax.tree_util.tree_map_with_path(lambda path, _: _GROUPS[path[0].key], tree)
