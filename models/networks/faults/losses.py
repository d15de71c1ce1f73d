"""Mistakes in losses, contrasts and codes of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.lax import stop_gradient

from models.networks.faults import calls
from models.networks.faults.placing import called, inside, put
from models.networks.frequency_loss_nnx import FocalFrequencyLoss
from models.networks.losses_nnx import cross_entropy
from models.networks.transforms_nnx import SoftmaxTransformation
from parity.faults import adding, around, both, family

if TYPE_CHECKING:
    from jax import Array


class _Unscaled(FocalFrequencyLoss):
    """FFT without a factor, in place of the orthonormal one."""

    def spectrum(self, images: Array) -> Array:
        patch = images.shape[-2] * images.shape[-1] // self.patch_factor**2
        return super().spectrum(images) * patch**0.5


class _Learning(FocalFrequencyLoss):
    """Weights that pass gradients on."""

    def weights(self, distance: Array) -> Array:
        m = jnp.sqrt(distance) ** self.alpha
        return m / m.max((-2, -1), keepdims=True)


class _OneMaximum(FocalFrequencyLoss):
    """One maximum for all samples and channels."""

    def weights(self, distance: Array) -> Array:
        m = jnp.sqrt(stop_gradient(distance)) ** self.alpha
        return m / m.max()


class _WideKernel(SoftmaxTransformation):
    """Sigma squared, twice: a normal density's exponent."""

    def transform(self, x: Array) -> Array:
        weights = jnp.exp(-((x[..., None] - self._grid(x)) ** 2) / (2 * self.sigma**2))
        weights = weights / (weights.sum(-1, keepdims=True) + 1e-8)
        return weights.reshape(*x.shape[:-1], -1)


class _GridFirst(SoftmaxTransformation):
    """The numbers of one grid point side by side, in place of the grid of one number."""

    def transform(self, x: Array) -> Array:
        return super().transform(x).reshape(*x.shape, -1).swapaxes(-1, -2).reshape(*x.shape[:-1], -1)


def _spectra(loss: type[FocalFrequencyLoss]) -> Any:
    return called(lambda original, module, *inputs: loss(**calls.FREQUENCY)(*inputs, mean_batch=False))


def _code(transformation: type[SoftmaxTransformation]) -> Any:
    def call(original: Any, module: Any, x: Array) -> dict[str, Array]:
        other = transformation(calls.CODE_CONFIG)
        code = other.transform(x)
        return {"code": code, "numbers": SoftmaxTransformation(calls.CODE_CONFIG).inverse(code)}

    return called(call)


def _naive_bits(original: Any, module: Any, x: Array, target: Array) -> Array:
    return ((1 - target) * x - jnp.log(jax.nn.sigmoid(x))).sum(-1)


def _unfocused(original: Any, module: Any, x: Array, target: Array) -> Array:
    return cross_entropy(x, target).mean(0).sum()


def _other_axis(original: Any, module: Any, logits: Array, target: Array) -> Array:
    return original(module, logits.swapaxes(1, 2), target)


def _stopped_target(original: Any, module: Any, x: Array, target: Array) -> Array:
    return original(module, x, stop_gradient(target))


def _hard(original: Any, module: Any, *inputs: Array) -> Array:
    return stop_gradient(original(module, *inputs))


def _without_chance(original: Any, module: Any, first: Array, second: Array) -> dict[str, Array]:
    found, chance = original(module, first, second), jnp.log(float(first.shape[0] * first.shape[1]))
    return {name: value if name == "positive" else value + chance for name, value in found.items()}


def _own_rows(original: Any, first: Array, second: Array) -> tuple[Array, Array]:
    loss = original.__self__
    return loss.eval_func(first.reshape(-1, first.shape[-1])), loss.eval_func2(second.reshape(-1, second.shape[-1]))


FAULTS = family(
    "networks: losses",
    put(
        *(calls.FOCUSED, "", "loss-sum-vs-mean", "a mean over positions in place of a sum"),
        called(lambda original, module, x, target: original(module, x, target) * len(target) / target.size),
        causes=("reduction-axis", "constant-factor", "loss-factor"),
    ),
    put(
        *(calls.FOCUSED, "", "focal-focus", "the exponent of the focus left out"),
        called(_unfocused),
        causes=("constant-differs", "operand-dropped"),
    ),
    put(
        *(calls.BITS, "", "bce-logits-naive", "the logarithm of a sigmoid"),
        called(_naive_bits),
        causes=("logsigmoid-naive",),
    ),
    put(
        *(calls.IMAGES, "", "charbonnier-gradient", "no gradient to the target"),
        called(_stopped_target),
        checks=("input_grad",),
        causes=("stop-gradient-extra",),
    ),
    put(
        *(calls.IMAGES, "", "charbonnier-epsilon", "epsilon in place of its square"),
        called(lambda original, module, x, y: jnp.sqrt((x - y) ** 2 + 0.1).sum((-3, -2, -1))),
        causes=("constant-differs", "norm-epsilon"),
    ),
    put(
        *(calls.CLASSES, "", "class-axis", "classes on the last axis"),
        called(_other_axis),
        causes=("softmax-axis", "reduction-axis", "transpose-order"),
    ),
    put(
        *(calls.SOFT_CLASSES, "", "soft-target-gradient", "no gradient to the soft target"),
        called(_stopped_target),
        checks=("input_grad",),
        causes=("stop-gradient-extra",),
    ),
    put(*(calls.SPECTRA, "", "fft-normalisation", "a transform without a factor"), _spectra(_Unscaled)),
    put(
        *(calls.SPECTRA, "", "frequency-weights-live", "weights that pass gradients on"),
        _spectra(_Learning),
        checks=("input_grad",),
        causes=("stop-gradient-missing",),
    ),
    put(
        *(calls.SPECTRA, "", "frequency-maximum", "one maximum for all samples and channels"),
        _spectra(_OneMaximum),
        causes=("reduction-axis", "setting-differs"),
    ),
    put(
        *(calls.NOISY, "", "straight-through-gumbel", "one-hot samples that pass no gradient"),
        called(_hard),
        checks=("input_grad",),
        causes=("straight-through-lost", "stop-gradient-extra"),
    ),
    put(
        *(calls.CODES, "", "code-kernel", "twice sigma squared in place of sigma"),
        _code(_WideKernel),
        causes=("constant-differs",),
    ),
    put(
        *(calls.CODES, "", "code-order", "point by point in place of number by number"),
        _code(_GridFirst),
        causes=("head-merge-no-transpose",),
    ),
    put(
        *(calls.CONTRASTED, "", "contrast-chance", "the number of rows left out"),
        called(_without_chance),
        causes=("constant-differs", "operand-dropped", "constant-offset"),
    ),
    put(
        *(calls.CONTRASTED, "", "contrast-sides", "the second features' rows out of order"),
        called(lambda original, module, first, second: original(module, first, second[:, ::-1])),
        causes=("preprocess-mismatch",),
    ),
    put(
        *(calls.SHARED, "", "tied-weights-untied", "the second features have a network of their own"),
        inside(both(adding(eval_func2=lambda loss: nnx.clone(loss.eval_func)), around("_rows", _own_rows))),
        checks=("trajectory",),
    ),
    put(
        *(calls.JUDGED, "", "optional-arg-default", "a default temperature of 1 in place of 0.1"),
        called(lambda original, module, first, second: module.calc_sigmoid(first, second, temperature=1.0)),
        causes=("constant-differs",),
    ),
)
