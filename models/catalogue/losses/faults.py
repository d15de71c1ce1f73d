"""How ports get losses wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.catalogue.losses.pair import CLASSIFICATION, PROBABILITY, REGRESSION, SEQUENCES
from parity.faults import around, at, family, setting

if TYPE_CHECKING:
    from jax import Array


def _spread_over_others(original: Any, labels: Array, classes: int) -> Array:
    """Smoothing over the other classes alone."""
    smoothing = original.__self__.smoothing
    one_hot = jax.nn.one_hot(labels, classes, dtype=float)
    return (1 - smoothing) * one_hot + smoothing / (classes - 1) * (1 - one_hot)


def _naive_binary(original: Any, logits: Array, target: Array) -> Array:
    p = jax.nn.sigmoid(logits)
    return -(target * jnp.log(p) + (1 - target) * jnp.log(1 - p)).mean()


def _swapped(original: Any, logits: Array, target: Array) -> Array:
    log_p, q = jax.nn.log_softmax(logits, -1), target
    return (jnp.exp(log_p) * (log_p - jnp.log(q))).sum() / len(q)


def _huber(original: Any, x: Array, target: Array) -> Array:
    return original(x, target) * original.__self__.beta


def _mean_of_means(original: Any, x: Array, keep: Array) -> Array:
    return ((jnp.square(x) * keep).sum(1) / keep.sum(1)).mean()


def _flattened(original: Any, x: Array, target: Array) -> Array:
    x, target = x.ravel(), target.ravel()
    return (x * target).sum() / (jnp.linalg.norm(x) * jnp.linalg.norm(target))


FAULTS = family(
    "losses",
    at(
        *(CLASSIFICATION, "cross_entropy", "ce-ignore-index", "labels of -100 count as the last class"),
        around("counted", lambda original, labels: jnp.ones_like(labels, bool)),
    ),
    at(
        *(CLASSIFICATION, "weighted", "ce-class-weight-norm", "divided by the number of labels, not their weights"),
        around("total", lambda original, weight: (weight > 0).sum()),
    ),
    at(
        *(CLASSIFICATION, "smoothed", "label-smoothing-denominator", "smoothing over the other classes alone"),
        around("target", _spread_over_others),
    ),
    at(
        *(PROBABILITY, "binary", "bce-logits-naive", "the logarithm of a sigmoid"),
        around("__call__", _naive_binary),
    ),
    at(
        *(PROBABILITY, "kl", "kl-reduction", "averaged over classes too"),
        around("reduce", lambda original, pointwise: pointwise.mean()),
    ),
    at(
        *(PROBABILITY, "kl", "kl-argument-order", "the divergence the other way round"),
        around("__call__", _swapped),
    ),
    at(
        *(REGRESSION, "square", "mse-half", "half the square, as `optax.l2_loss` is"),
        around("__call__", lambda original, x, target: original(x, target) / 2),
    ),
    at(
        *(REGRESSION, "smooth", "smoothl1-vs-huber", "Huber's loss, which is not divided by beta"),
        around("__call__", _huber),
    ),
    at(
        *(SEQUENCES, "masked", "masked-mean-of-means", "the mean of the rows' means"),
        around("__call__", _mean_of_means),
    ),
    at(
        *(REGRESSION, "cosine", "cosine-global", "one angle for the whole batch"),
        around("cosine", _flattened),
    ),
    at(
        *(REGRESSION, "distance", "pairwise-distance-eps", "no epsilon in the difference"),
        setting(epsilon=0.0),
    ),
    at(
        *(SEQUENCES, "gaussian", "gaussian-nll-clamp", "the variance has no floor"),
        around("floored", lambda original, variance: variance),
    ),
    at(
        *(REGRESSION, "scaled", "loss-sum-vs-mean", "a mean in place of a sum"),
        around("__call__", lambda original, x, target: original(x, target) / x.size),
    ),
    at(
        *(REGRESSION, "absolute", "l1-at-zero", "`jnp.abs`: one at zero"),
        around("size", lambda original, x: jnp.abs(x)),
        checks=("input_grad",),
        causes=("semantic boundary",),
    ),
)
