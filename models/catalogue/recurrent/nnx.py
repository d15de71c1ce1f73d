"""Recurrent layers, lengths and truncated histories, Flax NNX.

Flax's cells have one bias per gate; these layers keep both of torch's, under torch's names and in torch's order of
gates, so that they train alike too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from jax import Array

    from models.catalogue.recurrent.config import RecurrentConfig


class Recurrence(nnx.Module):
    """One direction of one layer: parameters of all gates together, and the loop over steps.

    Args:
      inputs: features of a step.
      hidden: features of the state.
      gates: how many.
    """

    def __init__(self, inputs: int, hidden: int, gates: int, *, rngs: nnx.Rngs) -> None:
        self.hidden = hidden
        draw = nnx.initializers.uniform(0.5)
        self.weight_ih = nnx.Param(draw(rngs.params(), (gates * hidden, inputs)))
        self.weight_hh = nnx.Param(draw(rngs.params(), (gates * hidden, hidden)))
        self.bias_ih = nnx.Param(draw(rngs.params(), (gates * hidden,)))
        self.bias_hh = nnx.Param(draw(rngs.params(), (gates * hidden,)))

    def from_input(self, x: Array) -> Array:
        return x @ self.weight_ih[...].T + self.bias_ih[...]

    def from_state(self, h: Array) -> Array:
        return h @ self.weight_hh[...].T + self.bias_hh[...]

    def run(self, x: Array, state: Array) -> tuple[Array, Array]:
        """(B, T, inputs), state → (B, T, hidden), last state."""
        last, outputs = jax.lax.scan(self.step, state, x.swapaxes(0, 1))
        return outputs.swapaxes(0, 1), last

    def step(self, state: Array, x: Array) -> tuple[Array, Array]:
        """One step: the next state, and the output."""
        raise NotImplementedError


class LSTM(Recurrence):
    """Gates in torch's order: input, forget, cell, output. The state is (hidden, cell), stacked."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(inputs, hidden, 4, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, inputs) -> (B, T, hidden)
        return self.run(x, jnp.zeros((2, len(x), self.hidden), x.dtype))[0]

    def step(self, state: Array, x: Array) -> tuple[Array, Array]:
        i, f, g, o = jnp.split(self.from_input(x) + self.from_state(state[0]), 4, -1)
        cell = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        output = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return jnp.stack([output, cell]), output


class GRU(Recurrence):
    """Gates in torch's order: reset, update, new; the reset acts after the hidden product and its bias."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(inputs, hidden, 3, rngs=rngs)

    def __call__(self, x: Array, state: Array | None = None) -> tuple[Array, Array]:
        """(B, T, inputs) → (B, T, hidden), last state (B, hidden)."""
        return self.run(x, jnp.zeros((len(x), self.hidden), x.dtype) if state is None else state)

    def step(self, state: Array, x: Array) -> tuple[Array, Array]:
        xr, xz, xn = jnp.split(self.from_input(x), 3, -1)
        hr, hz, hn = jnp.split(self.from_state(state), 3, -1)
        update = jax.nn.sigmoid(xz + hz)
        new = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
        state = (1 - update) * new + update * state
        return state, state


class LongMemory(nnx.Module):
    """An LSTM and a dense head."""

    def __init__(self, config: RecurrentConfig, *, rngs: nnx.Rngs) -> None:
        self.rnn = LSTM(config.inputs, config.hidden, rngs=rngs)
        self.head = nnx.Linear(config.hidden, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, inputs) -> (B, T, outputs)
        return self.head(self.rnn(x))


class GatedMemory(nnx.Module):
    """A GRU and a dense head."""

    def __init__(self, config: RecurrentConfig, *, rngs: nnx.Rngs) -> None:
        self.rnn = GRU(config.inputs, config.hidden, rngs=rngs)
        self.head = nnx.Linear(config.hidden, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, inputs) -> (B, T, outputs)
        return self.head(self.rnn(x)[0])


class BidirectionalLSTM(nnx.Module):
    """Both directions side by side; the reverse one turns round each row's valid steps only."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        self.forward = LSTM(inputs, hidden, rngs=rngs)
        self.backward = LSTM(inputs, hidden, rngs=rngs)

    def __call__(self, x: Array, lengths: Array) -> Array:  # (B, T, inputs), (B,) -> (B, T, 2 hidden)
        backward = self.back(self.backward(self.reverse(x, lengths)), lengths)
        valid = jnp.arange(x.shape[1])[None, :, None] < lengths[:, None, None]
        return jnp.where(valid, jnp.concatenate([self.forward(x), backward], -1), 0)

    def reverse(self, x: Array, lengths: Array) -> Array:
        steps = jnp.arange(x.shape[1])[None, :]
        mirrored = jnp.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
        return jnp.take_along_axis(x, mirrored[:, :, None], 1)

    def back(self, x: Array, lengths: Array) -> Array:
        """Puts the outputs back into the order of the inputs."""
        return self.reverse(x, lengths)


class BothWays(nnx.Module):
    """An LSTM in both directions over rows of different lengths."""

    def __init__(self, config: RecurrentConfig, *, rngs: nnx.Rngs) -> None:
        self.rnn = BidirectionalLSTM(config.inputs, config.hidden, rngs=rngs)
        self.head = nnx.Linear(2 * config.hidden, config.outputs, rngs=rngs)

    def __call__(self, x: Array, lengths: Array) -> Array:  # (B, T, inputs), (B,) -> (B, T, outputs)
        return self.head(self.rnn(x, lengths))


class StackedLSTM(nnx.Module):
    """Two layers with dropout between them, and none after the last."""

    def __init__(self, inputs: int, hidden: int, rate: float, *, rngs: nnx.Rngs) -> None:
        self.lower = LSTM(inputs, hidden, rngs=rngs)
        self.upper = LSTM(hidden, hidden, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, inputs) -> (B, T, hidden)
        return self.upper(self.dropout(self.lower(x)))


class Stacked(nnx.Module):
    """Two LSTM layers with dropout between them, and none after the last."""

    def __init__(self, config: RecurrentConfig, *, rngs: nnx.Rngs) -> None:
        self.rnn = StackedLSTM(config.inputs, config.hidden, config.dropout, rngs=rngs)
        self.head = nnx.Linear(config.hidden, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, T, inputs) -> (B, T, outputs)
        return self.head(self.rnn(x))


class Chunks(nnx.Module):
    """A GRU over two chunks: the state goes on, its gradient does not."""

    def __init__(self, config: RecurrentConfig, *, rngs: nnx.Rngs) -> None:
        self.rnn = GRU(config.inputs, config.hidden, rngs=rngs)
        self.head = nnx.Linear(config.hidden, config.outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # (B, 2T, inputs) -> (B, 2T, outputs)
        early, late = jnp.array_split(x, 2, 1)
        first, state = self.rnn(early)
        second, _ = self.rnn(late, self.hand_over(state))
        return self.head(jnp.concatenate([first, second], 1))

    def hand_over(self, state: Array) -> Array:
        return jax.lax.stop_gradient(state)
