"""TiDHy's claims, torch against linen and NNX: building blocks, one step from equal latents, whole sequences.

A step is compared teacher-forced (both sides start from the same latents) before sequences are: rounding grows along a
sequence, a fault shows in the step. Step sizes stay where the inner dynamics are stable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

import parity
from models.tidhy.config import TiDHyConfig

if TYPE_CHECKING:
    from parity.record import Arrays

BATCH, TIME = 5, 4


def _reference(config: TiDHyConfig) -> Any:
    from models.tidhy.torch import TiDHy

    return TiDHy(config)


def _nnx(config: TiDHyConfig) -> Any:
    from flax import nnx

    from models.tidhy.nnx import TiDHy

    return TiDHy(config, rngs=nnx.Rngs(0))


def _linen(config: TiDHyConfig) -> Any:
    from models.tidhy.linen import TiDHy

    return TiDHy(config), (np.zeros((BATCH, TIME, config.input_dim)),)


_CANDIDATES: Mapping[str, Callable[[TiDHyConfig], Any]] = {"nnx": _nnx, "linen": _linen}

_SIZES = {
    "input_dim": st.sampled_from((7, 5)),
    "r_dim": st.sampled_from((4, 3)),
    "r2_dim": st.sampled_from((2, 3)),
    "mix_dim": st.sampled_from((3, 6)),
    "hyper_hid_dim": st.sampled_from((11, 13)),
    "r2_decoder_hid_dim": st.just(9),
}

_SETTINGS = {
    "nonlin_decoder": st.booleans(),
    "low_rank_temp": st.booleans(),
    "dyn_bias": st.booleans(),
    "use_r2_decoder": st.booleans(),
    "batch_converge": st.booleans(),
    "grad_norm_inf": st.booleans(),
    "stateful": st.booleans(),
    "max_iter": st.sampled_from((20, 10, 31)),
    "tol": st.sampled_from((1e-2, 1e-9)),
    "lr_r": st.sampled_from((0.06, 0.11)),
    "lr_r2": st.sampled_from((0.03, 0.01)),
    "temp_weight": st.sampled_from((1.3, 2.0)),
    "lmda_r": st.sampled_from((0.0, 0.01)),
    "lmda_r2": st.sampled_from((0.0, 0.003)),
    "L1_inf_w": st.sampled_from((0.0, 0.01)),
    "L1_inf_r": st.sampled_from((0.0, 0.02)),
    "L1_inf_r2": st.sampled_from((0.0, 0.005)),
    "grad_alpha_inf": st.sampled_from((1.0, 0.5)),
}


def _configs(*losses: str, **changes: Any) -> st.SearchStrategy[TiDHyConfig]:
    """Every option, for some loss types."""
    return parity.configs(TiDHyConfig, loss_type=st.sampled_from(losses), **{**_SIZES, **_SETTINGS, **changes})


def _sequence(config: TiDHyConfig) -> parity.Input:
    """Observations (B, T, D) that the loss accepts."""
    return _observation(config, BATCH, TIME, config.input_dim)


def _observation(config: TiDHyConfig, *shape: int) -> parity.Input:
    if config.loss == "BCE":
        return parity.unit(*shape)
    if config.loss == "Poisson":
        return parity.counts(*shape)
    return parity.real(*shape, profiles=("normal", "small", "offset"))


def _latents(config: TiDHyConfig) -> tuple[parity.Input, parity.Input]:
    """The lower latent before and the upper latent: (B, R), (B, Q)."""
    latent = ("normal", "small")
    return parity.real(BATCH, config.r_dim, profiles=latent), parity.real(BATCH, config.r2_dim, profiles=latent)


def _sequences(config: TiDHyConfig) -> st.SearchStrategy[tuple[parity.Input, ...]]:
    return st.just((_sequence(config),))


def _firsts(config: TiDHyConfig) -> st.SearchStrategy[tuple[parity.Input, ...]]:
    return st.just((_observation(config, BATCH, config.input_dim),))


def _steps(config: TiDHyConfig) -> st.SearchStrategy[tuple[parity.Input, ...]]:
    return st.just((_observation(config, BATCH, config.input_dim), *_latents(config)))


def _predictions(config: TiDHyConfig) -> st.SearchStrategy[tuple[parity.Input, ...]]:
    return st.just(_latents(config))


def positive_rates(state: Arrays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights with the decoder's last bias near 3, so that Poisson rates are positive and their logarithms finite."""
    moved = parity.perturb(state, rng)
    last = [name for name in moved if name.startswith("spatial_decoder.") and name.endswith(".bias")][-1]
    return moved | {last: 3.0 + moved[last]}


def _inferred(result: Any) -> Any:
    """What every framework returns of an inferred step; the trace of losses differs in kind between them."""
    return {"r": result.r, "r2": result.r2, "n_iter": result.n_iter}


def _pair(name: str, *losses: str, **parts: Any) -> parity.Pair:
    """A claim about some loss types; parts that are not given are those of whole sequences."""
    usual: dict[str, Any] = {
        "reference": _reference,
        "candidates": _CANDIDATES,
        "configs": _configs(*losses),
        "inputs": _sequences,
        "modes": ("train",),
        "checks": ("forward", "input_grad", "param_grad"),
    }
    return parity.Pair(name=f"TiDHy {name}", **{**usual, **parts})


PREDICTION = _pair("temporal prediction", "MSE", method="temporal_prediction", inputs=_predictions)

FIRST_STEP = _pair("first inference", "MSE", "BCE", method="inf_first_step", inputs=_firsts, checks=("forward",))

STEP = _pair("inference", "MSE", "verbatim", method="inf", inputs=_steps, output=_inferred, checks=("forward",))

STEP_BCE = _pair("inference, BCE", "BCE", method="inf", inputs=_steps, output=_inferred, checks=("forward",))

STEP_POISSON = _pair(
    "inference, Poisson",
    "Poisson",
    configs=_configs("Poisson", lr_r=st.just(0.03), grad_alpha_inf=st.just(1.0)),
    method="inf",
    inputs=_steps,
    output=_inferred,
    checks=("forward",),
    weights=positive_rates,
)

LOSSES = _pair("sequence losses", "MSE", "BCE", method="sequence_losses")

LOSSES_POISSON = _pair(
    "sequence losses, Poisson",
    "Poisson",
    configs=_configs("Poisson", lr_r=st.just(0.03), grad_alpha_inf=st.just(1.0)),
    method="sequence_losses",
    weights=positive_rates,
)

RECORD = _pair("recorded evaluation", "MSE", "BCE", method="evaluate_record", checks=("forward", "param_grad"))
