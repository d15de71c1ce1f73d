"""Normalisation layers and their running statistics, Flax NNX. Channels are last inside, second outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.normalisation.config import NormConfig


class BatchNorm(nnx.BatchNorm):
    """Flax's layer with torch's running variance: unbiased, while the batch is divided by the biased one.

    Momentum is the weight of the old value, torch's the weight of the new one.
    """

    def __init__(self, width: int, *, axis_name: str | None = None, rngs: nnx.Rngs) -> None:
        super().__init__(width, momentum=0.9, epsilon=1e-5, use_fast_variance=False, axis_name=axis_name, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (..., C), both ways
        if self.use_running_average:
            return super().__call__(x)
        mean, variance = self.statistics(x)
        self.update(mean, self.unbiased(variance, self.count(x)))
        return self.normalised(x, mean, variance)

    def statistics(self, x: Array) -> tuple[Array, Array]:
        """Mean and biased variance of every channel."""
        axes = tuple(range(x.ndim - 1))
        mean = self.mean_over_shards(x.mean(axes))
        return mean, self.mean_over_shards(jnp.square(x - mean).mean(axes))

    def normalised(self, x: Array, mean: Array, variance: Array) -> Array:
        y = (x - mean) * jax.lax.rsqrt(variance + self.epsilon)
        return y * self.scale[...] + self.bias[...]  # pyright: ignore[reportOptionalSubscript]  # affine, by default

    def update(self, mean: Array, variance: Array) -> None:
        """Moves the running statistics."""
        keep = self.momentum
        self.mean[...] = keep * self.mean[...] + (1 - keep) * mean
        self.var[...] = keep * self.var[...] + (1 - keep) * variance

    def unbiased(self, variance: Array, count: int) -> Array:
        return variance * (count / (count - 1))

    def mean_over_shards(self, x: Array) -> Array:
        return x if self.axis_name is None else jax.lax.pmean(x, self.axis_name)

    def count(self, x: Array) -> int:
        """Values per channel, over all shards."""
        shards = 1 if self.axis_name is None else jax.lax.axis_size(self.axis_name)
        return shards * x.size // x.shape[-1]


class ShardedBatchNorm(BatchNorm):
    """A norm over two shards of a batch at once: they exchange their statistics."""

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(width, axis_name="shards", rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (2B, C), both ways
        if self.use_running_average:
            return super().__call__(x)
        shards = x.reshape(2, -1, x.shape[-1])
        y, mean, variance = jax.vmap(self.on_shard, axis_name="shards")(shards)
        self.update(mean[0], variance[0])
        return y.reshape(x.shape)

    def on_shard(self, x: Array) -> tuple[Array, Array, Array]:
        """The normalised shard, and the statistics of all."""
        mean, variance = self.statistics(x)
        return self.normalised(x, mean, variance), mean, self.unbiased(variance, self.count(x))


class FrozenBatchNorm(BatchNorm):
    """A norm that keeps its running statistics although the block trains."""

    def __call__(self, x: Array) -> Array:  # (..., C), both ways
        return nnx.BatchNorm.__call__(self, x, use_running_average=True)


class AveragingBatchNorm(BatchNorm):
    """A norm whose running statistics are plain averages over the batches that it has seen."""

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(width, rngs=rngs)
        self.num_batches_tracked = nnx.BatchStat(jnp.zeros((), jnp.int32))

    def update(self, mean: Array, variance: Array) -> None:
        self.num_batches_tracked[...] += 1
        share = 1.0 / self.num_batches_tracked[...].astype(mean.dtype)
        self.mean[...] = (1 - share) * self.mean[...] + share * mean
        self.var[...] = (1 - share) * self.var[...] + share * variance


class _Block(nnx.Module):
    """A pointwise convolution, a norm, a pointwise convolution."""

    def __init__(self, config: NormConfig, norm: nnx.Module, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(config.channels, config.width, (1, 1), rngs=rngs)
        self.norm = norm
        self.out = nnx.Conv(config.width, config.outputs, (1, 1), rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, channels, H, W) -> (B, outputs, H, W)
        x = jnp.tanh(self.norm(self.conv(x.transpose(0, 2, 3, 1))))
        return self.out(x).transpose(0, 3, 1, 2)


class BatchNormBlock(_Block):
    """With batch statistics in training and running ones in evaluation."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, BatchNorm(config.width, rngs=rngs), rngs=rngs)


class FrozenBatchNormBlock(_Block):
    """With a norm that keeps its running statistics although the block trains."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, FrozenBatchNorm(config.width, rngs=rngs), rngs=rngs)


class CumulativeBatchNorm(nnx.Module):
    """Three batches in turn through a norm whose running statistics are plain averages over batches."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        self.norm = AveragingBatchNorm(config.width, rngs=rngs)
        self.out = nnx.Linear(config.width, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (3, B, width) -> (3, B, outputs)
        return self.out(jnp.tanh(jnp.stack([self.norm(batch) for batch in x])))


class ShardedBlock(nnx.Module):
    """A norm over a batch that comes in two shards: the statistics are those of both."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        self.norm = ShardedBatchNorm(config.width, rngs=rngs)
        self.out = nnx.Linear(config.width, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (2, B, width) -> (2, B, outputs)
        y = self.out(jnp.tanh(self.norm(x.reshape(-1, x.shape[-1]))))
        return y.reshape(*x.shape[:2], -1)


class GroupNormBlock(_Block):
    """With statistics over groups of channels."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        norm = nnx.GroupNorm(
            config.width, config.groups, epsilon=1e-5, use_fast_variance=False, rngs=rngs
        )  # Flax's own: 1e-6, and squares subtracted
        super().__init__(config, norm, rngs=rngs)


class OneGroupBlock(_Block):
    """With statistics over all channels and positions of an image."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        norm = nnx.GroupNorm(config.width, 1, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        super().__init__(config, norm, rngs=rngs)


class InstanceNormBlock(_Block):
    """With statistics per image and channel, and no scale or bias."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        norm = nnx.InstanceNorm(
            config.width, epsilon=1e-5, use_bias=False, use_scale=False, use_fast_variance=False, rngs=rngs
        )
        super().__init__(config, norm, rngs=rngs)


class LocalResponseNorm(nnx.Module):
    """Divided by the energy of neighbouring channels; torch divides `alpha` by the number of neighbours."""

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def __call__(self, x: Array) -> Array:  # (..., C), both ways
        before = self.size // 2
        padding = ((0, 0),) * (x.ndim - 1) + ((before, self.size - 1 - before),)
        window = (1,) * (x.ndim - 1) + (self.size,)
        energy = jax.lax.reduce_window(x * x, 0.0, jax.lax.add, window, (1,) * x.ndim, padding)
        return x / (self.k + self.alpha * energy / self.size) ** self.beta


class ResponseNormBlock(_Block):
    """Divided by the energy of neighbouring channels."""

    def __init__(self, config: NormConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, LocalResponseNorm(3, alpha=0.5, beta=0.75, k=1.5), rngs=rngs)
