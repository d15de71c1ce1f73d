"""Distributions: what their parameters mean, what they count, where they end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch import distributions as D

from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect

Change = Callable[[Any], Any]


def _inverse(x: Any) -> Any:
    return 1 / torch.as_tensor(x)


def _parameters(cls: type, **changes: Change) -> Callable[[], AbstractContextManager[Any]]:
    """Every distribution of a class built with changed parameters."""
    own: Any = cls.__init__
    names = own.__code__.co_varnames[1 : own.__code__.co_argcount]

    @contextmanager
    def edit() -> Generator[None]:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            given = {n: changes[n](v) if n in changes and v is not None else v for n, v in given.items()}
            own(self, **{**given, "validate_args": False})

        with patch.object(cls, "__init__", init):
            yield

    return edit


def _densities(cls: type, compute: Callable[[Any, Tensor, Callable[..., Tensor]], Tensor]) -> Callable[[], Any]:
    """Every log-probability of a class computed otherwise."""
    own: Any = vars(cls)["log_prob"]

    def log_prob(self: Any, value: Tensor) -> Tensor:
        validated = vars(self).get("_validate_args")
        self._validate_args = False  # a value outside the support is what the mistake makes
        try:
            return compute(self, value, lambda x: own(self, x))
        finally:
            if validated is None:
                del self._validate_args
            else:
                self._validate_args = validated

    return lambda: patch.object(cls, "log_prob", log_prob)


Factored = Callable[[Tensor], Tensor]


def _with_factor(change: Factored) -> Callable[[], AbstractContextManager[Any]]:
    """Every multivariate normal distribution with another factor."""

    def compute(self: Any, value: Tensor, own: Callable[..., Tensor]) -> Tensor:
        right = self._unbroadcasted_scale_tril
        self._unbroadcasted_scale_tril = change(right)
        try:
            return own(value)
        finally:
            self._unbroadcasted_scale_tril = right

    return _densities(D.MultivariateNormal, compute)


def _symmetrised(factor: Tensor) -> Tensor:
    """`jnp.linalg.cholesky` of a factor: it takes the mean of a matrix and its transpose first."""
    return torch.linalg.cholesky((factor + factor.mT) / 2)


def _mirrored(factor: Tensor) -> Tensor:
    """`torch.linalg.cholesky` of a factor: the lower triangle stands for the upper one too."""
    return torch.linalg.cholesky(factor)


def _squared(factor: Tensor) -> Tensor:
    """A covariance where its factor belongs."""
    return factor @ factor.mT


def _endless(self: Any, value: Tensor, own: Callable[..., Tensor]) -> Tensor:
    return (-torch.log(self.high - self.low)).expand(value.shape) + 0 * value


CONVENTIONS: Mapping[str, tuple[tuple[str, str, Callable[[], Any]], ...]] = {
    "Gamma": (("gamma-rate-scale", "a scale in place of a rate", _parameters(D.Gamma, rate=_inverse)),),
    "Exponential": (("gamma-rate-scale", "a scale in place of a rate", _parameters(D.Exponential, rate=_inverse)),),
    "Geometric": (
        ("geometric-support", "trials in place of failures", _densities(D.Geometric, lambda s, v, own: own(v - 1))),
        ("geometric-support", "one more failure", _densities(D.Geometric, lambda s, v, own: own(v + 1))),
    ),
    "NegativeBinomial": (
        ("negbinom-probability", "1 - p in place of p", _parameters(D.NegativeBinomial, probs=lambda p: 1 - p)),
    ),
    "Bernoulli": (("negbinom-probability", "1 - p in place of p", _parameters(D.Bernoulli, probs=lambda p: 1 - p)),),
    "Normal": (
        ("noise-std-vs-variance", "a variance in place of a deviation", _parameters(D.Normal, scale=lambda s: s**0.5)),
        ("noise-std-vs-variance", "the deviation squared", _parameters(D.Normal, scale=lambda s: s**2)),
    ),
    "MultivariateNormal": (
        ("mvn-tril-vs-cov", "a factor taken for a covariance", _with_factor(_symmetrised)),
        ("mvn-tril-vs-cov", "a factor taken for a covariance, its triangle mirrored", _with_factor(_mirrored)),
        ("mvn-tril-vs-cov", "a covariance taken for a factor", _with_factor(_squared)),
        ("mvn-tril-vs-cov", "a transposed factor", _with_factor(lambda factor: factor.mT)),
    ),
    "Uniform": (("support-outside", "the density goes on outside", _densities(D.Uniform, _endless)),),
}
"""Class of `torch.distributions` → cause, words, and the same class with the mistake."""


def conventions(scene: Scene) -> Iterator[Hypothesis]:
    """Every convention of every distribution that a module builds."""
    built = _built(scene)
    if built:
        detail = "the divergence the other way round"
        yield Suspect("kl-argument-order", scene.name, detail, around=_divergence_exchanged)
    for name in [name for name in built if name in CONVENTIONS]:
        for cause, detail, edit in CONVENTIONS[name]:
            yield Suspect(cause, scene.name, f"{name}: {detail}", around=edit)


class _Forgetful(dict[Any, Any]):
    """Keeps nothing: which rule applies depends on how deep inside another it is asked for."""

    def __setitem__(self, key: Any, value: Any) -> None:
        del key, value


@contextmanager
def _divergence_exchanged() -> Generator[None]:
    """Every divergence of two distributions taken the other way round; those inside of it follow."""
    rules: Any = D.kl
    own, depth = rules._dispatch_kl, [0]

    def dispatched(p: type, q: type) -> Callable[[Any, Any], Any]:
        if depth[0]:
            return own(p, q)

        def exchanged(first: Any, second: Any) -> Any:
            depth[0] += 1
            try:
                return own(q, p)(second, first)
            finally:
                depth[0] -= 1

        return exchanged

    with patch.object(rules, "_dispatch_kl", dispatched), patch.object(rules, "_KL_MEMOIZE", _Forgetful()):
        yield


def _built(scene: Scene) -> list[str]:
    """The distributions that a run of the module builds."""
    seen: list[str] = []

    @contextmanager
    def watching() -> Generator[None]:
        own: Any = D.Distribution.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            seen.append(type(self).__name__)
            own(self, *args, **kwargs)

        with patch.object(D.Distribution, "__init__", init):
            yield

    scene.rerun(watching, {})
    return list(dict.fromkeys(seen))


FAMILY = Family("distribution", {}, conventions)
