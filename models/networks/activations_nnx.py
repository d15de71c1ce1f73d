"""Activations by name, Flax NNX."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from models.networks import pointwise_nnx as F
from models.networks.modules_nnx import RngsLike, as_rngs, default_float
from models.networks.sizes import is_glu_like

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array


@jax.custom_jvp
def tanh_exp(x: Array) -> Array:
    """x·tanh(exp x) with its closed-form gradient, which is NaN once exp x overflows."""
    return x * jnp.tanh(jnp.exp(x))


@tanh_exp.defjvp
def _tanh_exp_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    exp = jnp.exp(x)
    tanh = jnp.tanh(exp)
    return x * tanh, dx * (tanh - x * exp * (tanh * tanh - 1))


def rerelu(x: Array, reparametarize_fn: str = "gelu") -> Array:
    """The ReLU's value with the gradient of a smooth function of `pointwise_nnx`."""
    smooth = getattr(F, reparametarize_fn.lower())(x)
    stop = jax.lax.stop_gradient
    return stop(F.relu(x)) + smooth - stop(smooth)


def siglu(x: Array, dim: int = -1) -> Array:
    """Gate by SiLU: with halves a and b along `dim`, a·silu(b)."""
    a, b = F.halves(x, dim)
    return a * F.silu(b)


def l2_norm(x: Array) -> Array:
    """X / max(‖x‖₂, 1e-12) over the last axis, which in a convolution is the width and not the channel."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    zero = square == 0  # the root's gradient is infinite there
    norm = jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, square)))
    return x / jnp.maximum(norm, 1e-12)


class CRReLU(nnx.Module):
    """relu(x) + lr·x·exp(−x²/2) with a learned `lr`.

    Args:
        lr: Initial value of the parameter, which is created in float32.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = nnx.Param(jnp.asarray(lr, jnp.float32))

    def __call__(self, x: Array) -> Array:
        return F.relu(x) + self.lr[...].astype(x.dtype) * x * jnp.exp(-x * x / 2)


class PReLU(nnx.Module):
    """max(x, 0) + weight·min(x, 0).

    Args:
        num_parameters: 1, or the number of channels (axis 1).
        init: Initial value.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = num_parameters
        self.weight = nnx.Param(jnp.full(num_parameters, init, default_float()))

    def __call__(self, x: Array) -> Array:
        weight = self.weight[...]
        if self.num_parameters > 1:
            weight = weight.reshape(-1, *(1,) * (x.ndim - 2))
        return jnp.where(x > 0, x, weight * x)


class RReLU(nnx.Module):
    """A leaky ReLU whose slope is random in train mode and the mean of its range in eval mode.

    Args:
        lower: Smallest slope.
        upper: Largest slope.
        rngs: Streams; it draws from `dropout`, else from the default one.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, *, rngs: nnx.Rngs) -> None:
        self.lower = lower
        self.upper = upper
        self.deterministic = False
        self.rngs = rngs["dropout"].fork()

    def __call__(self, x: Array) -> Array:
        if self.deterministic:
            return F.leaky_relu(x, (self.lower + self.upper) / 2)
        slope = jax.random.uniform(self.rngs(), x.shape, x.dtype, self.lower, self.upper)
        return jnp.where(x > 0, x, slope * x)


class Pointwise(nnx.Module):
    """A function without parameters, under torch's name and keywords.

    Args:
        function: The function.
        **options: Its keywords.

    Raises:
        TypeError: The function has no such keyword, or needs one that is missing.
    """

    def __init__(self, function: Callable[..., Array], **options: Any) -> None:
        inspect.signature(function).bind(None, **options)
        self.function = function
        self.options = tuple(sorted(options.items()))

    def __call__(self, x: Array) -> Array:
        return self.function(x, **dict(self.options))


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "CELU": F.celu,
    "ELU": F.elu,
    "GELU": F.gelu,
    "GLU": F.glu,
    "Hardshrink": F.hardshrink,
    "Hardsigmoid": F.hardsigmoid,
    "Hardswish": F.hardswish,
    "Hardtanh": F.hardtanh,
    "Identity": F.identity,
    "L2Norm": l2_norm,
    "LeakyReLU": F.leaky_relu,
    "LogSigmoid": F.logsigmoid,
    "LogSoftmax": F.log_softmax,
    "Mish": F.mish,
    "REReLU": rerelu,
    "ReLU": F.relu,
    "ReLU6": F.relu6,
    "SELU": F.selu,
    "SiGLU": siglu,
    "SiLU": F.silu,
    "Sigmoid": F.sigmoid,
    "Softmax": F.softmax,
    "Softmax2d": F.softmax2d,
    "Softmin": F.softmin,
    "Softplus": F.softplus,
    "Softshrink": F.softshrink,
    "Softsign": F.softsign,
    "SwiGLU": siglu,
    "Tanh": F.tanh,
    "TanhExp": tanh_exp,
    "Tanhshrink": F.tanhshrink,
    "Threshold": F.threshold,
}
_CLASSES: dict[str, type[nnx.Module]] = {"CRReLU": CRReLU, "PReLU": PReLU}
NAMES = (*sorted([*_FUNCTIONS, *_CLASSES, "RReLU"]),)


class Activation(nnx.Module):
    """An activation by name.

    Args:
        activation: One of torch's names (case-sensitive), or TanhExp, REReLU, SiGLU, SwiGLU, CRReLU, L2Norm.
        rngs: Streams, for RReLU alone.
        **kwargs: Its arguments; `dim` is dropped unless the name contains "glu".

    Raises:
        NotImplementedError: The name is unknown.
        TypeError: The activation needs arguments that are not given.

    Example:
        >>> Activation("ReLU")(jnp.array([-1.0, 2.0]))
        Array([0., 2.], dtype=float32)
    """

    def __init__(self, activation: str, *, rngs: RngsLike | None = None, **kwargs: Any) -> None:
        if not is_glu_like(activation):
            kwargs.pop("dim", None)
        if activation in _FUNCTIONS:
            self.activation: Any = Pointwise(_FUNCTIONS[activation], **kwargs)
        elif activation in _CLASSES:
            self.activation = _CLASSES[activation](**kwargs)
        elif activation == "RReLU":
            self.activation = RReLU(**kwargs, rngs=as_rngs(0 if rngs is None else rngs))
        else:
            raise NotImplementedError(
                f"Activation: {activation!r} is none of {', '.join(NAMES)}; names are case-sensitive"
            )

    def __call__(self, x: Array) -> Array:
        return self.activation(x)
