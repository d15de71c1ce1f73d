"""How ports get optimizers, schedules and averages wrong."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import optax

from models.catalogue.optimizers.pair import ACCUMULATION, ADAPTIVE, BOOKKEEPING, MOMENTUM, SCHEDULES
from parity.faults import around, at, both, family, setting

adam = optax.scale_by_adam(eps=1e-8)


def _eps_hat(original: Any) -> optax.GradientTransformation:
    """Epsilon joins the root before the bias correction."""

    def init(params: Any) -> tuple[Any, Any, Any]:
        return jnp.zeros_like(params), jnp.zeros_like(params), jnp.zeros((), params.dtype)

    def update(g: Any, state: tuple[Any, Any, Any], params: Any = None) -> tuple[Any, Any]:
        m, v, step = state
        m, v, step = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, step + 1
        rate = jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        return rate * m / (jnp.sqrt(v) + 1e-8), (m, v, step)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]  # one array, no tree


def _of_steps(original: Any) -> optax.GradientTransformation:
    """Momentum of steps, each with the rate of its day."""
    replay = original.__self__
    return optax.chain(_before_momentum(replay), optax.scale_by_schedule(lambda n: _rate(replay, n)), optax.trace(0.9))


def _before_momentum(replay: Any) -> optax.GradientTransformation:
    if hasattr(replay, "decay"):
        return optax.scale_by_rms(decay=replay.decay, eps=1e-8, eps_in_sqrt=False)
    return optax.identity()


def _rate(replay: Any, count: Any) -> Any:
    return replay.rate * 0.8 ** jnp.asarray(count, float)


RATES_INSIDE = both(
    around("transform", _of_steps),
    around("move", lambda original, parameters, update, rate: parameters - update),
)


DECAYED = jnp.asarray([[1.0], [1 - 0.1 * 0.1]])
"""Only the second row is a constant."""

FAULTS = family(
    "optimizers",
    at(
        *(ADAPTIVE, "adamw", "adamw-default-decay", "Optax's default decay, 1e-4"),
        setting(decay=1e-4),
        checks=("forward", "trajectory"),
    ),
    at(
        *(MOMENTUM, "decayed", "sgd-decay-after-momentum", "decay joins after the momentum"),
        around("transform", lambda original: optax.chain(optax.trace(0.9), optax.add_decayed_weights(0.1))),
    ),
    at(
        *(MOMENTUM, "masked", "decay-mask-missing", "the bias decays too"),
        around("decays", lambda original: (0.1, 0.1)),
    ),
    at(
        *(MOMENTUM, "rates", "sgd-dampening", "gradients are averaged, not summed"),
        around("transform", lambda original: optax.ema(0.9, debias=False)),
    ),
    at(
        *(MOMENTUM, "nesterov", "nesterov-dropped", "the flag is lost"),
        around("transform", lambda original: optax.trace(0.9)),
    ),
    at(
        *(ADAPTIVE, "rmsprop", "rmsprop-decay-default", "Optax's default decay, 0.9"),
        setting(decay=0.9),
    ),
    at(
        *(ADAPTIVE, "adagrad", "adagrad-initial-accumulator", "Optax's default start, 0.1"),
        setting(initial=0.1),
    ),
    at(
        *(ADAPTIVE, "adagrad", "adagrad-eps", "1e-7 inside the root, as Optax has it"),
        around("divide", lambda original, g, total: g / jnp.sqrt(total + 1e-7)),
    ),
    at(
        *(ADAPTIVE, "adam", "adam-eps-inside-sqrt", "epsilon inside the root"),
        around("transform", lambda original: optax.scale_by_adam(eps=0.0, eps_root=1e-8)),
    ),
    at(
        *(ADAPTIVE, "adam", "adam-eps-hat", "epsilon before the bias correction"),
        around("transform", _eps_hat),
    ),
    at(
        *(ADAPTIVE, "nadam", "nadam-momentum-schedule", "no schedule of the momentum"),
        around("transform", lambda original: optax.scale_by_adam(eps=1e-8, nesterov=True)),
    ),
    at(
        *(ADAPTIVE, "clipped", "clip-order", "cut after Adam in place of before"),
        around("transform", lambda original: optax.chain(adam, optax.clip_by_global_norm(1.0))),
    ),
    at(
        *(SCHEDULES, "warmup", "warmup-start", "the first step takes nothing"),
        around("factor", lambda original, step: min(step / 4, 1.0)),
    ),
    at(
        *(MOMENTUM, "rates", "schedule-off-by-one", "a step takes the rate of the next"),
        around("rates", lambda original, steps: 0.1 * 0.8 ** jnp.arange(1, steps + 1, dtype=float)),
    ),
    at(
        *(SCHEDULES, "cosine", "cosine-eta-alpha", "the floor read as a share of the first rate"),
        around("factor", lambda original, step: 0.01 + 0.99 * (1 + math.cos(math.pi * step / 9)) / 2),
    ),
    at(
        *(SCHEDULES, "milestones", "milestone-off-by-one", "a milestone counts from the step after"),
        around("factor", lambda original, step: 0.1 ** sum(step > milestone for milestone in (2, 5))),
    ),
    at(
        *(SCHEDULES, "cosine", "schedule-horizon", "another length"),
        setting(horizon=90),
    ),
    at(
        *(SCHEDULES, "epochs", "schedule-per-epoch", "stepped per batch"),
        setting(epoch=1),
    ),
    at(
        *(SCHEDULES, "plateau", "plateau-patience", "one bad step less is waited for"),
        setting(patience=0),
    ),
    at(
        *(ACCUMULATION, "", "accumulation-token-weighting", "the mean of the micro-batches' means"),
        around("mean", lambda original, sums, sizes: (sums / sizes).mean()),
        causes=("masked-mean-of-means",),
    ),
    at(
        *(MOMENTUM, "frozen", "frozen-params-move", "a frozen parameter decays"),
        around("move", lambda original, parameters, update, rate: parameters - rate * update),
    ),
    at(
        *(MOMENTUM, "frozen", "buffers-as-params", "a constant inside the trainable tree decays"),
        around("move", lambda original, parameters, update, rate: original(parameters, update, rate) * DECAYED),
    ),
    at(
        *(BOOKKEEPING, "average", "ema-order", "the average is taken before the step"),
        around("follow", lambda original, average, before, after, keep: keep * average + (1 - keep) * before),
    ),
    at(
        *(BOOKKEEPING, "resumed", "optimizer-state-resume", "the step count is lost on resuming"),
        around("resume", lambda original, state: state._replace(count=jnp.zeros_like(state.count))),
    ),
    at(
        *(MOMENTUM, "rates", "momentum-lr-inside", "momentum of steps in place of gradients"),
        RATES_INSIDE,
    ),
    at(
        *(ADAPTIVE, "rmsprop", "rmsprop-momentum-lr-order", "the rate joins before the momentum, as in Optax"),
        RATES_INSIDE,
    ),
)
