"""TiDHy's inference of latents, JAX: compiled loops over pure functions, for linen and NNX alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from models.tidhy.balance_jax import Balance, balanced_gradients, initial_balance
from models.tidhy.losses_jax import elementwise_loss, l1, norm, reduced, soft_threshold

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array

    from models.tidhy.config import TiDHyConfig


class Networks(NamedTuple):
    """A model's networks as pure functions: the methods of the same names, their parameters closed over."""

    decode: Callable[[Array], Array]
    mixture: Callable[[Array], tuple[Array, Array | None]]
    temporal_prediction: Callable[[Array, Array], tuple[Array, Array, Array]]
    decode_r2: Callable[[Array, Array], Array]


class FirstInference(NamedTuple):
    """Outcome of inferring the first latent: `r` (B, R), a constant, and the number of updates."""

    r: Array
    n_iter: Array


class Trace(NamedTuple):
    """Iterates before each update, `r` (max_iter, B, R) and `r2` (max_iter, B, Q), zeros from `n_iter` on.

    With `grad_norm_inf` also the balance's weights after each update (max_iter, 3) and its first losses (3,).
    """

    r: Array
    r2: Array
    weights: Array | None
    first_losses: Array | None


class Inference(NamedTuple):
    """Outcome of inferring one time step: `r` (B, R) and `r2` (B, Q), constants, and the number of updates.

    `r2_loss` is, with the R2 decoder, its loss () before the last update; without it, the temporal loss
    before each update (max_iter,), zeros from `n_iter` on, or nothing (0,) with `grad_norm_inf`.
    """

    r: Array
    r2: Array
    r2_loss: Array
    n_iter: Array
    trace: Trace | None


class _First(NamedTuple):
    n_iter: Array
    r: Array
    mean: Array
    square: Array
    done: Array


class _Step(NamedTuple):
    n_iter: Array
    lr: Array
    r: Array
    r2: Array
    u: Array
    u2: Array
    balance: Balance | None
    r2_loss: Array
    trace: Trace | None
    done: Array


class _Losses(NamedTuple):
    spatial: Array
    temporal: Array
    r2: Array | None


def infer_first(networks: Networks, config: TiDHyConfig, x: Array) -> FirstInference:
    """Infers the latent of a first observation: AdamW on its reconstruction, from 0.

    Args:
      networks: the model's networks with parameters held constant.
      config: the configuration.
      x: (B, D) observation.

    Returns:
      The latent, a constant, and the number of updates.

    References:
      Loshchilov & Hutter, Decoupled weight decay regularization, 2019 (torch's default decay of 0.01 is part
      of the model: it pulls r to 0).
    """
    x = lax.stop_gradient(x)
    steps = range(1, config.max_iter + 1)
    # 1 − βᵏ from float64 powers, as torch has it: in float32 the second would lose half its digits.
    corrections = jnp.asarray([(1 - 0.9**k, (1 - 0.999**k) ** 0.5) for k in steps], x.dtype)

    def loss(r: Array) -> Array:
        return reduced(elementwise_loss(config.loss, networks.decode(r), x))

    def update(s: _First) -> _First:
        gradient = jax.grad(loss)(s.r)
        mean = 0.9 * s.mean + (1 - 0.9) * gradient
        square = 0.999 * s.square + (1 - 0.999) * gradient * gradient
        by_mean, by_root = corrections[s.n_iter]
        decayed = s.r * (1 - config.lr_r * 0.01)
        r = decayed - config.lr_r * (mean / by_mean) / (jnp.sqrt(square) / by_root + 1e-8)
        done = _converged(r, s.r, config.tol, whole_batch=False)
        return _First(s.n_iter + 1, r, mean, square, done)

    zero = jnp.zeros((x.shape[0], config.r_dim), x.dtype)
    start = _First(jnp.zeros((), jnp.int32), zero, zero, zero, jnp.zeros((), bool))
    end = lax.while_loop(lambda s: ~s.done & (s.n_iter < config.max_iter), update, start)
    return FirstInference(end.r, end.n_iter)


def infer_step(
    networks: Networks, config: TiDHyConfig, x: Array, r_p: Array, r2: Array, *, record: bool = False
) -> Inference:
    """Infers the latents of one time step: Nesterov SGD on r (from 0) and r2 (from its previous value).

    Args:
      networks: the model's networks with parameters held constant.
      config: the configuration.
      x: (B, D) observation.
      r_p: (B, R) latent of the time step before.
      r2: (B, Q) upper latent to start from.
      record: keep the iterates.

    Returns:
      The latents, constants, with the number of updates.

    Raises:
      ValueError: if `max_iter` is below 10.
    """
    period = config.halving_period
    x, r_p, r2 = lax.stop_gradient((x, r_p, r2))

    def update(s: _Step) -> _Step:
        (g, g2), losses, balance = _gradients(networks, config, x, r_p, s)
        u, u2 = 0.9 * s.u + g, 0.9 * s.u2 + g2
        r = soft_threshold(s.r - s.lr * (g + 0.9 * u), config.lmda_r)
        r2 = soft_threshold(s.r2 - config.lr_r2 * (g2 + 0.9 * u2), config.lmda_r2)
        n_iter = s.n_iter + 1
        lr = jnp.where(n_iter % period == 0, 0.5 * s.lr, s.lr)
        done = _converged(r, s.r, config.tol, whole_batch=config.batch_converge)
        done &= _converged(r2, s.r2, config.tol, whole_batch=config.batch_converge)
        return _Step(n_iter, lr, r, r2, u, u2, balance, _noted(s, losses), _traced(s, balance), done)

    start = _start(config, r_p, r2, record=record)
    end = lax.while_loop(lambda s: ~s.done & (s.n_iter < config.max_iter), update, start)
    return Inference(end.r, end.r2, end.r2_loss, end.n_iter, end.trace)


def _gradients(
    networks: Networks, config: TiDHyConfig, x: Array, r_p: Array, s: _Step
) -> tuple[tuple[Array, Array], _Losses, Balance | None]:
    """What both descents follow in one iteration, with the losses before it and the balance after it."""

    def objective(r: Array, r2: Array) -> tuple[Array, _Losses]:
        r_bar, _, w = networks.temporal_prediction(r_p, r2)
        spatial = reduced(elementwise_loss(config.loss, networks.decode(r), x))
        temporal = reduced((r - r_bar) ** 2)
        total = spatial + config.temp_weight * temporal
        for weight, latent in ((config.L1_inf_w, w), (config.L1_inf_r2, r2), (config.L1_inf_r, r)):
            if weight != 0:
                total += weight * l1(latent)
        if not config.use_r2_decoder:
            return total, _Losses(spatial, temporal, None)
        r2_loss = reduced((r2 - networks.decode_r2(s.r, s.r2)) ** 2)  # the target is made of constants
        return total + r2_loss, _Losses(spatial, temporal, r2_loss)

    if s.balance is None:
        gradients, losses = jax.grad(objective, argnums=(0, 1), has_aux=True)(s.r, s.r2)
        return gradients, losses, None

    def tasks(latents: tuple[Array, Array]) -> tuple[Array, _Losses]:
        _, losses = objective(*latents)
        return jnp.stack([losses.spatial, losses.temporal, losses.temporal]), losses

    def norms_of(gradient: Callable[[Array], tuple[Array, Array]], rows: Array) -> Array:
        one, two, three = rows  # the temporal loss counts twice: seen from r, and from r2
        return jnp.stack([norm(gradient(one)[0]), norm(gradient(two)[0]), norm(gradient(three)[1])])

    gradients, balance, losses = balanced_gradients(
        tasks, norms_of, (s.r, s.r2), s.balance, alpha=config.grad_alpha_inf, lr=config.lr_weights_inf, decay=0.01
    )
    return gradients, losses, balance


def _start(config: TiDHyConfig, r_p: Array, r2: Array, *, record: bool) -> _Step:
    r, dtype, n = jnp.zeros_like(r_p), r_p.dtype, config.max_iter
    balance = initial_balance(3, like=r_p) if config.grad_norm_inf else None
    kept = (n,) if balance is None else (0,)
    r2_loss = jnp.zeros(() if config.use_r2_decoder else kept, dtype)
    trace = None
    if record:
        weights = None if balance is None else jnp.zeros((n, 3), dtype)
        first_losses = None if balance is None else balance.first_losses
        trace = Trace(jnp.zeros((n, *r.shape), dtype), jnp.zeros((n, *r2.shape), dtype), weights, first_losses)
    lr = jnp.asarray(config.lr_r, dtype)
    counter, done = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    return _Step(counter, lr, r, r2, r, jnp.zeros_like(r2), balance, r2_loss, trace, done)


def _noted(s: _Step, losses: _Losses) -> Array:
    if losses.r2 is not None:
        return losses.r2
    return s.r2_loss.at[s.n_iter].set(losses.temporal) if s.balance is None else s.r2_loss


def _traced(s: _Step, balance: Balance | None) -> Trace | None:
    if s.trace is None:
        return None
    r, r2 = s.trace.r.at[s.n_iter].set(s.r), s.trace.r2.at[s.n_iter].set(s.r2)
    if balance is None or s.trace.weights is None:
        return Trace(r, r2, None, None)
    return Trace(r, r2, s.trace.weights.at[s.n_iter].set(balance.weights), balance.first_losses)


def _converged(new: Array, old: Array, tol: float, *, whole_batch: bool) -> Array:
    """Whether every relative change is below `tol`; NaN is not, and 0 to 0 is."""
    axes = (0, 1) if whole_batch else 1
    change = jnp.sqrt(jnp.sum((new - old) ** 2, axis=axes))
    return jnp.all(change / (jnp.sqrt(jnp.sum(old**2, axis=axes)) + 1e-16) < tol)
