"""Rows of recurrent cells and layers; Haiku's and Flax's cells run under each library's own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx

from tests.weight_bridge.layer_table.row import (
    F64,
    Absent,
    Port,
    Refused,
    Row,
    equinox_port,
    haiku_port,
    linen_port,
    nnx_port,
    zeros,
)

INTO, HIDDEN, BATCH, STEPS = 3, 5, 2, 7
INPUT, STEP = (BATCH, STEPS, INTO), (BATCH, INTO)
BIASES = frozenset({"bias_ih_l0", "bias_hh_l0"})
CELL_BIASES = frozenset({"bias_ih", "bias_hh"})
RESET = "haiku.GRU resets the state before its matrix product, torch's GRU after it; no weights make them equal"
# NNX's plain cell computes in float32 unless told otherwise, unlike its other cells.
PLAIN: dict[str, Any] = {"dtype": jnp.float64} | F64
NNX_CELLS = {"LSTM": nnx.LSTMCell, "GRU": nnx.GRUCell}
TORCH = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}


def _outputs(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return layer(x)[0]


def _hidden_of(found: Any) -> torch.Tensor:
    return found[0] if isinstance(found, tuple) else found


def _nnx_loop(name: str, into: int = INTO) -> Callable[[nnx.Rngs], Any]:
    return lambda rngs: nnx.RNN(NNX_CELLS[name](into, HIDDEN, rngs=rngs, **F64), rngs=rngs)


def _equinox_steps(cell: Any, x: jax.Array) -> jax.Array:
    """The outputs of a cell over (steps, in)."""
    start = jnp.zeros(HIDDEN)
    lstm = isinstance(cell, eqx.nn.LSTMCell)

    def step(state: Any, row: jax.Array) -> tuple[Any, jax.Array]:
        state = cell(row, state)
        return state, state[0] if lstm else state

    return jax.lax.scan(step, (start, start) if lstm else start, x)[1]


def _over_batch(cell: Any, x: jax.Array) -> jax.Array:
    return jax.vmap(lambda rows: _equinox_steps(cell, rows))(x)


def _haiku_loop(core: Any, x: jax.Array) -> jax.Array:
    start = jax.tree.map(lambda zero: zero.astype(x.dtype), core.initial_state(len(x)))
    return hk.dynamic_unroll(core, x, start, time_major=False)[0]


def _haiku_lstm(x: jax.Array) -> jax.Array:
    return _haiku_loop(hk.LSTM(HIDDEN), x)


def _haiku_gru(x: jax.Array) -> jax.Array:
    return _haiku_loop(hk.GRU(HIDDEN), x)


def _haiku_rnn(x: jax.Array) -> jax.Array:
    return _haiku_loop(hk.VanillaRNN(HIDDEN), x)


def _recurrent(name: str, ports: dict[str, Port | Refused | Absent], **options: Any) -> Row:
    zero = options.pop("zero", frozenset())
    return Row(lambda: TORCH[name](INTO, HIDDEN, batch_first=True, **options), [INPUT], ports, call=_outputs, zero=zero)


LSTM = _recurrent(
    "LSTM",
    {
        "nnx": nnx_port(_nnx_loop("LSTM"), folds=BIASES),
        "linen": linen_port(lambda: ln.RNN(ln.LSTMCell(HIDDEN, **F64)), zeros(*INPUT), folds=BIASES),
        "equinox": equinox_port(lambda key: eqx.nn.LSTMCell(INTO, HIDDEN, key=key), _over_batch, folds=BIASES),
        "haiku": haiku_port(_haiku_lstm, zeros(*INPUT), folds=BIASES),
    },
)
OPTIMIZED = _recurrent(
    "LSTM",
    {
        "nnx": nnx_port(
            lambda rngs: nnx.RNN(nnx.OptimizedLSTMCell(INTO, HIDDEN, rngs=rngs, **F64), rngs=rngs), folds=BIASES
        ),
        "linen": linen_port(lambda: ln.RNN(ln.OptimizedLSTMCell(HIDDEN, **F64)), zeros(*INPUT), folds=BIASES),
        "equinox": Absent("one kind of LSTM"),
        "haiku": Absent("one kind of LSTM"),
    },
)
LSTM_WITHOUT_BIAS = _recurrent(
    "LSTM",
    {
        "nnx": nnx_port(_nnx_loop("LSTM")),
        "linen": linen_port(lambda: ln.RNN(ln.LSTMCell(HIDDEN, **F64)), zeros(*INPUT)),
        "equinox": equinox_port(lambda key: eqx.nn.LSTMCell(INTO, HIDDEN, use_bias=False, key=key), _over_batch),
        "haiku": Refused(
            lambda: (hk.transform(_haiku_lstm), jnp.zeros(INPUT)),
            "params/lstm/linear/b: Haiku adds 1 to the forget gate, which a bias of -1 undoes; the source has no bias",
        ),
    },
    bias=False,
)


def _projected() -> Row:
    line = "weight_hr_l0: torch's LSTM was built with proj_size; no target projects the hidden state"
    x = jnp.zeros(INPUT)
    return _recurrent(
        "LSTM",
        {
            "nnx": Refused(lambda: _nnx_loop("LSTM")(nnx.Rngs(0)), line),
            "linen": Refused(lambda: (ln.RNN(ln.LSTMCell(HIDDEN, **F64)), x), line),
            "equinox": Refused(lambda: eqx.nn.LSTMCell(INTO, HIDDEN, key=jax.random.key(0)), line),
            "haiku": Refused(lambda: (hk.transform(_haiku_lstm), x), line),
        },
        proj_size=2,
    )


GRU_FOLDS: dict[str, Any] = {"folds": BIASES}
GRU = _recurrent(
    "GRU",
    {
        "nnx": Refused(
            lambda: _nnx_loop("GRU")(nnx.Rngs(0)),
            "cell/dense_i/bias from bias_ih_l0 + bias_hh_l0: the target has no place for elements 10 to 14, "
            "which must be zero: 5 of 5 are not, up to 0.761",
        ),
        "linen": linen_port(lambda: ln.RNN(ln.GRUCell(HIDDEN, **F64)), zeros(*INPUT), **GRU_FOLDS),
        "equinox": equinox_port(lambda key: eqx.nn.GRUCell(INTO, HIDDEN, key=key), _over_batch, **GRU_FOLDS),
        "haiku": Refused(lambda: (hk.transform(_haiku_gru), jnp.zeros(INPUT)), f"params/gru/w_i: {RESET}"),
    },
)
# A hidden bias of zero folds anywhere; what NNX has no place for has no gradient there.
GRU_ZERO = _recurrent(
    "GRU",
    {
        "nnx": nnx_port(_nnx_loop("GRU"), ungraded=frozenset({"bias_hh_l0"}), **GRU_FOLDS),
        "linen": linen_port(lambda: ln.RNN(ln.GRUCell(HIDDEN, **F64)), zeros(*INPUT), **GRU_FOLDS),
        "equinox": equinox_port(lambda key: eqx.nn.GRUCell(INTO, HIDDEN, key=key), _over_batch, **GRU_FOLDS),
        "haiku": Refused(lambda: (hk.transform(_haiku_gru), jnp.zeros(INPUT)), f"params/gru/w_i: {RESET}"),
    },
    zero=frozenset({"bias_hh_l0"}),
)


def _plain(nonlinearity: str) -> Row:
    activate = {"tanh": jnp.tanh, "relu": jax.nn.relu}[nonlinearity]
    tanh = "params/vanilla_rnn/linear/b: haiku.VanillaRNN applies relu, torch.RNN tanh"
    return _recurrent(
        "RNN",
        {
            "nnx": nnx_port(
                lambda rngs: nnx.RNN(
                    nnx.SimpleCell(INTO, HIDDEN, activation_fn=activate, rngs=rngs, **PLAIN), rngs=rngs
                ),
                folds=BIASES,
            ),
            "linen": linen_port(
                lambda: ln.RNN(ln.SimpleCell(HIDDEN, activation_fn=activate, **F64)), zeros(*INPUT), folds=BIASES
            ),
            "equinox": Absent("Equinox has no plain recurrent cell"),
            "haiku": haiku_port(_haiku_rnn, zeros(*INPUT))
            if nonlinearity == "relu"
            else Refused(lambda: (hk.transform(_haiku_rnn), jnp.zeros(INPUT)), tanh),
        },
        nonlinearity=nonlinearity,
    )


class NnxStack(nnx.Module):
    """Two levels."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        widths = (INTO, HIDDEN)
        self.layers = nnx.List([nnx.RNN(nnx.LSTMCell(width, HIDDEN, rngs=rngs, **F64), rngs=rngs) for width in widths])

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class LinenStack(ln.Module):
    def setup(self) -> None:
        self.layers = [ln.RNN(ln.LSTMCell(HIDDEN, **F64)) for _ in range(2)]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class EquinoxStack(eqx.Module):
    layers: list[eqx.nn.LSTMCell]

    def __init__(self, key: jax.Array) -> None:
        self.layers = [eqx.nn.LSTMCell(width, HIDDEN, key=key) for width in (INTO, HIDDEN)]

    def __call__(self, x: jax.Array) -> jax.Array:
        for cell in self.layers:
            x = _equinox_steps(cell, x)
        return x


def haiku_stack(x: jax.Array) -> jax.Array:
    for level in range(2):
        x = _haiku_loop(hk.LSTM(HIDDEN, name=f"layers_{level}"), x)
    return x


def _folded(*suffixes: str) -> frozenset[str]:
    return frozenset(f"bias_{side}_{suffix}" for side in ("ih", "hh") for suffix in suffixes)


LEVELS: dict[str, Any] = {"folds": _folded("l0", "l1"), "strict": False}
STACK = _recurrent(
    "LSTM",
    {
        "nnx": nnx_port(NnxStack, **LEVELS),
        "linen": linen_port(LinenStack, zeros(*INPUT), **LEVELS),
        "equinox": equinox_port(EquinoxStack, **LEVELS),
        "haiku": haiku_port(haiku_stack, zeros(*INPUT), **LEVELS),
    },
    num_layers=2,
)


def nnx_both(rngs: nnx.Rngs) -> nnx.Bidirectional:
    build = _nnx_loop("LSTM")
    return nnx.Bidirectional(forward_rnn=build(rngs), backward_rnn=build(rngs), rngs=rngs)


class LinenBoth(ln.Module):
    def setup(self) -> None:
        self.forward_rnn = ln.RNN(ln.LSTMCell(HIDDEN, **F64))
        self.backward_rnn = ln.RNN(ln.LSTMCell(HIDDEN, **F64), reverse=True, keep_order=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.concatenate([self.forward_rnn(x), self.backward_rnn(x)], -1)


class EquinoxBoth(eqx.Module):
    fwd: eqx.nn.LSTMCell
    bwd: eqx.nn.LSTMCell

    def __init__(self, key: jax.Array) -> None:
        self.fwd, self.bwd = (eqx.nn.LSTMCell(INTO, HIDDEN, key=key) for _ in range(2))

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.concatenate([_equinox_steps(self.fwd, x), _equinox_steps(self.bwd, x[::-1])[::-1]], -1)


def haiku_both(x: jax.Array) -> jax.Array:
    ahead = _haiku_loop(hk.LSTM(HIDDEN, name="forward"), x)
    return jnp.concatenate([ahead, _haiku_loop(hk.LSTM(HIDDEN, name="backward"), x[:, ::-1])[:, ::-1]], -1)


WAYS: dict[str, Any] = {"folds": _folded("l0", "l0_reverse"), "strict": False}
BOTH = _recurrent(
    "LSTM",
    {
        "nnx": nnx_port(nnx_both, **WAYS),
        "linen": linen_port(LinenBoth, zeros(*INPUT), **WAYS),
        "equinox": equinox_port(EquinoxBoth, **WAYS),
        "haiku": haiku_port(haiku_both, zeros(*INPUT), **WAYS),
    },
    bidirectional=True,
)


def _cells(name: str, nnx_cell: Any, linen_cell: Any, ports: dict[str, Port | Refused | Absent]) -> Row:
    """One step from a hidden state of zeros."""
    torch_cell = {"LSTM": torch.nn.LSTMCell, "GRU": torch.nn.GRUCell, "RNN": torch.nn.RNNCell}[name]
    start: Callable[[], Any] = lambda: jnp.zeros((BATCH, HIDDEN))  # noqa: E731  # a value, like the rows beside it
    carry: Callable[[], Any] = lambda: (start(), start()) if name == "LSTM" else start()  # noqa: E731  # a value, like the rows beside it
    flat = frozenset({"weight_hh"})
    zero = frozenset({"bias_hh"}) if name == "GRU" else frozenset[str]()
    lost = frozenset({"bias_hh"}) if name == "GRU" else frozenset[str]()
    return Row(
        lambda: torch_cell(INTO, HIDDEN),
        [STEP],
        {
            "nnx": nnx_port(
                lambda rngs: nnx_cell(INTO, HIDDEN, rngs=rngs, **(PLAIN if name == "RNN" else F64)),
                lambda m, x: m(carry(), x)[1],
                folds=CELL_BIASES,
                ungraded=lost,
            ),
            "linen": linen_port(
                lambda: linen_cell(HIDDEN, **F64),
                lambda: (carry(), jnp.zeros(STEP)),
                lambda f, x: f(carry(), x)[1],
                folds=CELL_BIASES,
            ),
            **ports,
        },
        call=lambda cell, x: _hidden_of(cell(x)),
        zero=zero,
        flat=flat,
    )


def _equinox_step(cell: Any, x: jax.Array) -> jax.Array:
    start = jnp.zeros(HIDDEN)
    lstm = isinstance(cell, eqx.nn.LSTMCell)
    return jax.vmap(lambda row: cell(row, (start, start))[0] if lstm else cell(row, start))(x)


def haiku_lstm_step(x: jax.Array) -> jax.Array:
    core = hk.LSTM(HIDDEN)
    return core(x, jax.tree.map(lambda zero: zero.astype(x.dtype), core.initial_state(len(x))))[0]


def haiku_gru_step(x: jax.Array) -> jax.Array:
    return hk.GRU(HIDDEN)(x, jnp.zeros((len(x), HIDDEN)))[0]


def haiku_rnn_step(x: jax.Array) -> jax.Array:
    return hk.VanillaRNN(HIDDEN)(x, jnp.zeros((len(x), HIDDEN)))[0]


ROWS: dict[str, Row] = {
    "LSTM": LSTM,
    "LSTM, optimized cell": OPTIMIZED,
    "LSTM without bias": LSTM_WITHOUT_BIAS,
    "LSTM with proj_size": _projected(),
    "LSTM, two layers": STACK,
    "LSTM, both directions": BOTH,
    "GRU": GRU,
    "GRU, hidden bias zero": GRU_ZERO,
    "RNN, tanh": _plain("tanh"),
    "RNN, relu": _plain("relu"),
    "LSTMCell": _cells(
        "LSTM",
        nnx.LSTMCell,
        ln.LSTMCell,
        {
            "equinox": equinox_port(
                lambda key: eqx.nn.LSTMCell(INTO, HIDDEN, key=key), _equinox_step, folds=CELL_BIASES
            ),
            "haiku": haiku_port(haiku_lstm_step, zeros(*STEP), folds=CELL_BIASES),
        },
    ),
    "GRUCell, hidden bias zero": _cells(
        "GRU",
        nnx.GRUCell,
        ln.GRUCell,
        {
            "equinox": equinox_port(
                lambda key: eqx.nn.GRUCell(INTO, HIDDEN, key=key), _equinox_step, folds=CELL_BIASES
            ),
            "haiku": Refused(lambda: (hk.transform(haiku_gru_step), jnp.zeros(STEP)), f"params/gru/w_i: {RESET}"),
        },
    ),
    "RNNCell": _cells(
        "RNN",
        nnx.SimpleCell,
        ln.SimpleCell,
        {
            "equinox": Absent("Equinox has no plain recurrent cell"),
            "haiku": Refused(
                lambda: (hk.transform(haiku_rnn_step), jnp.zeros(STEP)),
                "params/vanilla_rnn/linear/b: haiku.VanillaRNN applies relu, torch.RNNCell tanh",
            ),
        },
    ),
}
