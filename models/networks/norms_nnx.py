"""Normalisation layers by name, Flax NNX, with torch's epsilon, momentum and statistics.

Flax's own have other defaults (epsilon 1e-6, momentum counted the other way round), subtract squares to get the
variance, and keep a biased running variance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from models.networks.modules_nnx import Identity, default_float

if TYPE_CHECKING:
    from jax import Array


def _accurate(x: Array) -> Array:
    """Return x in the dtype for statistics: half types are raised to float32."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _normalise(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centred = x - jnp.mean(x, axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + eps)


def _affine(x: Array, scale: nnx.Param | None, bias: nnx.Param | None, axes: int) -> Array:
    """Multiply and add along the axis that has `axes` axes behind it (or the last ones)."""
    if scale is not None:
        x = x * scale[...].reshape(*scale.shape, *(1,) * axes)
    if bias is not None:
        x = x + bias[...].reshape(*bias.shape, *(1,) * axes)
    return x


def _ones(shape: tuple[int, ...], wanted: bool) -> nnx.Param | None:
    return nnx.Param(jnp.ones(shape, default_float())) if wanted else nnx.data(None)


def _zeros(shape: tuple[int, ...], wanted: bool) -> nnx.Param | None:
    return nnx.Param(jnp.zeros(shape, default_float())) if wanted else nnx.data(None)


def _check_last_axes(name: str, x: Array, shape: tuple[int, ...]) -> None:
    if x.shape[x.ndim - len(shape) :] != shape:
        raise ValueError(f"{name}: expected an input whose last axes are {shape}, got shape {x.shape}")


class LayerNorm(nnx.Module):
    """(x − mean)/√(variance + eps) over the last axes, with the biased variance.

    Args:
        normalized_shape: Size of the last axis, or sizes of the last axes.
        eps: Added to the variance.
        elementwise_affine: Whether there are a scale and a bias.
        bias: Whether there is a bias.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.epsilon = eps
        self.scale = _ones(shape, elementwise_affine)
        self.bias = _zeros(shape, elementwise_affine and bias)

    def __call__(self, x: Array) -> Array:  # (*, normalized_shape)
        _check_last_axes("LayerNorm", x, self.normalized_shape)
        axes = tuple(range(-len(self.normalized_shape), 0))
        y = _normalise(_accurate(x), axes, self.epsilon)
        return _affine(y, self.scale, self.bias, 0).astype(jnp.result_type(x, *_leaves(self)))


class RMSNorm(nnx.Module):
    """x/√(mean x² + eps) over the last axes.

    Args:
        normalized_shape: Size of the last axis, or sizes of the last axes.
        eps: Added to the mean square; None for the machine epsilon of the computing dtype.
        elementwise_affine: Whether there is a scale.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.epsilon = eps
        self.scale = _ones(shape, elementwise_affine)

    def __call__(self, x: Array) -> Array:  # (*, normalized_shape)
        _check_last_axes("RMSNorm", x, self.normalized_shape)
        axes = tuple(range(-len(self.normalized_shape), 0))
        y = _accurate(x)
        eps = float(jnp.finfo(y.dtype).eps) if self.epsilon is None else self.epsilon
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axes, keepdims=True) + eps)
        return _affine(y, self.scale, None, 0).astype(jnp.result_type(x, *_leaves(self)))


class GroupNorm(nnx.Module):
    """Normalises contiguous groups of channels, over their channels and all positions.

    Args:
        num_groups: Number of groups.
        num_channels: Number of channels, axis 1.
        eps: Added to the variance.
        affine: Whether there are a scale and a bias, one number per channel.

    Raises:
        ValueError: The groups do not divide the channels; or, on a call, there is one value per group.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels do not split into {num_groups} groups")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.epsilon = eps
        self.scale = _ones((num_channels,), affine)
        self.bias = _zeros((num_channels,), affine)

    def __call__(self, x: Array) -> Array:  # (B, C, *)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"GroupNorm: expected (B, {self.num_channels}, *), got shape {x.shape}")
        grouped = _accurate(x).reshape(x.shape[0], self.num_groups, -1)
        if x.size // self.num_groups == 1:
            raise ValueError(f"GroupNorm: expected more than one value per group, got shape {x.shape}")
        y = _normalise(grouped, (2,), self.epsilon).reshape(x.shape)
        y = _affine(y, self.scale, self.bias, x.ndim - 2)
        return y.astype(jnp.result_type(x, *_leaves(self)))


class BatchNorm(nnx.Module):
    """Normalises each channel over the batch and all positions; keeps running statistics.

    In train mode it divides by the biased variance of the batch and moves the running statistics by `momentum`
    towards the batch's mean and unbiased variance; in eval mode it uses the running statistics.

    Args:
        num_features: Number of channels, axis 1.
        eps: Added to the variance.
        momentum: Weight of the new statistic, as torch counts it; None for the average over all batches.
        affine: Whether there are a scale and a bias.
        track_running_stats: Without them the batch's statistics serve in both modes.
        axes: The numbers of positional axes that it takes.

    Raises:
        ValueError: On a call that takes the batch's statistics, there is one value per channel.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        axes: tuple[int, ...],
    ) -> None:
        self.num_features = num_features
        self.epsilon = eps
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        self.use_running_average = False
        self.axes = axes
        self.scale = _ones((num_features,), affine)
        self.bias = _zeros((num_features,), affine)
        if track_running_stats:
            self.mean = nnx.BatchStat(jnp.zeros(num_features, default_float()))
            self.var = nnx.BatchStat(jnp.ones(num_features, default_float()))
            self.num_batches_tracked = nnx.BatchStat(jnp.zeros((), jnp.result_type(int)))

    def __call__(self, x: Array) -> Array:  # (B, C, *)
        if x.ndim - 2 not in self.axes or x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm: expected (B, {self.num_features}, *) with {' or '.join(map(str, self.axes))} "
                f"positional axes, got shape {x.shape}"
            )
        y = _accurate(x)
        if self.use_running_average and self.track_running_stats:
            mean, var = _accurate(self.mean[...]), _accurate(self.var[...])
        else:
            mean, var = self._batch_statistics(y)
        shape = (-1, *(1,) * (x.ndim - 2))
        y = (y - mean.reshape(shape)) * jax.lax.rsqrt(var.reshape(shape) + self.epsilon)
        y = _affine(y, self.scale, self.bias, x.ndim - 2)
        return y.astype(jnp.result_type(x, *_leaves(self)))

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Return the batch's mean and biased variance; move the running ones in train mode."""
        count = x.size // self.num_features
        if count == 1:
            raise ValueError(f"BatchNorm: expected more than one value per channel, got shape {x.shape}")
        axes = (0, *range(2, x.ndim))
        mean = jnp.mean(x, axes)
        var = jnp.mean(jnp.square(x - jnp.expand_dims(mean, (0, *range(2, x.ndim)))), axes)
        if self.track_running_stats:
            tracked = self.num_batches_tracked[...] + 1
            rate = self.momentum
            if rate is None:
                rate = 1 / tracked.astype(mean.dtype)
            unbiased = var * (count / (count - 1))
            self.num_batches_tracked[...] = tracked
            self.mean[...] = _moved(self.mean[...], mean, rate)
            self.var[...] = _moved(self.var[...], unbiased, rate)
        return mean, var


def _moved(running: Array, new: Array, rate: float | Array) -> Array:
    return ((1 - rate) * running + rate * jax.lax.stop_gradient(new)).astype(running.dtype)


def _leaves(norm: Any) -> list[Array]:
    """Return the norm's learned arrays, for the dtype of its result."""
    return [v[...] for v in (norm.scale, getattr(norm, "bias", None)) if v is not None]


_NORMS: dict[str, Callable[..., nnx.Module]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "group": GroupNorm,
    "batch2d": partial(BatchNorm, axes=(2,)),
    "batch1d": partial(BatchNorm, axes=(0, 1)),
}


def get_norm(norm: str, **kwargs: Any) -> nnx.Module:
    """Build a normalisation layer.

    Args:
        norm: "layer", "rms", "group", "batch2d" or "batch1d"; any other string means none.
        **kwargs: Arguments of torch's layer; ignored without one.

    Returns:
        The layer, or `Identity`.

    Example:
        >>> get_norm("layer", normalized_shape=3).scale.shape
        (3,)
    """
    return _NORMS[norm](**kwargs) if norm in _NORMS else Identity()
