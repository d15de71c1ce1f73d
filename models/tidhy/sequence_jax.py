"""TiDHy's two passes over a sequence, JAX: infer all latents in one scan, then score all time steps at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from models.tidhy.config import check_sequence
from models.tidhy.inference_jax import infer_first, infer_step
from models.tidhy.losses_jax import elementwise_loss, reduced

if TYPE_CHECKING:
    from jax import Array

    from models.tidhy.config import TiDHyConfig
    from models.tidhy.inference_jax import Networks
    from models.tidhy.progress import Progress


class SequenceLosses(NamedTuple):
    """What a pass over a sequence yields: the six values of `forward`, and what else it inferred.

    The losses are scalars, `temp_loss` already weighted; `r_first` (B, R) is zeros; `r2_final` (B, Q) and
    `r_final` (B, R) are the last latents; `n_iter` (T−1,) counts the updates of each time step.
    """

    spatial_loss_rhat: Array
    spatial_loss_rbar: Array
    temp_loss: Array
    r2_losses: Array
    r_first: Array
    r2_final: Array
    r_final: Array
    n_iter: Array


class _Latents(NamedTuple):
    """Latents before and after each time step but the first, (T−1, B, ...), and updates spent (T−1,)."""

    r_p: Array
    r2_p: Array
    r: Array
    r2: Array
    n_iter: Array


def sequence_losses(
    networks: Networks, frozen: Networks, config: TiDHyConfig, X: Array, progress: Progress | None
) -> SequenceLosses:
    """Losses along a sequence, with every inferred latent held constant.

    Args:
      networks: the model's networks, which the losses are differentiated through.
      frozen: the same with parameters held constant, for the inference.
      config: the configuration.
      X: (B, T, D) observations.
      progress: called with the time step and its number of updates, from compiled code too.

    Returns:
      The losses, the last latents and the numbers of updates.

    Raises:
      ValueError: for a wrong shape, or for `max_iter` below 10 with T ≥ 2.
    """
    check_sequence(X.shape, config)
    x = X.swapaxes(0, 1)  # (T, B, D)
    r_first = jnp.zeros((X.shape[0], config.r_dim), X.dtype)
    r2_first = jnp.zeros((X.shape[0], config.r2_dim), X.dtype)
    (r_final, r2_final), latents = _infer(frozen, config, x, (r_first, r2_first), progress)

    def spatial_loss(r: Array, x: Array) -> Array:
        return reduced(elementwise_loss(config.loss, networks.decode(r), x))

    r_bar, _, _ = networks.temporal_prediction(latents.r_p, latents.r2)
    rhat = spatial_loss(r_first, x[0]) + spatial_loss(latents.r, x[1:]).sum()
    rbar = spatial_loss(r_bar, x[1:]).sum()
    temp = config.temp_weight * reduced((latents.r - r_bar) ** 2).sum()
    r2_losses = jnp.zeros((), X.dtype)
    if config.use_r2_decoder:
        r2_losses = reduced((latents.r2 - networks.decode_r2(latents.r_p, latents.r2_p)) ** 2).sum()
    return SequenceLosses(rhat, rbar, temp, r2_losses, r_first, r2_final, r_final, latents.n_iter)


def evaluate_record(
    networks: Networks, frozen: Networks, config: TiDHyConfig, X: Array, progress: Progress | None
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """Runs a sequence batch and records everything; arguments and refusals as in `sequence_losses`.

    Unlike there, the first latent is inferred, and each prediction is made with the r2 from before its time
    step.

    Returns:
      The spatial losses of r̂ and r̄ and the weighted temporal loss, each summed over time and features and
      averaged over the batch; and the records, each (B, T, ...), but for `n_iter` (T,).
    """
    check_sequence(X.shape, config)
    x = X.swapaxes(0, 1)  # (T, B, D)
    first = infer_first(frozen, config, x[0])
    r2_first = jnp.zeros((X.shape[0], config.r2_dim), X.dtype)
    _, latents = _infer(frozen, config, x, (first.r, r2_first), progress)
    r_bar, V, _ = networks.temporal_prediction(latents.r_p, latents.r2_p)
    w, b = networks.mixture(latents.r2)
    later = {"R_bar": r_bar, "W": w, "Ut": V, "temp_loss": (latents.r - r_bar) ** 2}
    if b is not None:
        later["b"] = b
    records = {name: _zero_first(value) for name, value in later.items()}
    records["R_hat"] = jnp.concatenate([first.r[None], latents.r])
    records["R2_hat"] = jnp.concatenate([r2_first[None], latents.r2])
    records |= {
        "I_bar": networks.decode(records["R_bar"]),
        "I_hat": networks.decode(records["R_hat"]),
        "I": x,
    }
    for loss, prediction in (("spatial_loss_rhat", "I_hat"), ("spatial_loss_rbar", "I_bar")):
        records[loss] = elementwise_loss(config.loss, records[prediction], x)
    losses = ("spatial_loss_rhat", "spatial_loss_rbar", "temp_loss")
    rhat, rbar, temp = (records[name].sum(axis=(0, 2)).mean() for name in losses)
    records = {name: value.swapaxes(0, 1) for name, value in records.items()}
    records["n_iter"] = jnp.concatenate([first.n_iter[None], latents.n_iter])
    return rhat, rbar, config.temp_weight * temp, records


def _infer(
    networks: Networks,
    config: TiDHyConfig,
    x: Array,
    first: tuple[Array, Array],
    progress: Progress | None,
) -> tuple[tuple[Array, Array], _Latents]:
    """Infers the latents of all time steps but the first, each from the ones before."""
    if x.shape[0] == 1:
        r, r2 = (jnp.zeros((0, *latent.shape), latent.dtype) for latent in first)
        return first, _Latents(r, r2, r, r2, jnp.zeros(0, jnp.int32))

    def step(before: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], _Latents]:
        t, x_t = now
        r, r2, _, n_iter, _ = infer_step(networks, config, x_t, *before)
        if progress is not None:
            jax.debug.callback(partial(_report, progress), t, n_iter)
        return (r, r2), _Latents(*before, r, r2, n_iter)

    return lax.scan(step, first, (jnp.arange(1, x.shape[0]), x[1:]))


def _report(progress: Progress, t: Array, n_iter: Array) -> None:
    progress(int(t), int(n_iter))


def _zero_first(later: Array) -> Array:
    """Puts a time step of zeros before the others."""
    return jnp.concatenate([jnp.zeros_like(later, shape=(1, *later.shape[1:])), later])
