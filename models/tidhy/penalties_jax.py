"""The regularisers of TiDHy's outer training, JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp

from models.tidhy.losses_jax import l1

if TYPE_CHECKING:
    from jax import Array

    from models.tidhy.config import TiDHyConfig
    from models.tidhy.training_config import TrainingConfig


class Penalised(NamedTuple):
    """The arrays that regularisers look at, kernels as Flax has them: (in, out)."""

    temporal: Array
    decoder: Array
    hypernet_first: Array
    hypernet_last: Array


class Penalties(NamedTuple):
    """Regularisers (), weighted, 0 where not active; those that `grad_norm` treats alike are one sum.

    `cosine` is the similarity of components; `first` that of the columns of the hypernetwork's first layer;
    `last` the L1 norm of its last; `others` all the rest.
    """

    cosine: Array
    first: Array
    last: Array
    others: Array


def penalties(weights: Penalised, config: TiDHyConfig, training: TrainingConfig) -> Penalties:
    """The active regularisers.

    The similarity of components, weighted by `cos_eta`, is always active: the sum of the magnitudes of the
    cosines of all pairs of components, each pair once, divided by M; with `low_rank_temp` the pairs are those
    of the R 2-vectors within each component.

    Args:
      weights: what the regularisers look at.
      config: the model's configuration.
      training: the weights of those that are not the model's own.

    Returns:
      The regularisers.
    """
    first = last = jnp.zeros((), weights.temporal.dtype)
    if training.Orth_alpha_r2:
        first = training.Orth_alpha_r2 * _similarity(weights.hypernet_first) / config.r2_dim
    if training.L1_alpha_W:
        last = training.L1_alpha_W * l1(weights.hypernet_last)
    cosine = config.cos_eta * _similarity(weights.temporal) / config.mix_dim
    return Penalties(cosine, first, last, _others(weights, config, training))


def _others(weights: Penalised, c: TiDHyConfig, training: TrainingConfig) -> Array:
    temporal, decoder = weights.temporal, weights.decoder
    total = jnp.zeros((), temporal.dtype)
    if training.Lnuc_alpha:
        nuclear = jnp.linalg.norm(_components(temporal, c), ord="nuc", axis=(-2, -1))
        total += training.Lnuc_alpha * nuclear.sum()
    if training.L0_alpha:
        total += c.L1_alpha * jnp.count_nonzero(temporal)
    if c.L1_alpha:
        total += c.L1_alpha * l1(temporal)
    if training.L1_alpha_spat:
        total += training.L1_alpha_spat * l1(decoder)
    if training.Orth_alpha_spat:
        excess = decoder @ decoder.T - jnp.eye(decoder.shape[0], dtype=decoder.dtype)
        total += training.Orth_alpha_spat * (excess**2).mean()
    return total


def _similarity(vectors: Array) -> Array:
    """Sum of |cosine| over all pairs of rows (..., n, k), each pair once."""
    square = jnp.sum(vectors**2, axis=-1, keepdims=True)
    units = vectors / jnp.maximum(jnp.sqrt(square), 1e-8)
    return l1(jnp.triu(units @ units.mT, k=1))


def _components(temporal: Array, c: TiDHyConfig) -> Array:
    """The matrices (M, R, R) that `temporal` stands for."""
    slabs = temporal.reshape(c.mix_dim, c.r_dim, -1)
    return slabs @ slabs.mT if c.low_rank_temp else slabs
