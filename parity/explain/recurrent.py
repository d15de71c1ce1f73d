"""Recurrent layers: order of gates, biases, where the reset acts, directions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parity.backends.torch_rewrite import Op, Replace
from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.suspect import Hypothesis, Suspect, at

Weights = Sequence[Tensor]

LAYERS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@dataclass(frozen=True)
class Twist:
    """What a recurrent layer does otherwise; the defaults are right.

    Attributes:
      order: of the gates in the kernels.
      recurrent_order: of the gates in the recurrent kernel alone; None for the same.
      without: biases that are left out: `ih`, `hh`.
      forget: added to the forget gate.
      reset: the reset acts before the recurrent kernel; or the candidate's recurrent bias is outside of it.
      carry: which of state and candidate the update gate keeps.
      reversed_output: the backward direction is put out in its own order.
      swapped_directions: the backward direction comes first.
      zero_state: an initial state that was given is not used.
      dropout: `between` the layers, or after the `last`, or after `every` one, or `none`.
    """

    order: tuple[int, ...] | None = None
    recurrent_order: tuple[int, ...] | None = None
    without: tuple[str, ...] = ()
    forget: float = 0.0
    reset: str = "after"
    carry: bool = True
    reversed_output: bool = False
    swapped_directions: bool = False
    zero_state: bool = False
    dropout: str = "between"


def layer(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of LSTM, GRU and plain recurrent layers and cells."""
    if _packed(op):
        if op.args[-1]:
            detail = "the backward direction comes out in its own order"
            yield at(op, "rnn-keep-order", _backward_in_own_order, detail)
        return
    if op.given.get("train") and op.given.get("dropout"):
        for place in ("last", "every", "none"):
            detail = f"dropout after {place} layer" if place != "none" else "no dropout between the layers"
            yield at(op, "rnn-interlayer-dropout", lambda o, w=place: _run(o, Twist(dropout=w)), detail)
    lstm, gru = op.name.startswith("lstm"), op.name.startswith("gru")
    gates = 4 if lstm else 3 if gru else 1
    for detail, cause, twist in _twists(lstm=lstm, gru=gru):
        yield at(op, cause, lambda o, t=twist: _run(o, t), detail)
    for order in itertools.permutations(range(gates)):
        if list(order) != sorted(order):
            names = "ifgo" if lstm else "rzn"
            detail = f"gates {''.join(names[i] for i in order)} in place of {names}"
            yield at(op, "gate-order", lambda o, p=order: _run(o, Twist(order=p)), detail)
            both = f"{detail}, in the recurrent kernel alone"
            yield at(op, "gate-order", lambda o, p=order: _run(o, Twist(recurrent_order=p)), both)


def _twists(*, lstm: bool, gru: bool) -> Iterator[tuple[str, str, Twist]]:
    """Mistakes by what they say."""
    yield "the recurrent bias is ignored", "lstm-second-bias-dropped", Twist(without=("hh",))
    yield "the input bias is ignored", "lstm-second-bias-dropped", Twist(without=("ih",))
    yield "no biases", "bias-dropped", Twist(without=("ih", "hh"))
    yield "the backward direction comes out in its own order", "rnn-keep-order", Twist(reversed_output=True)
    yield "the directions are exchanged", "birnn-direction-order", Twist(swapped_directions=True)
    yield "the initial state is not used", "rnn-state-reset", Twist(zero_state=True)
    if lstm:
        yield "1 is added to the forget gate", "lstm-forget-offset", Twist(forget=1.0)
        yield "1 is taken from the forget gate", "lstm-forget-offset", Twist(forget=-1.0)
    if gru:
        yield "the reset acts on the state before its kernel", "gru-reset-placement", Twist(reset="before")
        yield (
            "the candidate's recurrent bias is outside the reset",
            "gru-candidate-bias-merged",
            Twist(reset="kernel only"),
        )
        yield "the candidate's recurrent bias is left out", "gru-candidate-bias-merged", Twist(reset="no bias")
        yield "the update gate keeps the candidate", "gru-update-polarity", Twist(carry=False)


def _run(op: Op, twist: Twist) -> Any:
    """A whole layer, or one cell, with a twist."""
    if op.name.endswith("_cell"):
        return _cell_alone(op, twist)
    g = op.given
    x: Tensor = g["input"].transpose(0, 1) if g["batch_first"] else g["input"]
    state = g["hx"] if isinstance(g["hx"], tuple | list) else (g["hx"],)
    state = [torch.zeros_like(s) for s in state] if twist.zero_state else list(state)
    each, ways = 4 if g["has_biases"] else 2, 2 if g["bidirectional"] else 1
    final: list[list[Tensor]] = []
    for number in range(int(g["num_layers"])):
        found: list[Tensor] = []
        for way in range(ways):
            place = number * ways + way
            weights = g["weights"][place * each : (place + 1) * each]
            y, last = _sweep(_step(op.name, twist), x, [s[place] for s in state], weights, twist, backward=way == 1)
            found.append(y)
            final.append(last)
        x = torch.cat(found[::-1] if twist.swapped_directions else found, -1)
        if _drops(twist.dropout, last=number == int(g["num_layers"]) - 1):
            x = torch.dropout(x, float(g.get("dropout", 0.0)), bool(g.get("train", False)))
    output = x.transpose(0, 1) if g["batch_first"] else x
    return (output, *(torch.stack(parts) for parts in zip(*final, strict=True)))


def _drops(place: str, *, last: bool) -> bool:
    """Whether what a layer puts out is dropped from."""
    return place == "every" or (place == "last" and last) or (place == "between" and not last)


def _packed(op: Op) -> bool:
    """Whether a layer runs over rows of different lengths, packed: the numbers of rows per step follow the data."""
    return len(op.args) > 3 and isinstance(op.args[1], Tensor) and op.args[1].dtype == torch.int64


def _backward_in_own_order(op: Op) -> Any:
    """The backward half of every row turned round within its length."""
    data, *state = op.again()
    sizes = op.args[1].tolist()
    starts = [sum(sizes[:step]) for step in range(len(sizes))]
    order = torch.arange(len(data))
    for row in range(sizes[0]):
        places = torch.tensor([start + row for start, size in zip(starts, sizes, strict=True) if row < size])
        order[places] = places.flip(0)
    half = data.shape[-1] // 2
    return (torch.cat([data[:, :half], data[order, half:]], -1), *state)


def padded(scene: Scene) -> Iterator[Hypothesis]:
    """Rows of different lengths turned round with their padding, with which the backward direction then begins."""
    packings = {id(op.result[0]): op for op in scene.ops if op.name == "_pack_padded_sequence"}
    for op in scene.suspected:
        packing = packings.get(id(op.args[0])) if op.name in LAYERS and _packed(op) and op.args[-1] else None
        if packing is not None:
            memory: list[Op] = []
            turned: dict[int, Replace] = {
                packing.index: lambda o, m=memory: (m.append(o), o.again())[1],
                op.index: lambda o, m=memory: _over_padding(o, m[-1]),
            }
            detail = "the backward direction begins with the padding"
            yield Suspect("birnn-reverse-padding", op.owner, detail, turned)


def _over_padding(op: Op, packing: Op) -> Any:
    """A packed layer over whole rows, padding included, and packed afterwards; its last states stay as they are."""
    _, _, state, weights, *options = op.args
    rows, lengths, first = packing.args
    whole = op.function(rows, state, weights, *options, first)[0]
    return (packing.function(whole, lengths, first)[0], *op.again()[1:])


def _sweep(
    step: Callable[..., list[Tensor]], x: Tensor, state: list[Tensor], weights: Weights, twist: Twist, *, backward: bool
) -> tuple[Tensor, list[Tensor]]:
    """One direction of one layer over time."""
    outputs: list[Tensor] = []
    for inputs in reversed(x) if backward else x:
        state = step(inputs, state, weights)
        outputs.append(state[0])
    return torch.stack(outputs if not backward or twist.reversed_output else outputs[::-1]), state


def _cell_alone(op: Op, twist: Twist) -> Any:
    g = op.given
    state = g["hx"] if isinstance(g["hx"], tuple | list) else (g["hx"],)
    weights = [g[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh") if g.get(name) is not None]
    found = _step(op.name, twist)(g["input"], list(state), weights)
    return tuple(found) if len(found) > 1 else found[0]


def _step(name: str, twist: Twist) -> Callable[[Tensor, list[Tensor], Weights], list[Tensor]]:
    """One step of a cell: (input, state, weights) → state."""

    def parts(x: Tensor, h: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        w_ih, w_hh = (_ordered(w, order) for w, order in zip(weights[:2], _orders(twist), strict=True))
        zero = x.new_zeros(w_ih.shape[0])
        b_ih, b_hh = weights[2:] if len(weights) > 2 else (zero, zero)
        b_ih = zero if "ih" in twist.without else _ordered(b_ih, twist.order)
        b_hh = zero if "hh" in twist.without else _ordered(b_hh, _orders(twist)[1])
        return x @ w_ih.T + b_ih, h @ w_hh.T, b_hh, w_hh

    def lstm(x: Tensor, state: list[Tensor], weights: Weights) -> list[Tensor]:
        given, kept, b, _ = parts(x, state[0], weights)
        i, f, g, o = (given + kept + b).chunk(4, -1)
        c = torch.sigmoid(f + twist.forget) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]

    def gru(x: Tensor, state: list[Tensor], weights: Weights) -> list[Tensor]:
        h = state[0]
        given, kept, b, w_hh = parts(x, h, weights)
        (ri, zi, ni), (rh, zh, nh), (rb, zb, nb) = given.chunk(3, -1), kept.chunk(3, -1), b.chunk(3, -1)
        r, z = torch.sigmoid(ri + rh + rb), torch.sigmoid(zi + zh + zb)
        inner = {
            "after": lambda: r * (nh + nb),
            "before": lambda: (r * h) @ w_hh.chunk(3)[2].T + nb,
            "kernel only": lambda: r * nh + nb,
            "no bias": lambda: r * nh,
        }[twist.reset]()
        n = torch.tanh(ni + inner)
        return [(1 - z) * n + z * h if twist.carry else z * n + (1 - z) * h]

    def plain(x: Tensor, state: list[Tensor], weights: Weights) -> list[Tensor]:
        given, kept, b, _ = parts(x, state[0], weights)
        return [(torch.relu if "relu" in name else torch.tanh)(given + kept + b)]

    return lstm if name.startswith("lstm") else gru if name.startswith("gru") else plain


def _orders(twist: Twist) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    return twist.order, twist.order if twist.recurrent_order is None else twist.recurrent_order


def _ordered(w: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """A kernel or bias with its gates in another order."""
    if order is None:
        return w
    gates = w.chunk(len(order))
    return torch.cat([gates[i] for i in order])


FAMILY = Family("recurrent", dict.fromkeys((*LAYERS, "lstm_cell", "gru_cell"), layer), padded)
