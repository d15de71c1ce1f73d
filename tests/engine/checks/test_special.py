"""`special` sees what random values do not, and tells conventions from faults; `sizes` does so for shapes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

from parity import Input, Report
from parity.harness import conclude
from parity.strategies.special import special_names, special_values
from tests.engine.checks.ports import Net, Normed, NormedPort, Port, examined, inputs, result, tried


class Pool(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.max_pool1d(x, 3, 2, padding=1)


def _pool(x: jax.Array, pad: float = -np.inf) -> jax.Array:
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1)), constant_values=pad)
    return jnp.stack([padded[:, :, i : i + 3].max(-1) for i in range(0, x.shape[2] + 1 - x.shape[2] % 2, 2)], -1)


class Length(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(x, dim=-1)


class Rectified(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)


class Lowest(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.logsigmoid(x)


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 8, 1, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class GroupedPort(nnx.Module):
    def __init__(self) -> None:
        self.conv = nnx.Conv(2, 8, (1,), feature_group_count=2, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x.swapaxes(1, 2)).swapaxes(1, 2)


def _safe_length(x: jax.Array) -> jax.Array:
    square = jnp.sum(x * x, -1)
    return jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))


def test_right_ports_pass() -> None:
    for trial in (
        tried(Net(), Port()),
        tried(Normed(), NormedPort(), modes=("eval", "train")),
        tried(Pool(), _pool, inputs(2, 3, 9), carry=None),
        tried(Rectified(), jax.nn.relu, carry=None),
        tried(Lowest(), jax.nn.log_sigmoid, carry=None),
        tried(Grouped(), GroupedPort(), inputs(3, 2, 9)),
    ):
        found = result("special", trial)
        assert found.ok, found
        assert found.leaves > 0


@pytest.mark.parametrize(
    ("reference", "candidate", "given", "where"),
    [
        (Pool, lambda x: _pool(x, 0.0), np.abs(inputs(2, 3, 9)), "negative: "),
        (Length, lambda x: jnp.sqrt(jnp.sum(x * x, -1)), inputs(), "zeros: input[0]"),
        (Lowest, lambda x: jnp.log(jax.nn.sigmoid(x)), inputs(), "saturated: output"),
        (Rectified, lambda x: jnp.where(x > 0, x, 0.0 * x), inputs(), "infinity: output"),
    ],
    ids=["maximum padded with zero", "root of zero", "logarithm of zero", "zero times infinity"],
)
def test_faults_at_special_values(reference: Any, candidate: Any, given: np.ndarray, where: str) -> None:
    trial = tried(reference(), candidate, given, carry=None)
    assert result("forward", trial).ok
    found = result("special", trial)
    assert (found.ok, found.verdict) == (False, "bug")
    assert found.worst.startswith(where)


def test_infinities_of_another_order_of_sums_pass_and_swallowed_ones_do_not() -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.9 * x

    found = result("special", tried(Sum(), lambda x: x - 0.1 * x, carry=None))
    assert (found.ok, found.verdict) == (True, "semantic boundary")
    assert found.worst.startswith("infinity: output")
    assert not result("special", tried(Sum(), lambda x: jnp.nan_to_num(0.9 * x), carry=None)).ok


def test_what_overflows_on_both_sides_may_do_so_in_another_order() -> None:
    class Fifth(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept = x[:, [0, 1, 3, 4]]
            square = (kept * kept).sum(-1)
            return kept.sum(-1) * square * square  # beyond float64 at `huge`, and so no number behind it is

    def spread(x: jax.Array) -> jax.Array:
        kept = x * jnp.array([1.0, 1.0, 0.0, 1.0, 1.0])  # 0 times infinity in the gradient by the third
        square = (kept * kept).sum(-1, keepdims=True)
        return (kept * square * square).sum(-1)

    found = result("special", tried(Fifth(), spread, carry=None))
    assert (found.ok, found.verdict) == (True, "semantic boundary")
    assert not result("special", tried(Fifth(), lambda x: jnp.nan_to_num(spread(x)), carry=None)).ok


def test_the_derivative_of_a_root_at_zero_may_be_guarded() -> None:
    trial = tried(Length(), _safe_length, carry=None)
    found = result("special", trial)
    assert found.ok, found


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [(lambda x: jnp.maximum(x, 0.0), "semantic boundary"), (jax.nn.relu, "parity")],
    ids=["half at zero", "zero at zero"],
)
def test_another_derivative_at_a_kink_is_shown_and_passes(candidate: Any, verdict: str) -> None:
    found = result("special", tried(Rectified(), candidate, carry=None))
    assert (found.ok, found.verdict) == (True, verdict)
    assert (found.max_relative_error > 0.1) == (verdict == "semantic boundary")


def test_another_choice_among_equals_is_an_ambiguous_tie() -> None:
    class Order(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.argsort(x, dim=-1, stable=True)

    def last_first(x: jax.Array) -> jax.Array:
        return x.shape[-1] - 1 - jnp.argsort(x[..., ::-1], axis=-1)

    trial = tried(Order(), last_first, carry=None)
    assert result("forward", trial).verdict == "parity"
    found = result("special", trial)
    assert (found.ok, found.verdict) == (True, "ambiguous tie")


def test_numbers_that_the_candidate_flushes_are_equal() -> None:
    class Half(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0.5

    trial = tried(Half(), lambda x: x * 0.5, carry=None)
    tiny = trial.fed((inputs() * 1e-310,))
    assert (tiny.reference("eval").outputs["output"] != 0).any()
    assert result("special", trial).ok


def test_specials_of_each_kind_of_input() -> None:
    assert special_names((Input((3,), "tokens", high=7),)) == ("lowest", "highest")
    assert special_names((Input((3,), profiles=("normal",)),)) == (
        *("zeros", "ties", "negative", "rows", "tiny", "subnormal"),
    )
    declared = (Input((2,), "tokens", high=7), Input((2, 3)), Input((2,), "mask"))
    values = np.array([1, 2]), np.ones((2, 3)), np.array([True, False])
    tokens, numbers, mask = special_values("zeros", values, declared, "float64")
    assert (numbers == 0).all()
    assert tokens.tolist() == [1, 2]
    assert mask.tolist() == [True, False]
    assert special_values("highest", values, declared, "float64")[0].tolist() == [6, 6]
    assert special_values("all", values, declared, "float64")[2].all()


def test_a_size_that_is_assumed() -> None:
    class Folded(nnx.Module):
        def __call__(self, x: jax.Array) -> jax.Array:
            return x.reshape(x.shape[0] // 2, 2, -1).repeat(2, 0).reshape(-1, x.shape[1])[: x.shape[0]] * 0 + x

    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    trial = tried(Same(), Folded(), inputs(4, 5))
    assert result("forward", trial).ok
    found = result("sizes", trial)
    assert not found.ok
    assert result("sizes", tried(Same(), lambda x: x, inputs(4, 5), carry=None)).ok


def test_a_divisor_that_is_fixed_to_the_size() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(1)

    trial = tried(Mean(), lambda x: x.sum(1) / 5, carry=None)
    assert result("forward", trial).ok
    found = result("sizes", trial)
    assert not found.ok
    assert "along axis 1" in found.worst


def test_padding_that_is_right_at_odd_sizes_alone_is_seen_behind_other_strides() -> None:
    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(3, 4, 3, stride=2, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x[:, :, ::4])

    class StridedPort(nnx.Module):
        def __init__(self) -> None:
            self.conv = nnx.Conv(3, 4, (3,), 2, padding="SAME", rngs=nnx.Rngs(0))

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.conv(x.swapaxes(1, 2)[:, ::4]).swapaxes(1, 2)

    trial = tried(Strided(), StridedPort(), inputs(2, 3, 20))
    assert result("forward", trial).ok  # 20 → 5, and 19 → 5: odd, where SAME pads as torch does
    found = result("sizes", trial)
    assert not found.ok
    assert found.worst.startswith("4 less along axes 2: output")
    report = conclude(trial, Report("strided", "cpu", "float64", (found,)))
    assert report.divergence is not None, report
    assert (report.divergence.reference, report.divergence.candidate) == ("conv", "conv")
    assert report.causes, report
    assert report.causes[0].where == "conv"


def test_sizes_that_the_reference_refuses_are_left_out_or_shown() -> None:
    found = result("sizes", tried(Net(), Port()))
    assert found.ok, found
    trial = tried(Normed(), NormedPort(), modes=("eval", "train"))
    (shown,) = examined("sizes", trial).results
    assert (shown.ok, shown.verdict) == (True, "semantic boundary")
    assert shown.detail.startswith(
        "only the reference refuses a batch of one, in train mode: ValueError: Expected more"
    )


def test_warnings_at_the_edge_are_expected_warnings() -> None:
    class Spread(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.std(0, keepdim=True) * 0 + x  # torch warns of a single row

    found = result("sizes", tried(Spread(), lambda x: jnp.std(x, 0, ddof=1, keepdims=True) * 0 + x, carry=None))
    assert found.ok, found
