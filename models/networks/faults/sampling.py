"""Mistakes in distributions, samples and divergences."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from models.networks.faults import calls
from models.networks.faults.placing import called, inside, put
from models.networks.stoch_nnx import BernoulliStoch, CategoricalStoch, NormalStoch
from parity.faults import around, family

if TYPE_CHECKING:
    from jax import Array


def _noise_of(draw: Any, like: Array) -> Array:
    return draw(lambda key, like: like, like)


def _normal(deviation: Any) -> Any:
    """Another deviation: `deviation(raw)`."""

    def call(original: Any, x: Array, deterministic: bool, draw: Any) -> NormalStoch:
        mean, raw = jnp.split(x, 2, axis=-1)
        std = deviation(raw)
        return NormalStoch(mean, std, mean + _noise_of(draw, mean) * std)

    return around("_normal", call)


def _variance(original: Any, x: Array, deterministic: bool, draw: Any) -> NormalStoch:
    """The deviation read as a variance by the draw."""
    found = original(x, deterministic, draw)
    return replace(found, stoch=found.mean + _noise_of(draw, found.mean) * jnp.sqrt(found.std))


def _stopped(original: Any, *arguments: Any) -> Any:
    found = original(*arguments)
    return replace(found, stoch=stop_gradient(found.stoch))


def _hard(original: Any, logits: Array, deterministic: bool, inv_tmp: float, draw: Any) -> CategoricalStoch:
    """The one-hot sample without the gradient of its probabilities."""
    found = original(logits, deterministic, inv_tmp, draw)
    return replace(found, stoch=stop_gradient(found.stoch))


def _tempered(original: Any, logits: Array, deterministic: bool, inv_tmp: float, draw: Any) -> Any:
    """The inverse temperature taken for the temperature."""
    return original(logits, deterministic, 1 / inv_tmp, draw)


def _scaled_logits(original: Any, logits: Array, deterministic: bool, inv_tmp: float, draw: Any) -> BernoulliStoch:
    """Logits without the temperature, as those of categories."""
    return replace(original(logits, deterministic, inv_tmp, draw), logits=logits)


def _unprojected(original: Any, logits: Array, deterministic: bool, inv_tmp: float, draw: Any) -> BernoulliStoch:
    """Bits to ±1, not to the unit sphere."""
    found = original(logits, deterministic, inv_tmp, draw)
    return replace(found, stoch=found.stoch * found.logits.shape[-1] ** 0.5)


def _by_class(original: Any, x: Array, *arguments: Any, **options: Any) -> Any:
    """Logits split into (K, G) in place of (G, K)."""
    split = x.reshape(len(x), -1, original.__self__.n_groups).swapaxes(1, 2)
    return original(split.reshape(x.shape), *arguments, **options)


def _swapped(original: Any, module: Any, *inputs: Any) -> Any:
    half = len(inputs) // 2
    return original(module, *inputs[half:], *inputs[:half])


def _live(original: Any, module: Any, posterior: Array, prior: Array) -> Array:
    """Both gradients in full, the value being that of the divergence either way."""
    from models.networks.jax import CategoricalStoch, kl_divergence, softmax

    return kl_divergence(*(CategoricalStoch(x, softmax(x), x) for x in (posterior, prior)))


FAULTS = family(
    "networks: sampling",
    put(
        *(calls.NORMAL, "", "deviation-floor", "the floor of the deviation left out"),
        inside(_normal(lambda raw: jax.nn.softplus(raw))),
        causes=("constant-differs", "norm-epsilon", "operand-dropped"),
    ),
    put(
        *(calls.NORMAL, "", "deviation-by-exponential", "an exponential in place of softplus"),
        inside(_normal(lambda raw: jnp.exp(raw) + 1e-6)),
        causes=("activation-swapped",),
    ),
    put(
        *(calls.NORMAL, "", "noise-std-vs-variance", "the deviation read as a variance"),
        inside(around("_normal", _variance)),
    ),
    put(
        *(calls.NORMAL, "", "rsample-as-sample", "a sample that passes no gradient"),
        inside(around("_normal", _stopped)),
        checks=("input_grad",),
        causes=("stop-gradient-extra",),
    ),
    put(
        *(calls.CATEGORICAL, "", "straight-through-categories", "one-hot samples that pass no gradient"),
        inside(around("_categorical", _hard)),
        checks=("input_grad",),
        causes=("straight-through-lost", "stop-gradient-extra"),
    ),
    put(
        *(calls.CATEGORICAL, "", "softmax-temperature-inverted", "the inverse temperature for the temperature"),
        inside(around("_categorical", _tempered)),
        causes=("softmax-temperature", "constant-differs", "attn-scale-dim"),
    ),
    put(
        *(calls.CATEGORICAL, "", "group-order", "logits split into (K, G) in place of (G, K)"),
        inside(around("__call__", _by_class)),
        causes=("head-split-order", "group-interleave"),
    ),
    put(
        *(calls.LIKELIEST, "", "straight-through-likeliest", "the likeliest class passes no gradient"),
        inside(around("_categorical", _hard)),
        checks=("input_grad",),
        causes=("straight-through-lost", "stop-gradient-extra"),
    ),
    put(
        *(calls.BERNOULLI, "", "straight-through-bits", "bits that pass no gradient"),
        inside(around("_bernoulli", _stopped)),
        checks=("input_grad",),
        causes=("straight-through-lost", "stop-gradient-extra"),
    ),
    put(
        *(calls.BERNOULLI, "", "logits-untempered", "logits without the temperature, as those of categories"),
        inside(around("_bernoulli", _scaled_logits)),
        causes=("constant-differs", "wrong-variable"),
    ),
    put(
        *(calls.SPHERICAL, "", "sphere-missing", "bits to ±1, not to the unit sphere"),
        inside(around("_bernoulli", _unprojected)),
        causes=("activation-missing", "constant-factor"),
    ),
    put(
        *(calls.DIVERGENCE, "", "kl-argument-order", "the divergence the other way round"),
        called(_swapped),
    ),
    put(
        *(calls.DIVERGENCE, "", "kl-reduction", "a mean over the event in place of a sum"),
        called(lambda original, module, *inputs: original(module, *inputs) / inputs[0].shape[-1]),
        causes=("loss-sum-vs-mean", "constant-factor", "loss-factor"),
    ),
    put(
        *(calls.BALANCED, "", "target-network-live", "no gradient is stopped, nor shared out"),
        called(_live),
        checks=("input_grad",),
        causes=("stop-gradient-missing",),
    ),
)
