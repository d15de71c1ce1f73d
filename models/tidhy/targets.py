"""The TiDHy that `models.tidhy.train` trains, in all three frameworks: targets and source for `weight-bridge`.

`models.tidhy.targets:linen` and `:nnx` are targets, `models.tidhy.targets:torch_model` is the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.tidhy.config import TiDHyConfig

if TYPE_CHECKING:
    import numpy as np
    from flax import linen as flax_linen
    from flax import nnx as flax_nnx
    from torch import nn

# Small enough to train in seconds, with every kind of parameter: networks, layer norms, bare arrays.
CONFIG = TiDHyConfig(
    input_dim=3,
    r_dim=6,
    r2_dim=3,
    mix_dim=4,
    hyper_hid_dim=16,
    nonlin_decoder=True,
    dyn_bias=True,
    max_iter=50,
    lr_r=0.1,
    lr_r2=0.02,  # larger ones let rounding grow along a sequence, and nothing is compared then but chaos
)


def torch_model() -> nn.Module:
    """The torch TiDHy, newly initialised."""
    from models.tidhy.torch import TiDHy

    return TiDHy(CONFIG)


def linen() -> tuple[flax_linen.Module, tuple[np.ndarray]]:
    """The linen TiDHy and example inputs: two time steps are enough to find its variables."""
    import numpy as np

    from models.tidhy.linen import TiDHy

    return TiDHy(CONFIG), (np.zeros((1, 2, CONFIG.input_dim), np.float32),)


def nnx() -> flax_nnx.Module:
    """The NNX TiDHy, newly initialised."""
    from flax import nnx

    from models.tidhy.nnx import TiDHy

    return TiDHy(CONFIG, rngs=nnx.Rngs(0))
