"""Claims on functions: losses of classes, bits and images, softmaxes, and what codes and rescales numbers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import parity
from models.networks.calls import FunctionCall, function_claim
from models.networks.config import SoftmaxTransConfig
from models.networks.pairs_distributions import Bits

_CLASSES = 5
_LOGITS: dict[int, tuple[int, ...]] = {-1: (4, 3, _CLASSES), -3: (2, _CLASSES, 3, 4)}
_TARGETS: dict[int, tuple[int, ...]] = {-1: (4, 3), -3: (2, 1, 3, 4)}


def _focal(gamma: float, sum_dim: int) -> FunctionCall:
    inputs = parity.real(*_LOGITS[sum_dim]), parity.tokens(*_TARGETS[sum_dim], vocabulary=_CLASSES)
    return FunctionCall({"gamma": gamma, "sum_dim": sum_dim}, inputs)


def _binary_focal(gamma: float, sum_dim: int) -> FunctionCall:
    target = parity.unit(4, 3, 5) if gamma == 0 else Bits((4, 3, 5))  # only without focus may targets be soft
    return FunctionCall({"gamma": gamma, "sum_dim": sum_dim}, (parity.real(4, 3, 5), target))


def _charbonnier(epsilon: float, alpha: float, sum_dim: Any) -> FunctionCall:
    images = parity.real(2, 3, 4, 5)
    return FunctionCall({"epsilon": epsilon, "alpha": alpha, "sum_dim": sum_dim}, (images, images))


def _cross_entropy(dim: int) -> FunctionCall:
    shape = (3, _CLASSES, 4) if dim == 1 else (3, 4, _CLASSES)
    return FunctionCall({"dim": dim}, (parity.real(*shape), parity.tokens(3, 4, vocabulary=_CLASSES)))


def _soft_cross_entropy(dim: int) -> FunctionCall:
    return FunctionCall({"dim": dim}, (parity.real(3, 4, 5), parity.real(3, 4, 5)))


@st.composite
def _focal_frequency(draw: st.DrawFn) -> FunctionCall:
    """Images or sequences of them, whole or in patches, of odd sizes too; weights computed or given."""
    factor = draw(st.sampled_from((1, 2)))
    size = draw(st.sampled_from(((4, 6), (6, 2)) if factor == 2 else ((4, 6), (5, 7), (1, 3))))
    batch = draw(st.sampled_from(((2,), (2, 3))))
    settings = {
        "loss_weight": draw(st.sampled_from((1.0, 0.3))),
        "alpha": draw(st.sampled_from((1.0, 1.5))),
        "patch_factor": factor,
        "ave_spectrum": False if len(batch) == 2 else draw(st.booleans()),
        "log_matrix": draw(st.booleans()),
        "batch_matrix": draw(st.booleans()),
    }
    images = parity.real(*batch, 3, *size)
    samples = 1 if settings["ave_spectrum"] else batch[0] * (batch[1] if len(batch) == 2 else 1)
    weights = parity.unit(samples, factor**2, 3, size[0] // factor, size[1] // factor)
    given = draw(st.sampled_from(((), (weights,))))
    mean_batch = draw(st.booleans()) or (len(batch) == 2 and factor == 2)
    return FunctionCall({"settings": settings, "mean_batch": mean_batch}, (images, images, *given))


def _frequency_loss(library: Any, *inputs: Any, settings: dict[str, Any], mean_batch: bool) -> Any:
    return library.FocalFrequencyLoss(**settings)(*inputs, mean_batch=mean_batch)


def _softmax(dim: int, temperature: float) -> FunctionCall:
    return FunctionCall({"dim": dim, "temperature": temperature}, (parity.real(3, 4, 5),))


def _sampled_softmax(library: Any, x: Any, *noise: Any, dim: int, temperature: float) -> Any:
    """Drawn with shared numbers, or given the noise; JAX takes a key where there is none."""
    if noise:
        return library.gumbel_softmax(x, dim=dim, temperature=temperature, noise=noise[0])
    if library.__name__.endswith("torch"):
        return library.gumbel_softmax(x, dim, temperature)
    import jax

    return library.gumbel_softmax(x, jax.random.key(0), dim, temperature)


def _gumbel(dim: int, temperature: float, given: bool) -> FunctionCall:
    noise = (parity.real(3, 4, 5, profiles=("normal",)),) if given else ()
    x = parity.real(3, 4, 5, profiles=("normal", "small", "offset"))
    return FunctionCall({"dim": dim, "temperature": temperature}, (x, *noise))


def _code(vector: int, sigma: float, n_ignore: int) -> FunctionCall:
    cfg = SoftmaxTransConfig(vector=vector, sigma=sigma, n_ignore=n_ignore, max=1.5)
    return FunctionCall({"cfg": cfg}, (parity.real(2, 3, 4, profiles=("normal", "small")),))


def _coded(library: Any, x: Any, cfg: SoftmaxTransConfig) -> Any:
    """The code, and what it stands for."""
    transformation = library.SoftmaxTransformation(cfg)
    code = transformation.transform(x)
    return {"code": code, "numbers": transformation.inverse(code)}


def _rescaled(library: Any, x: Any, **ranges: float) -> Any:
    return library.MinMaxNormalize(**ranges)(x)


_RANGES: tuple[dict[str, float], ...] = (
    {"min_val": -1.0, "max_val": 1.0},
    {"min_val": 0.5, "max_val": 3.0, "old_min": -2.0, "old_max": 5.0},
)
_DIMS = st.sampled_from((-1, 1))
_TEMPERATURES = st.sampled_from((1.0, 0.3))
_GAMMAS = st.sampled_from((2.0, 0.0, 1.5))

FOCAL = function_claim(
    "focal_loss",
    st.builds(_focal, _GAMMAS, st.sampled_from((-1, -3))),
    lambda library, x, target, **settings: library.focal_loss(x, target, **settings),
)
BINARY_FOCAL = function_claim(
    "binary_focal_loss",
    st.builds(_binary_focal, _GAMMAS, st.sampled_from((-1, 1))),
    lambda library, x, target, **settings: library.binary_focal_loss(x, target, **settings),
)
CHARBONNIER = function_claim(
    "charbonnier",
    st.builds(
        _charbonnier, st.sampled_from((1e-3, 0.1)), st.sampled_from((1, 0.5)), st.sampled_from((None, -1, (1, 3)))
    ),
    lambda library, x, y, **settings: library.charbonnier(x, y, **settings),
)
CROSS_ENTROPY = function_claim(
    "cross_entropy",
    st.builds(_cross_entropy, _DIMS),
    lambda library, x, target, dim: library.cross_entropy(x, target, dim=dim),
)
SOFT_CROSS_ENTROPY = function_claim(
    "soft_target_cross_entropy",
    st.builds(_soft_cross_entropy, _DIMS),
    lambda library, x, y, dim: library.soft_target_cross_entropy(x, y, dim=dim),
)
FOCAL_FREQUENCY = function_claim("FocalFrequencyLoss", _focal_frequency(), _frequency_loss)
SOFTMAX = function_claim(
    "softmax",
    st.builds(_softmax, _DIMS, _TEMPERATURES),
    lambda library, x, **settings: (library.softmax(x, **settings), library.log_softmax(x, **settings)),
)
GUMBEL = function_claim("gumbel_softmax", st.builds(_gumbel, _DIMS, _TEMPERATURES, st.booleans()), _sampled_softmax)
CODE = function_claim(
    "SoftmaxTransformation",
    st.builds(_code, st.sampled_from((5, 2)), st.sampled_from((0.1, 0.7)), st.sampled_from((0, 1))),
    _coded,
)
RESCALED = function_claim(
    "MinMaxNormalize",
    st.sampled_from(_RANGES).map(lambda ranges: FunctionCall(ranges, (parity.real(2, 3, 4, 5),))),
    _rescaled,
    exempt={"sizes": "torch's side takes images of three channels only, JAX's any array"},
)
