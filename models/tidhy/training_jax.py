"""TiDHy's outer training, JAX: optimiser and regularisers as pure functions, for linen and NNX alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from models.tidhy.losses_jax import l1

if TYPE_CHECKING:
    from collections.abc import Hashable

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


class Penalised(NamedTuple):
    """The arrays that regularisers look at, kernels as Flax has them: (in, out)."""

    temporal: Array
    decoder: Array
    hypernet_first: Array
    hypernet_last: Array


def optimiser(config: TiDHyConfig, training: TrainingConfig) -> optax.GradientTransformation:
    """AdamW over decoder, dynamics and hypernetwork, each with its own step size.

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
    return optax.multi_transform(steps, _groups)


def penalty(weights: Penalised, config: TiDHyConfig, training: TrainingConfig) -> Array:
    """Weighted sum of the active regularisers.

    The similarity of components, weighted by `cos_eta`, is always active: the sum of the magnitudes of the
    cosines of all pairs of components, each pair once, divided by M; with `low_rank_temp` the pairs are those
    of the R 2-vectors within each component.

    Args:
      weights: what the regularisers look at.
      config: the model's configuration.
      training: the weights of those that are not the model's own.

    Returns:
      The penalty ().
    """
    c, temporal, decoder = config, weights.temporal, weights.decoder
    total = c.cos_eta * _similarity(temporal) / c.mix_dim
    if training.Lnuc_alpha:
        nuclear = jnp.linalg.norm(_components(temporal, c), ord="nuc", axis=(-2, -1))
        total += training.Lnuc_alpha * nuclear.sum()
    if training.L0_alpha:
        total += c.L1_alpha * jnp.count_nonzero(temporal)
    if c.L1_alpha:
        total += c.L1_alpha * l1(temporal)
    if training.L1_alpha_W:
        total += training.L1_alpha_W * l1(weights.hypernet_last)
    if training.L1_alpha_spat:
        total += training.L1_alpha_spat * l1(decoder)
    if training.Orth_alpha_spat:
        excess = decoder @ decoder.T - jnp.eye(decoder.shape[0], dtype=decoder.dtype)
        total += training.Orth_alpha_spat * (excess**2).mean()
    if training.Orth_alpha_r2:
        total += training.Orth_alpha_r2 * _similarity(weights.hypernet_first) / c.r2_dim
    return total


def without_small(temporal: Array, training: TrainingConfig) -> Array:
    """`temporal` with entries below 1e-4 set to 0, if `L0_alpha` asks for it."""
    return jnp.where(jnp.abs(temporal) < 1e-4, 0.0, temporal) if training.L0_alpha else temporal


def _similarity(vectors: Array) -> Array:
    """Sum of |cosine| over all pairs of rows (..., n, k), each pair once."""
    square = jnp.sum(vectors**2, axis=-1, keepdims=True)
    units = vectors / jnp.maximum(jnp.sqrt(square), 1e-8)
    return l1(jnp.triu(units @ units.mT, k=1))


def _components(temporal: Array, c: TiDHyConfig) -> Array:
    """The matrices (M, R, R) that `temporal` stands for."""
    slabs = temporal.reshape(c.mix_dim, c.r_dim, -1)
    return slabs @ slabs.mT if c.low_rank_temp else slabs


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
