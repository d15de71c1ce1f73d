"""Dense layers, Flax NNX."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from flax import nnx

from models.networks.activations_nnx import Activation
from models.networks.kernels_nnx import Linear
from models.networks.modules_nnx import RngsLike, Sequential, as_rngs, dropout
from models.networks.norms_nnx import get_norm
from models.networks.sizes import is_glu_like

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float

    from models.networks.config import LinearConfig, MLPConfig


class LinearNormActivation(nnx.Module):
    """Linear map, norm, activation and dropout; with `norm_first` the norm comes before the linear map.

    Args:
        input_dim: Width of the input.
        output_dim: Width of the output; the linear map is twice as wide for gated activations.
        cfg: The layer.
        rngs: Streams.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import LinearConfig
        >>> layer = LinearNormActivation(3, 5, LinearConfig(activation="ReLU", norm="layer"), rngs=0)
        >>> layer(jnp.ones((2, 3))).shape
        (2, 5)
    """

    def __init__(self, input_dim: int, output_dim: int, cfg: LinearConfig, *, rngs: RngsLike) -> None:
        rngs = as_rngs(rngs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.norm_first = cfg.norm_first
        width = 2 * output_dim if is_glu_like(cfg.activation) else output_dim
        self.linear = Linear(input_dim, width, bias=cfg.bias, rngs=rngs)
        norm_cfg = {**cfg.norm_cfg, "normalized_shape": input_dim if cfg.norm_first else width}
        self.norm = get_norm(cfg.norm, **norm_cfg)
        self.activation = Activation(cfg.activation, rngs=rngs)
        self.dropout = dropout(cfg.dropout, rngs)

    def __call__(self, x: Float[Array, "*batch input_dim"]) -> Float[Array, "*batch output_dim"]:
        x = self.linear(self.norm(x)) if self.norm_first else self.norm(self.linear(x))
        return self.dropout(self.activation(x))


class MLPLayer(nnx.Module):
    """`max(n_layers, 1)` hidden dense layers and an output layer.

    The output layer has the output activation and no norm, but keeps the dropout and the bias setting.

    Args:
        input_dim: Width of the input.
        output_dim: Width of the output.
        cfg: The layers; copied.
        mlp_config: Another name of `cfg`; exactly one has to be given.
        rngs: Streams.

    Raises:
        TypeError: Neither or both of `cfg` and `mlp_config` are given.

    Example:
        >>> import jax.numpy as jnp
        >>> from models.networks import LinearConfig, MLPConfig
        >>> cfg = MLPConfig(7, 2, "Tanh", LinearConfig(activation="ReLU"))
        >>> MLPLayer(3, 5, cfg, rngs=0)(jnp.ones((2, 3))).shape
        (2, 5)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        cfg: MLPConfig | None = None,
        *,
        mlp_config: MLPConfig | None = None,
        rngs: RngsLike,
    ) -> None:
        if (cfg is None) == (mlp_config is None):
            raise TypeError(f"MLPLayer: give exactly one of cfg and mlp_config, got {cfg} and {mlp_config}")
        cfg = copy.deepcopy(mlp_config if cfg is None else cfg)
        assert cfg is not None
        rngs = as_rngs(rngs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.hidden_dim = cfg.hidden_dim
        self.n_layers = cfg.n_layers
        last_cfg = replace(cfg.linear_cfg, activation=cfg.output_activation, norm="none")
        hidden = [cfg.hidden_dim] * max(cfg.n_layers, 1)
        self.dense = Sequential(
            [
                *(
                    LinearNormActivation(a, b, cfg.linear_cfg, rngs=rngs)
                    for a, b in zip([input_dim, *hidden[:-1]], hidden, strict=True)
                ),
                LinearNormActivation(cfg.hidden_dim, output_dim, last_cfg, rngs=rngs),
            ]
        )

    def __call__(self, x: Float[Array, "*batch input_dim"]) -> Float[Array, "*batch output_dim"]:
        return self.dense(x)
