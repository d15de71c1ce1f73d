"""The pretrained detector, as the installed package `silero-vad` ships it: its files, a target, a source.

`models.silero.pretrained:nnx` is a target for `weight-bridge`, `models.silero.pretrained:torch_model` its source.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from models.silero.config import SileroConfig

if TYPE_CHECKING:
    from flax import nnx as flax_nnx
    from torch import nn

CONFIG = SileroConfig()
CHUNK, CONTEXT = 512, 64
"""Samples that are new in each call, and those that the chunk before left, both at 16 kHz."""


def folder() -> Path:
    """Where the installed package keeps its weights; the package itself is not imported: it sets torch's threads."""
    found = find_spec("silero_vad")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("silero_vad is not installed: pip install silero-vad")
    return Path(found.submodule_search_locations[0]) / "data"


def checkpoint() -> Path:
    """The safetensors file for 16 kHz."""
    return folder() / "silero_vad_16k.safetensors"


def torch_model() -> nn.Module:
    """The torch detector, newly initialised."""
    from models.silero.torch import VoiceDetector

    return VoiceDetector(CONFIG)


def nnx() -> flax_nnx.Module:
    """The NNX detector, newly initialised."""
    from flax import nnx

    from models.silero.nnx import VoiceDetector

    return VoiceDetector(CONFIG, rngs=nnx.Rngs(0))
