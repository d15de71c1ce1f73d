"""Claims on training: whole networks take the same twenty steps, with dropout and running statistics."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.config import (
    ConvConfig,
    ConvNetConfig,
    LinearConfig,
    MLPConfig,
    TransformerConfig,
    UNetConfig,
    ViTConfig,
)
from models.networks.recipes import Recipe, claim
from parity.optimizers import Optimizers

OBS_SHAPE = (2, 4, 6)
FEATURE_DIM = 5

_CONV = ConvConfig("SiLU", kernel_size=3, stride=1, padding=1, dropout=0.1, norm="batch")
_UNET = UNetConfig((4, 6), _CONV, cond_pred_scale=True, nhead=2, has_attn=True)
_VIT = ViTConfig(2, TransformerConfig(d_model=8, nhead=2, dim_ff=13, n_layers=2, dropout=0.1))
_HALVING = ConvConfig("SiLU", kernel_size=3, stride=2, padding=1, dropout=0.1, norm="batch")
_CONV_NET = ConvNetConfig((4, 6), (_HALVING, _HALVING), init_channel=4)
_MLP = MLPConfig(11, 1, "Tanh", LinearConfig("GELU", norm="layer", dropout=0.1))


def _arguments() -> dict[str, Any]:
    """What encoder and decoder are both built with."""
    return {"feature_dim": FEATURE_DIM, "obs_shape": OBS_SHAPE, "backbone_cfg": _CONV_NET, "fc_cfg": _MLP}


def _autoencoder(_: None) -> Any:
    from torch import nn

    from models.networks.torch import Decoder, Encoder

    return nn.Sequential(Encoder(**_arguments()), Decoder(**_arguments()))


def _autoencoder_nnx(_: None) -> Any:
    from models.networks.jax import Decoder, Encoder
    from models.networks.modules_nnx import Sequential

    return Sequential([Encoder(**_arguments(), rngs=0), Decoder(**_arguments(), rngs=1)])


def _trained(module: str, arguments: dict[str, Any], *shapes: tuple[int, ...]) -> parity.Pair:
    recipe = Recipe(module, arguments, shapes)
    return claim(f"{module} in training", st.just(recipe), modes=("train",), checks=("randomness", "trajectory"))


UNET = _trained("ConditionalUnet2d", {"feature_dim": 3, "obs_shape": OBS_SHAPE, "cfg": _UNET}, (3, *OBS_SHAPE), (3, 3))
VIT = _trained("ViT", {"in_shape": OBS_SHAPE, "cfg": _VIT}, (3, *OBS_SHAPE))
AUTOENCODER = parity.Pair(
    name="networks Encoder and Decoder in training",
    reference=_autoencoder,
    candidates={"nnx": _autoencoder_nnx},
    inputs=lambda _: st.just((parity.real(4, *OBS_SHAPE),)),
    modes=("train",),
    checks=("randomness", "trajectory"),
)


def _optimizers(name: str) -> Optimizers:
    """The networks' own optimizer of a name on both sides, with torch's defaults."""

    def reference(parameters: Any, rate: float) -> Any:
        from models.networks.torch import get_optimizer

        return get_optimizer(parameters, name, lr=rate)

    def candidate(rate: float) -> Any:
        from models.networks.jax import get_optimizer

        return get_optimizer(name, defaults="torch", lr=rate)

    return Optimizers(name, reference, candidate)


_NAMES = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")
GET_OPTIMIZER = claim(
    "get_optimizer",
    st.just(Recipe("LinearNormActivation", {"input_dim": 5, "output_dim": 4, "cfg": LinearConfig("Tanh")}, ((4, 5),))),
    modes=("train",),
    checks=("trajectory",),
    optimizers=tuple(map(_optimizers, _NAMES)),
)
