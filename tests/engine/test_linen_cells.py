"""Linen's own recurrent cells with their defaults: their first state is float32, whatever the run."""

from __future__ import annotations

import flax.linen as ln
import jax
import jax.numpy as jnp
import pytest
import torch
from hypothesis import strategies as st

from parity import Pair, Report, check, real


class Reference(torch.nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = getattr(torch.nn, kind)(5, 7, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


class Port(ln.Module):
    inner: ln.RNNCellBase

    def setup(self) -> None:
        self.cell = ln.RNN(self.inner)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.cell(x)


def checked(kind: str, cell: ln.RNNCellBase) -> Report:
    pair = Pair(
        name=kind,
        reference=lambda config: Reference(kind),
        candidates={"linen": lambda config: Port(cell)},
        inputs=lambda config: st.just((real(2, 3, 5),)),
        modes=("eval",),
        checks=("forward", "input_grad", "param_grad", "dtypes"),
    )
    return check(pair, examples=2)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("LSTM", ln.LSTMCell(7)), ("LSTM", ln.OptimizedLSTMCell(7)), ("GRU", ln.GRUCell(7))],
    ids=["LSTMCell", "OptimizedLSTMCell", "GRUCell"],
)
def test_a_stock_cell_is_right_in_float64(kind: str, cell: ln.RNNCellBase) -> None:
    report = checked(kind, cell)
    assert report.ok, str(report)
    assert {result.verdict for result in report.results} == {"parity"}
    assert report.notes == ()


def test_a_cell_that_computes_in_float32_is_no_bug_but_a_format_of_its_own() -> None:
    report = checked("GRU", ln.GRUCell(7, dtype=jnp.float32))
    assert [(result.check, result.ok, result.verdict) for result in report.results][::3] == [
        ("forward", True, "precision mode"),
        ("dtypes", False, "precision mode"),
    ]
    assert "test_linen_cells.py" in report.results[-1].worst
    assert "(Port.__call__)" in report.results[-1].worst


def test_a_wrong_cell_is_located() -> None:
    report = checked("LSTM", ln.OptimizedLSTMCell(7, gate_fn=jax.nn.hard_sigmoid))
    assert report.divergence is not None
    assert (report.divergence.reference, report.divergence.introduced) == ("cell", True)


class Built(ln.Module):
    """`Port` that builds the cell itself."""

    def setup(self) -> None:
        self.cell = ln.RNN(ln.OptimizedLSTMCell(7))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.cell(x)


def test_the_sum_of_two_biases_trains_otherwise_slice_by_slice() -> None:
    pair = Pair(
        name="LSTM",
        reference=lambda config: Reference("LSTM"),
        candidates={"linen": lambda config: Built()},
        inputs=lambda config: st.just((real(2, 3, 5),)),
        modes=("eval",),
        checks=("trajectory",),
    )
    report = check(pair, examples=1)
    assert [(cause.id, cause.where) for cause in report.causes] == [("lstm-bias-merged-training", "cell")]
    assert "stands for the sum of cell.bias_ih_l0 and cell.bias_hh_l0" in str(report)
