"""Torch's linear, convolution and transposed convolution layers in Flax NNX.

Kernels have Flax's layout; images and sequences keep torch's, channels first. The first weights are torch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx
from jax import lax

from models.networks.modules_nnx import default_float, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jax import Array
    from jaxtyping import Float

    from models.networks.config import PaddingMode

_NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_DIMENSIONS = {1: ("NCH", "HIO", "NCH"), 2: ("NCHW", "HWIO", "NCHW")}


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _pairs(padding: Any) -> list[tuple[int, int]]:
    return [(before, after) for before, after in padding]


class Linear(nnx.Linear):
    """A dense map of the last axis.

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        bias: Whether there is a bias.
        rngs: Streams for the first weights.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rngs: nnx.Rngs) -> None:
        init = uniform(in_features)
        super().__init__(
            in_features,
            out_features,
            use_bias=bias,
            param_dtype=default_float(),
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )

    def __call__(self, inputs: Float[Array, "*batch I"], out_sharding: Any = None) -> Float[Array, "*batch O"]:
        if inputs.ndim == 0 or inputs.shape[-1] != self.in_features:
            raise ValueError(
                f"Linear: expected an input whose last axis is {self.in_features}, got shape {inputs.shape}"
            )
        return super().__call__(inputs, out_sharding)


def _check_channels(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{name}: {groups} groups do not divide {in_channels} input and {out_channels} output channels"
        )


def _batched(name: str, x: Array, channels: int, axes: int) -> Array:
    """Return the input with a batch axis, if its shape is right."""
    shape = ("B", channels, *"HW"[:axes]) if axes == 2 else ("B", channels, "T")
    if x.ndim not in (axes + 1, axes + 2) or x.shape[-axes - 1] != channels:
        raise ValueError(f"{name}: expected ({', '.join(map(str, shape))}), B optional, got shape {x.shape}")
    return x if x.ndim == axes + 2 else x[None]


class _Convolution(nnx.Conv):
    """A convolution over channels-first input; its subclasses say over how many axes."""

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        rngs: nnx.Rngs,
    ) -> None:
        _check_channels(type(self).__name__, in_channels, out_channels, groups)
        if padding_mode != "zeros" and padding_mode not in _NUMPY_MODES:
            raise ValueError(
                f"{type(self).__name__}: padding_mode must be zeros, {', '.join(_NUMPY_MODES)}, got {padding_mode!r}"
            )
        init = uniform(in_channels // groups * kernel_size**self.axes)
        super().__init__(
            in_channels,
            out_channels,
            (kernel_size,) * self.axes,
            stride,
            padding=((padding, padding),) * self.axes,  # never "SAME", which strides shift
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=bias,
            param_dtype=default_float(),
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )
        self.padding_mode = padding_mode
        self.channels_first = True  # tells weight_bridge that what is flattened has torch's order

    def __call__(self, inputs: Float[Array, "B I *space"], out_sharding: Any = None) -> Float[Array, "B O *space"]:
        x = _batched(type(self).__name__, inputs, self.in_features, self.axes)
        x, kernel, bias = self.promote_dtype((x, self.kernel[...], _value(self.bias)), dtype=self.dtype)
        padding = _pairs(self.padding)
        self._check_size(x, padding)
        if self.padding_mode != "zeros":
            x = jnp.pad(x, [(0, 0), (0, 0), *padding], mode=_NUMPY_MODES[self.padding_mode])
            padding = [(0, 0)] * self.axes
        y = lax.conv_general_dilated(
            x,
            kernel,
            _per_axis(self.strides, self.axes),
            padding,
            rhs_dilation=_per_axis(self.kernel_dilation, self.axes),
            dimension_numbers=_DIMENSIONS[self.axes],
            feature_group_count=self.feature_group_count,
            precision=self.precision,
        )
        y = y if bias is None else y + bias.reshape(-1, *(1,) * self.axes)
        return y if inputs.ndim == x.ndim else y[0]

    def _check_size(self, x: Array, padding: Sequence[tuple[int, int]]) -> None:
        """Refuse what torch refuses: reflecting more cells than there are, a kernel larger than the input."""
        p, d = padding[0][0], _per_axis(self.kernel_dilation, 1)[0]
        least = {"reflect": p + 1, "circular": p, "replicate": 1}.get(self.padding_mode, 0)
        if min(x.shape[2:]) < max(least, d * (self.kernel_size[0] - 1) + 1 - 2 * p):
            raise ValueError(
                f"{type(self).__name__}: the input's size {x.shape[2:]} is too small for kernel "
                f"{self.kernel_size}, dilation {d} and {self.padding_mode} padding of {p}"
            )


class Conv1d(_Convolution):
    """A convolution over time; arguments as in torch."""

    axes = 1


class Conv2d(_Convolution):
    """A convolution over images; arguments as in torch."""

    axes = 2


class _TransposedConvolution(nnx.ConvTranspose):
    """A transposed convolution over channels-first input; its subclasses say over how many axes.

    It is the ordinary convolution of the input with `stride − 1` zeros between its cells. The kernel
    (k, …, I, O/groups) is torch's weight with every spatial axis flipped.
    """

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int = 1,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        _check_channels(type(self).__name__, in_channels, out_channels, groups)
        extra = (output_padding,) * self.axes if isinstance(output_padding, int) else tuple(output_padding)
        if max(extra) >= max(stride, dilation):
            raise ValueError(
                f"{type(self).__name__}: output_padding must be smaller than stride or dilation, got {extra}, "
                f"{stride} and {dilation}"
            )
        init = uniform(out_channels // groups * kernel_size**self.axes)  # torch counts fan-in on the weight's axis 1
        edge = dilation * (kernel_size - 1) - padding
        super().__init__(
            in_channels,
            out_channels // groups,
            (kernel_size,) * self.axes,
            stride,
            padding=tuple((edge, edge + more) for more in extra),
            kernel_dilation=dilation,
            use_bias=bias,
            param_dtype=default_float(),
            kernel_init=init,
            bias_init=init,
            rngs=rngs,
        )
        self.out_features = out_channels
        self.feature_group_count = groups
        self.channels_first = True
        if bias and groups > 1:  # Flax counts the outputs of one group
            self.bias = nnx.Param(init(rngs.params(), (out_channels,), default_float()))

    def __call__(self, inputs: Float[Array, "B I *space"]) -> Float[Array, "B O *space"]:
        x = _batched(type(self).__name__, inputs, self.in_features, self.axes)
        x, kernel, bias = self.promote_dtype((x, self.kernel[...], _value(self.bias)), dtype=self.dtype)
        self._check_size(x)
        y = lax.conv_general_dilated(
            x,
            self._grouped(kernel),
            (1,) * self.axes,
            _pairs(self.padding),
            lhs_dilation=_per_axis(self.strides, self.axes),
            rhs_dilation=_per_axis(self.kernel_dilation, self.axes),
            dimension_numbers=_DIMENSIONS[self.axes],
            feature_group_count=self.feature_group_count,
            precision=self.precision,
        )
        y = y if bias is None else y + bias.reshape(-1, *(1,) * self.axes)
        return y if inputs.ndim == x.ndim else y[0]

    def _grouped(self, kernel: Array) -> Array:  # (*k, I, O/g) -> (*k, I/g, O), outputs group-major
        g = self.feature_group_count
        *size, inputs, outputs = kernel.shape
        split = kernel.reshape(*size, g, inputs // g, outputs)
        return jnp.moveaxis(split, self.axes, -2).reshape(*size, inputs // g, g * outputs)

    def _check_size(self, x: Array) -> None:
        stride, d = _per_axis(self.strides, 1)[0], _per_axis(self.kernel_dilation, 1)[0]
        spans = [(n - 1) * stride + 1 - d * (self.kernel_size[0] - 1) for n in x.shape[2:]]
        sizes = [span + sum(pad) for span, pad in zip(spans, _pairs(self.padding), strict=True)]
        if min(sizes) < 1:
            raise ValueError(f"{type(self).__name__}: the input's size {x.shape[2:]} gives the size {sizes}")


class ConvTranspose1d(_TransposedConvolution):
    """A transposed convolution over time; arguments as in torch."""

    axes = 1


class ConvTranspose2d(_TransposedConvolution):
    """A transposed convolution over images; arguments as in torch."""

    axes = 2


def _value(variable: nnx.Param | None) -> Array | None:
    return None if variable is None else variable[...]
