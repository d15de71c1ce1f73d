"""The claim on the voice detector, at small sizes with drawn weights; the real weights have a test of their own."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.silero.config import SileroConfig

BATCH = 3


def _reference(config: SileroConfig) -> Any:
    from models.silero.torch import VoiceDetector

    return VoiceDetector(config)


def _nnx(config: SileroConfig) -> Any:
    from flax import nnx

    from models.silero.nnx import VoiceDetector

    return VoiceDetector(config, rngs=nnx.Rngs(0))


def _inputs(config: SileroConfig) -> st.SearchStrategy[tuple[parity.Input, ...]]:
    """A chunk that has four spectra, which the strides bring down to one frame, and a state."""
    samples = config.n_fft + 3 * config.hop - config.pad
    return st.just((parity.real(BATCH, samples), parity.real(2, BATCH, config.channels[-1])))


VOICE = parity.Pair(
    name="Silero voice detector",
    reference=_reference,
    candidates={"nnx": _nnx},
    configs=parity.configs(
        SileroConfig,
        n_fft=st.sampled_from((8, 12)),
        hop=st.sampled_from((3, 5)),
        pad=st.sampled_from((2, 4)),
        channels=st.sampled_from(((11, 13, 7, 17), (13, 7, 11, 19))),
    ),
    inputs=_inputs,
    modes=("eval",),
    exempt={"trajectory": "torch trains the two biases of a gate, each at the full rate, where Flax has their sum"},
    checks=("forward", "input_grad", "param_grad"),
)
