"""Residual blocks whose convolutions a hypernetwork makes for each sample, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
from flax import nnx

from models.networks.config import ConvConfig, MLPConfig
from models.networks.hypernet_nnx import HyperNet
from models.networks.modules_nnx import RngsLike, as_rngs
from models.networks.unet_blocks_nnx import ConditionalResidualBlock1d, ConditionalResidualBlock2d

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

# Torch's order of a layer's parameters, with the path of each; the last two are those of CRReLU and PReLU.
_PARAMETERS: dict[str, tuple[Any, ...]] = {
    "conv.weight": ("conv", "kernel"),
    "conv.bias": ("conv", "bias"),
    "activation.activation.lr": ("activation", "activation", "lr"),
    "activation.activation.weight": ("activation", "activation", "weight"),
}


def refuse_hyper_config(name: str, cfg: ConvConfig, axes: int) -> None:
    """Refuse layers that need a batch axis: samples go through one by one.

    Raises:
        ValueError: The config has a norm, or a scale factor over time.
    """
    if cfg.norm != "none":
        raise ValueError(f'{name}: generated convolutions take norm="none" alone, got {cfg.norm!r}')
    if axes == 1 and cfg.scale_factor != 0:
        raise ValueError(f"{name}: generated convolutions take scale_factor=0 alone, got {cfg.scale_factor}")


class HyperConditionalResidualBlock1d(ConditionalResidualBlock1d):
    """Two convolutions over time that a hypernetwork makes from each sample's condition.

    Their own weights are never used, and held once, as `first_conv` and `last_conv`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions, without a norm or a scale factor; they have to keep the length.
        hyper_mlp_cfg: The hypernetwork's layers; None for a single linear map.
        rngs: Streams.

    Raises:
        ValueError: The config has a norm or a scale factor, or on a call in train mode dropout.

    Example:
        >>> import jax.numpy as jnp
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> block = HyperConditionalResidualBlock1d(3, 5, 7, cfg, rngs=0)
        >>> block(jnp.ones((2, 3, 11)), jnp.ones((2, 7))).shape
        (2, 5, 11)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        conv_cfg: ConvConfig,
        hyper_mlp_cfg: MLPConfig | None = None,
        *,
        rngs: RngsLike,
    ) -> None:
        refuse_hyper_config(type(self).__name__, conv_cfg, self.axes)
        rngs = as_rngs(rngs)
        super().__init__(in_channels, out_channels, cond_dim, conv_cfg, rngs=rngs)
        shapes = torch_shapes([self.first_conv, self.last_conv])
        self.cond_encoder = HyperNet(cond_dim, shapes, hyper_mlp_cfg, rngs=rngs)

    def __call__(self, x: Float[Array, "B C T"], cond: Float[Array, "B cond_dim"]) -> Float[Array, "B C_out T"]:
        layers = [self.first_conv, self.last_conv]
        return generated(layers, self.cond_encoder(cond), x) + self.residual_conv(x)


class HyperConditionalResidualBlock2d(ConditionalResidualBlock2d):
    """Two convolutions of images that a hypernetwork makes from each sample's condition.

    Their own weights are never used, and held once, as `first_conv` and `last_conv`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        cond_dim: Width of the condition.
        conv_cfg: Both convolutions, without a norm; they have to keep the size.
        hyper_mlp_cfg: The hypernetwork's layers; None for a single linear map.
        rngs: Streams.

    Raises:
        ValueError: The config has a norm, or on a call in train mode dropout.

    Example:
        >>> import jax.numpy as jnp
        >>> cfg = ConvConfig(activation="ReLU", kernel_size=3, stride=1, padding=1)
        >>> block = HyperConditionalResidualBlock2d(3, 5, 7, cfg, rngs=0)
        >>> block(jnp.ones((2, 3, 4, 6)), jnp.ones((2, 7))).shape
        (2, 5, 4, 6)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_dim: int,
        conv_cfg: ConvConfig,
        hyper_mlp_cfg: MLPConfig | None = None,
        *,
        rngs: RngsLike,
    ) -> None:
        refuse_hyper_config(type(self).__name__, conv_cfg, self.axes)
        rngs = as_rngs(rngs)
        super().__init__(in_channels, out_channels, cond_dim, conv_cfg, rngs=rngs)
        shapes = torch_shapes([self.first_conv, self.last_conv])
        self.cond_encoder = HyperNet(cond_dim, shapes, hyper_mlp_cfg, rngs=rngs)

    def __call__(self, x: Float[Array, "B C H W"], cond: Float[Array, "B cond_dim"]) -> Float[Array, "B C_out H W"]:
        layers = [self.first_conv, self.last_conv]
        return generated(layers, self.cond_encoder(cond), x) + self.residual_conv(x)


def torch_shapes(layers: list[Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter under torch's name, in torch's layout and order."""
    shapes = {}
    for index, layer in enumerate(layers):
        state = dict(nnx.to_flat_state(nnx.state(layer, nnx.Param)))
        for name, path in _PARAMETERS.items():
            if path in state:
                shape = state[path].shape
                shapes[f"{index}.{name}"] = (*shape[:-3:-1], *shape[:-2]) if path[-1] == "kernel" else shape
    return shapes


def generated(layers: list[Any], tensors: dict[str, Array], x: Array) -> Array:
    """Send each sample through layers with its own parameters.

    Args:
        layers: The layers.
        tensors: Each parameter under torch's name and in torch's layout, with a batch axis in front.
        x: (B, C, *).

    Raises:
        ValueError: There is dropout in train mode.
    """
    for index, layer in enumerate(layers):
        if isinstance(layer.dropout, nnx.Dropout) and not layer.dropout.deterministic:
            raise ValueError("generated convolutions take no dropout in train mode: set dropout=0 or call eval()")
        own = {name: tensors[key] for name in _PARAMETERS if (key := f"{index}.{name}") in tensors}
        x = _each_sample(layer, own, x)
    return x


def _each_sample(layer: Any, tensors: dict[str, Array], x: Array) -> Array:
    """Map one layer over samples and their parameters; random activations draw for each sample."""
    graph, params, _, rest = nnx.split(layer, nnx.Param, nnx.RngState, ...)
    names = {path: name for name, path in _PARAMETERS.items()}
    made = [
        (path, variable.replace(_to_flax(str(path[-1]), tensors[names[path]])))
        for path, variable in nnx.to_flat_state(params)
    ]

    def call(params: Any, random: Any, sample: Array) -> Array:
        return nnx.merge(graph, params, random, rest, copy=True)(sample)

    return jax.vmap(call)(nnx.from_flat_state(made), _streams(layer, len(x)), x)


def _streams(layer: Any, count: int) -> Any:
    """Return the layer's random state with `count` streams split off each of its streams."""
    return nnx.from_flat_state(
        ((*path, *leaf), variable)
        for path, node in nnx.iter_graph(layer)
        if isinstance(node, nnx.RngStream)
        for leaf, variable in nnx.to_flat_state(nnx.state(node.split(count)))
    )


def _to_flax(leaf: str, tensor: Array) -> Array:
    """Bring (B, O, I/g, k, …) to (B, k, …, I/g, O); other parameters stay."""
    return tensor.transpose(0, *range(3, tensor.ndim), 2, 1) if leaf == "kernel" else tensor
