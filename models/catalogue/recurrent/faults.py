"""How ports get recurrent layers wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from models.catalogue.recurrent.pair import BOTH_WAYS, CHUNKS, GATED_MEMORY, LONG_MEMORY, STACKED
from parity.faults import around, at, family
from weight_bridge import Mapping, Rule
from weight_bridge.joint import Sum

if TYPE_CHECKING:
    from jax import Array

    from parity import Pair


def _reset_first(original: Any, state: Array, x: Array) -> tuple[Array, Array]:
    """The reset acts on the state, before the hidden product."""
    layer = original.__self__
    xr, xz, xn = jnp.split(layer.from_input(x), 3, -1)
    hr, hz, _ = jnp.split(layer.from_state(state), 3, -1)
    hn = jnp.split(layer.from_state(jax.nn.sigmoid(xr + hr) * state), 3, -1)[2]
    update = jax.nn.sigmoid(xz + hz)
    after = (1 - update) * jnp.tanh(xn + hn) + update * state
    return after, after


def _candidate_bias_outside(original: Any, state: Array, x: Array) -> tuple[Array, Array]:
    """The hidden bias of the new gate is added outside the reset."""
    layer = original.__self__
    bias = jnp.split(layer.bias_hh[...], 3)[2]
    xr, xz, xn = jnp.split(layer.from_input(x), 3, -1)
    hr, hz, hn = jnp.split(layer.from_state(state), 3, -1)
    update = jax.nn.sigmoid(xz + hz)
    new = jnp.tanh(xn + bias + jax.nn.sigmoid(xr + hr) * (hn - bias))
    after = (1 - update) * new + update * state
    return after, after


def _forgetful(original: Any, state: Array, x: Array) -> tuple[Array, Array]:
    """One is added to the forget gate, as some libraries do."""
    layer = original.__self__
    i, f, g, o = jnp.split(layer.from_input(x) + layer.from_state(state[0]), 4, -1)
    cell = jax.nn.sigmoid(f + 1) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    output = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return jnp.stack([output, cell]), output


def _dropped_after_last(original: Any, x: Array) -> Array:
    stack = original.__self__
    return stack.dropout(stack.upper(stack.lower(x)))


def _merged(layer: Any) -> Any:
    """One bias for both of torch's."""
    before = layer.bias_hh
    del layer.bias_hh
    undo = around("from_state", lambda original, h: h @ original.__self__.weight_hh[...].T)(layer)

    def restore() -> None:
        undo()
        layer.bias_hh = before

    return restore


def _summed(pair: Pair) -> Pair:
    """The mapping that adds torch's biases."""
    rules = tuple(rule for rule in pair.mapping.rules if "bias" not in rule.source[0])
    total = Rule(("rnn.bias_ih_l0", "rnn.bias_hh_l0"), ("rnn/bias_ih",), Sum(), why="one bias for both")
    return replace(pair, mapping=Mapping(rules=(*rules, total)))


FAULTS = family(
    "recurrent",
    at(
        *(LONG_MEMORY, "rnn", "lstm-second-bias-dropped", "the hidden bias is left out"),
        around("from_state", lambda original, h: h @ original.__self__.weight_hh[...].T),
    ),
    at(
        *(LONG_MEMORY, "rnn", "lstm-bias-merged-training", "both biases in one leaf, which learns half as fast"),
        _merged,
        checks=("trajectory", "param_grad"),
        claim=_summed,
    ),
    at(
        *(GATED_MEMORY, "rnn", "gru-reset-placement", "the reset acts before the hidden product"),
        around("step", _reset_first),
    ),
    at(
        *(GATED_MEMORY, "rnn", "gru-candidate-bias-merged", "a hidden bias outside the reset"),
        around("step", _candidate_bias_outside),
    ),
    at(
        *(LONG_MEMORY, "rnn", "lstm-forget-offset", "one is added to the forget gate"),
        around("step", _forgetful),
    ),
    at(
        *(BOTH_WAYS, "rnn", "birnn-reverse-padding", "the padding is turned round with the steps"),
        around("reverse", lambda original, x, lengths: x[:, ::-1]),
    ),
    at(
        *(BOTH_WAYS, "rnn", "rnn-keep-order", "backward outputs are not turned back"),
        around("back", lambda original, x, lengths: x),
    ),
    at(
        *(STACKED, "rnn", "rnn-interlayer-dropout", "dropout after the last layer in place of between"),
        around("__call__", _dropped_after_last),
    ),
    at(
        *(CHUNKS, "", "rnn-state-not-detached", "the gradient goes on into the chunk before"),
        around("hand_over", lambda original, state: state),
        checks=("input_grad", "param_grad"),
        causes=("stop-gradient-missing",),
    ),
    at(
        *(CHUNKS, "", "rnn-state-reset", "every chunk starts from zero"),
        around("hand_over", lambda original, state: jnp.zeros_like(state)),
    ),
)
