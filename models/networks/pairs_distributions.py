"""Claims on sampled distributions: deterministic, straight-through, drawn with shared numbers, given the noise."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

import parity
from models.networks.calls import FunctionCall, MethodCall, function_claim, method_claim

KINDS = ("normal", "categorical", "bernoulli")


@dataclass(frozen=True)
class Bits(parity.Input):
    """Zeros and ones."""

    def values(self, profile: str, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, 2, self.shape).astype(np.float64)


@dataclass(frozen=True)
class OneHot(parity.Input):
    """One-hot rows over the last axis."""

    def values(self, profile: str, rng: np.random.Generator) -> np.ndarray:
        return np.eye(self.shape[-1])[rng.integers(0, self.shape[-1], self.shape[:-1])]


def _noise(kind: str, batch: tuple[int, ...], width: int, groups: int) -> parity.Input:
    """What a draw would have given: ε, one-hot rows or bits."""
    if kind == "normal":
        return parity.real(*batch, width, profiles=("normal",))
    return (OneHot if kind == "categorical" else Bits)((*batch, groups, width // groups))


@st.composite
def _distribution(draw: st.DrawFn, *, deterministic: bool, given_noise: bool = False) -> MethodCall:
    """Every kind, grouping and projection; spherical bits go through the codebook's corners."""
    kind = draw(st.sampled_from(KINDS))
    width, groups = draw(st.sampled_from(((6, 2), (6, 3), (5, 1), (8, 2))))
    batch = draw(st.sampled_from(((3,), (2, 3))))
    arguments = {"in_dim": width, "dist": kind, "n_groups": groups, "spherical": draw(st.booleans())}
    keywords: dict[str, Any] = {"deterministic": deterministic}
    if draw(st.booleans()):
        keywords["inv_tmp"] = 0.7
    x = parity.real(*batch, 2 * width if kind == "normal" else width, profiles=("normal", "small", "offset", "wide"))
    noise = (_noise(kind, batch, width, groups),) if given_noise else ()
    return MethodCall(
        "Distribution", arguments, (x, *noise), keywords=keywords, named=("noise",) if given_noise else ()
    )


def _stoch(library: Any, kind: str, *parameters: Any) -> Any:
    """A stoch with these parameters: mean and deviation, logits, or probabilities of bits."""
    first, last = parameters[0], parameters[-1]
    if kind == "normal":
        return library.NormalStoch(first, last, first)
    if kind == "categorical":
        return library.CategoricalStoch(first, library.softmax(first), first)
    return library.BernoulliStoch(first, first, first)


def _parameters(kind: str) -> tuple[parity.Input, ...]:
    """What `_stoch` takes; none so small that divergences are differences of near equals."""
    if kind == "bernoulli":
        return (parity.unit(3, 2, 5),)
    x = parity.real(3, 2, 5, profiles=("normal", "offset", "wide"))
    return (x, replace(x, kind="positive")) if kind == "normal" else (x,)


def _divergence(library: Any, *parameters: Any, kind: str, weight: float | None) -> Any:
    """The divergence of two stochs, balanced where a weight is given."""
    half = len(parameters) // 2
    posterior, prior = _stoch(library, kind, *parameters[:half]), _stoch(library, kind, *parameters[half:])
    if weight is None:
        return library.kl_divergence(posterior, prior)
    return library.kl_balancing(posterior, prior, weight)


def _likelihood(library: Any, value: Any, *parameters: Any, kind: str) -> Any:
    """Log-probability of a value, and entropy."""
    distribution = library.get_dist(_stoch(library, kind, *parameters))
    return {"log_prob": distribution.log_prob(value), "entropy": distribution.entropy()}


def _divergence_call(kind: str, weight: float | None) -> FunctionCall:
    return FunctionCall({"kind": kind, "weight": weight}, (*_parameters(kind), *_parameters(kind)))


def _likelihood_call(kind: str) -> FunctionCall:
    value: dict[str, parity.Input] = {"categorical": OneHot((3, 2, 5)), "bernoulli": Bits((3, 2, 5))}
    return FunctionCall({"kind": kind}, (value.get(kind, parity.real(3, 2, 5)), *_parameters(kind)))


def _fields(stoch: Any) -> dict[str, Any]:
    """Parameters and sample by name: a stoch has a shape of its own, and would pass for an array."""
    return {entry.name: getattr(stoch, entry.name) for entry in fields(stoch)}


def _drawn(name: str, calls: st.SearchStrategy[MethodCall]) -> parity.Pair:
    return method_claim(f"Distribution, {name}", calls, output=_fields)


_ANY_KIND = st.sampled_from(KINDS)

DETERMINISTIC = _drawn("deterministic", _distribution(deterministic=True))
SAMPLED = _drawn("sampled", _distribution(deterministic=False))
GIVEN_NOISE = _drawn("given the noise", _distribution(deterministic=False, given_noise=True))
KL_DIVERGENCE = function_claim("kl_divergence", st.builds(_divergence_call, _ANY_KIND, st.none()), _divergence)
KL_BALANCING = function_claim(
    "kl_balancing", st.builds(_divergence_call, _ANY_KIND, st.sampled_from((0.8, 0.0, 1.0))), _divergence
)
LIKELIHOOD = function_claim("get_dist", st.builds(_likelihood_call, _ANY_KIND), _likelihood)
CODES = function_claim(
    "BSQCodebook.bits_to_codes",
    st.sampled_from((3, 4)).map(lambda bits: FunctionCall({}, (parity.real(5, 2, bits),))),
    lambda library, x: library.BSQCodebook.bits_to_codes(x),
)
