"""Rows of weights that torch computes in each call: folded into a plain kernel, or kept where the target has them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx
from torch.nn.utils import parametrizations

from tests.weight_bridge.layer_table.row import (
    F64,
    Absent,
    Refused,
    Row,
    equinox_port,
    haiku_port,
    linear,
    linen_port,
    nnx_port,
    zeros,
)

NO_VARIABLE = (
    "<lambda>: nnx.WeightNorm keeps its lengths in arrays that are no variables, so that no state fills them; "
    "build the plain layer, which takes the computed weight"
)
ITERATES_IN_EVALUATION = (
    "this spectral normalisation iterates once more in each call, torch's does not in evaluation; "
    "build the plain layer, which takes the normalised weight"
)
OLD_LENGTH = frozenset({"weight_g", "weight_v"})
NEW_LENGTH = frozenset({"parametrizations.weight.original0", "parametrizations.weight.original1"})
OLD_VALUE = frozenset({"weight_orig", "weight_u", "weight_v"})
NEW_VALUE = frozenset(f"parametrizations.weight.{part}" for part in ("original", "0._u", "0._v"))


def _layer() -> torch.nn.Module:
    return torch.nn.Linear(3, 5)


def _old_weight_norm() -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch calls its old hook deprecated; checkpoints still have it
        return torch.nn.utils.weight_norm(_layer())


def _folded(build: Callable[[], torch.nn.Module], folds: frozenset[str]) -> Row:
    """Into plain layers."""
    return Row(
        build,
        [(2, 3)],
        {
            "nnx": nnx_port(lambda rngs: nnx.Linear(3, 5, rngs=rngs, **F64), folds=folds),
            "linen": linen_port(lambda: ln.Dense(5, **F64), zeros(2, 3), folds=folds),
            "equinox": equinox_port(lambda key: linear((3, 5), key), folds=folds),
            "haiku": haiku_port(lambda x: hk.Linear(5)(x), zeros(2, 3), folds=folds),
        },
    )


def _nnx_weight_norm(rngs: nnx.Rngs) -> nnx.Module:
    return nnx.WeightNorm(nnx.Linear(3, 5, rngs=rngs, **F64), rngs=rngs, **F64)


class LinenWeightNorm(ln.Module):
    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return ln.WeightNorm(ln.Dense(5, **F64), epsilon=0.0, **F64)(x)  # torch has none


def _kept(build: Callable[[], torch.nn.Module]) -> Row:
    """Into layers that compute their weight alike."""
    return Row(
        build,
        [(2, 3)],
        {
            "nnx": Refused(lambda: _nnx_weight_norm(nnx.Rngs(0)), NO_VARIABLE),
            "linen": linen_port(LinenWeightNorm, zeros(2, 3)),
            "equinox": equinox_port(lambda key: eqx.nn.WeightNorm(linear((3, 5), key))),
            "haiku": Absent("none"),
        },
    )


def _nnx_spectral_norm(rngs: nnx.Rngs) -> nnx.Module:
    return nnx.SpectralNorm(nnx.Linear(3, 5, rngs=rngs, **F64), rngs=rngs, **F64)


class LinenSpectralNorm(ln.Module):
    @ln.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return ln.SpectralNorm(ln.Dense(5, **F64), **F64)(x, update_stats=False)


def _equinox_spectral_norm(key: jax.Array) -> tuple[eqx.Module, eqx.nn.State]:
    return eqx.nn.make_with_state(eqx.nn.SpectralNorm)(linear((3, 5), key), "weight", inference=True, key=key)


def _haiku_spectral_norm(x: jax.Array) -> jax.Array:
    kernel = hk.get_parameter("w", (3, 5), init=jnp.ones)
    return x @ hk.SpectralNorm()(kernel) + hk.get_parameter("b", (5,), init=jnp.zeros)


def _kept_value(build: Callable[[], torch.nn.Module]) -> Row:
    """Into layers that divide their weight by its largest singular value: by the kept vectors, as torch, or others."""
    haiku = hk.transform_with_state(_haiku_spectral_norm)
    return Row(
        build,
        [(2, 3)],
        {
            "nnx": Refused(
                lambda: _nnx_spectral_norm(nnx.Rngs(0)), f"batch_stats/('kernel', 'sigma'): {ITERATES_IN_EVALUATION}"
            ),
            "linen": Refused(
                lambda: (LinenSpectralNorm(), jnp.zeros((2, 3))),
                f"batch_stats/SpectralNorm_0/Dense_0/kernel/sigma: {ITERATES_IN_EVALUATION}",
            ),
            "equinox": equinox_port(
                _equinox_spectral_norm, lambda found, x: jax.vmap(lambda x: found[0](x, found[1])[0])(x)
            ),
            "haiku": Refused(
                lambda: (haiku, jnp.zeros((2, 3))), f"state/spectral_norm/sigma: {ITERATES_IN_EVALUATION}"
            ),
        },
    )


ROWS: dict[str, Row] = {
    "weight_norm, old hook": _folded(_old_weight_norm, OLD_LENGTH),
    "weight_norm, parametrization": _folded(lambda: parametrizations.weight_norm(_layer()), NEW_LENGTH),
    "spectral_norm, old hook": _folded(lambda: torch.nn.utils.spectral_norm(_layer()), OLD_VALUE),
    "spectral_norm, parametrization": _folded(lambda: parametrizations.spectral_norm(_layer()), NEW_VALUE),
    "weight_norm kept, old hook": _kept(_old_weight_norm),
    "weight_norm kept, parametrization": _kept(lambda: parametrizations.weight_norm(_layer())),
    "spectral_norm kept, old hook": _kept_value(lambda: torch.nn.utils.spectral_norm(_layer())),
    "spectral_norm kept, parametrization": _kept_value(lambda: parametrizations.spectral_norm(_layer())),
}
