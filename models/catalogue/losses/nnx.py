"""Losses and their reductions, Flax NNX. Every model hands its inputs to several losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

from models.catalogue.normalisation.rows_nnx import root

if TYPE_CHECKING:
    from jax import Array

WEIGHTS = (0.5, 2.0, 1.0, 3.0, 0.7)
IGNORED = -100


class CrossEntropy(nnx.Module):
    """Mean over the labels that count, each weighted by its class."""

    def __init__(self, *, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def __call__(self, logits: Array, labels: Array) -> Array:  # (N, C), (N,) -> ()
        counted = self.counted(labels)
        weight = jnp.where(counted, self.class_weights(logits)[jnp.where(counted, labels, 0)], 0.0)
        log_probabilities = jax.nn.log_softmax(logits, -1)
        target = self.target(jnp.where(counted, labels, 0), logits.shape[-1])
        return -(weight * (target * log_probabilities).sum(-1)).sum() / self.total(weight)

    def counted(self, labels: Array) -> Array:
        return labels != IGNORED

    def class_weights(self, logits: Array) -> Array:  # (C,)
        return jnp.ones(logits.shape[-1], logits.dtype)

    def target(self, labels: Array, classes: int) -> Array:  # (N, C)
        """One-hot, with `smoothing` spread over all classes, the true one included."""
        return (1 - self.smoothing) * jax.nn.one_hot(labels, classes, dtype=float) + self.smoothing / classes

    def total(self, weight: Array) -> Array:
        """Torch divides by the summed weights."""
        return weight.sum()


class WeightedCrossEntropy(CrossEntropy):
    """With a weight per class, which is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nnx.BatchStat(jnp.asarray(WEIGHTS))

    def class_weights(self, logits: Array) -> Array:
        if logits.shape[-1] != len(WEIGHTS):  # a gather would take the weights of the first classes
            raise ValueError(f"logits of {logits.shape[-1]} classes: there are weights for {len(WEIGHTS)}")
        return self.weight[...]


class Classification(nnx.Module):
    """Losses between logits and labels; a label of -100 does not count."""

    def __init__(self) -> None:
        self.cross_entropy = CrossEntropy()
        self.weighted = WeightedCrossEntropy()
        self.smoothed = CrossEntropy(smoothing=0.1)

    def __call__(self, logits: Array, labels: Array) -> dict[str, Array]:  # (N, C), (N,)
        names = ("cross_entropy", "weighted", "smoothed")
        return {name: getattr(self, name)(logits, labels) for name in names}


class BinaryCrossEntropy(nnx.Module):
    """Of logits against probabilities, without an overflow on the way."""

    def __call__(self, logits: Array, target: Array) -> Array:  # (N, C), (N, C) -> ()
        positive, negative = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
        return -(target * positive + (1 - target) * negative).mean()


class KLDivergence(nnx.Module):
    """From the distribution of the logits to a given one, summed over classes and averaged over rows."""

    def __call__(self, logits: Array, target: Array) -> Array:  # (N, C), (N, C) -> ()
        pointwise = jax.scipy.special.xlogy(target, target) - target * jax.nn.log_softmax(logits, -1)
        return self.reduce(pointwise)

    def reduce(self, pointwise: Array) -> Array:
        return pointwise.sum() / len(pointwise)


class Probability(nnx.Module):
    """Losses between logits and probabilities."""

    def __init__(self) -> None:
        self.binary = BinaryCrossEntropy()
        self.kl = KLDivergence()

    def __call__(self, logits: Array, scores: Array) -> dict[str, Array]:  # (N, C), (N, C)
        return {
            "binary": self.binary(logits, jax.nn.sigmoid(scores)),
            "kl": self.kl(logits, jax.nn.softmax(scores, -1)),
        }


class Square(nnx.Module):
    """The mean square of the difference."""

    def __call__(self, x: Array, target: Array) -> Array:
        return jnp.square(x - target).mean()


class Absolute(nnx.Module):
    """The mean size of the difference; its derivative at zero is zero, where that of `jnp.abs` is one."""

    def __call__(self, x: Array, target: Array) -> Array:
        return self.size(x - target).mean()

    def size(self, x: Array) -> Array:
        return x * jax.lax.stop_gradient(jnp.sign(x))


class Smooth(nnx.Module):
    """Quadratic within `beta`, linear beyond; divided by `beta`, as Huber's loss is not."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(self, x: Array, target: Array) -> Array:
        size = jnp.abs(x - target)
        return jnp.where(size < self.beta, size * size / (2 * self.beta), size - self.beta / 2).mean()


class Scaled(nnx.Module):
    """Half the summed square, as some losses are defined; not the mean."""

    def __call__(self, x: Array, target: Array) -> Array:
        return 0.5 * jnp.square(x - target).sum()


class Cosine(nnx.Module):
    """One minus the cosine of every row's angle, averaged."""

    def __call__(self, x: Array, target: Array) -> Array:  # (N, C), (N, C) -> ()
        return (1 - self.cosine(x, target)).mean()

    def cosine(self, x: Array, target: Array) -> Array:
        x, target = (v / jnp.maximum(self.length(v), 1e-8) for v in (x, target))
        return (x * target).sum(-1)

    def length(self, x: Array) -> Array:
        """Of every row; a row of zeros has a gradient."""
        return root(jnp.square(x).sum(-1, keepdims=True))


class Distance(nnx.Module):
    """Between rows; torch adds its epsilon to every element of the difference."""

    def __init__(self) -> None:
        self.epsilon = 1e-6

    def __call__(self, x: Array, target: Array) -> Array:  # (N, C), (N, C) -> (N,)
        return jnp.sqrt(jnp.square(x - target + self.epsilon).sum(-1))


class Regression(nnx.Module):
    """Losses between values."""

    def __init__(self) -> None:
        self.square = Square()
        self.absolute = Absolute()
        self.smooth = Smooth(beta=0.5)
        self.scaled = Scaled()
        self.cosine = Cosine()
        self.distance = Distance()

    def __call__(self, x: Array, target: Array) -> dict[str, Array]:  # (N, C), (N, C)
        names = ("square", "absolute", "smooth", "scaled", "cosine", "distance")
        return {name: getattr(self, name)(x, target) for name in names}


class GaussianNLL(nnx.Module):
    """Of values under a mean and a variance, which counts as no less than 1e-6; the floor has no gradient."""

    def __call__(self, mean: Array, target: Array, variance: Array) -> Array:
        variance = self.floored(variance)
        return 0.5 * (jnp.log(variance) + jnp.square(mean - target) / variance).mean()

    def floored(self, variance: Array) -> Array:
        """The larger value, while the gradient goes on as if nothing were cut, as torch's does."""
        return variance + jax.lax.stop_gradient(jnp.maximum(variance, 1e-6) - variance)


class MaskedMean(nnx.Module):
    """The mean over all steps that count, whichever row they are in."""

    def __call__(self, x: Array, keep: Array) -> Array:  # (N, T), (N, T) -> ()
        return (jnp.square(x) * keep).sum() / keep.sum()


class Sequences(nnx.Module):
    """Losses over steps that differ in weight."""

    def __init__(self) -> None:
        self.masked = MaskedMean()
        self.gaussian = GaussianNLL()

    def __call__(self, x: Array, variance: Array, keep: Array) -> dict[str, Array]:  # 3 x (N, T)
        return {
            "masked": self.masked(x, keep),
            "gaussian": self.gaussian(x, jnp.zeros_like(x), variance),
        }
