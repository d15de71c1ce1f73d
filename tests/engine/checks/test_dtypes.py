"""`dtypes` names hidden formats; the other checks call what they explain a precision mode."""

from __future__ import annotations

import datetime
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from parity import Override
from tests.engine.checks.ports import Net, Port, examined, result, tried


def _short(x: jax.Array) -> jax.Array:
    return jnp.tanh(x.astype(jnp.float32)).astype(x.dtype)


def _short_reference(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x.float()).to(x.dtype)


TABLE = np.linspace(0, 0.7, 7, dtype=np.float32)


def test_a_hidden_float32_is_named_with_its_line() -> None:
    trial = tried(Net(), Port(_short))
    found = result("dtypes", trial)
    assert (found.ok, found.verdict) == (False, "precision mode")
    assert " in float32 at " in found.worst
    assert "test_dtypes.py:" in found.worst
    assert "(_short)" in found.worst
    assert found.max_relative_error == 2.0**-24


def test_what_a_library_computes_in_float32_has_the_line_that_calls_it() -> None:
    table = result("dtypes", tried(Net(), Port(lambda x: jnp.tanh(x) * jnp.linspace(0.1, 1, 7, dtype=jnp.float32))))
    assert not table.ok
    assert "test_dtypes.py:" in table.worst


def test_places_that_a_library_finds_in_float32_are_as_exact_as_their_integers() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.repeat_interleave(2, -1)

    def resized(x: jax.Array) -> jax.Array:
        return jax.image.resize(x, (x.shape[0], 2 * x.shape[1]), "nearest")

    assert result("dtypes", tried(Twice(), resized, carry=None)).ok
    assert not result("dtypes", tried(Twice(), lambda x: resized(x.astype(jnp.float32)), carry=None)).ok


def test_what_a_hidden_float32_explains_is_no_bug() -> None:
    found = result("forward", tried(Net(), Port(_short)))
    assert (found.ok, found.verdict) == (True, "precision mode")
    assert 1e-9 < found.max_relative_error < 2e-6


def test_an_error_larger_than_float32_is_a_bug_all_the_same() -> None:
    found = result("forward", tried(Net(), Port(lambda x: _short(x) * (1 + 1e-4))))
    assert (found.ok, found.verdict) == (False, "bug")


def test_a_reference_that_pins_float32_may_be_followed() -> None:
    trial = tried(Net(_short_reference), Port(_short))
    assert result("dtypes", trial).ok
    assert result("forward", trial).ok
    assert result("forward", tried(Net(_short_reference), Port())).verdict == "precision mode"


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: jnp.tanh(x) * jnp.sin(jnp.arange(7, dtype=jnp.float32)), "sin in float32"),
        (lambda x: jnp.tanh(x) * TABLE, "constant of shape [7] in float32"),
    ],
    ids=["computed table", "stored table"],
)
def test_tables_of_few_digits(function: Any, what: str) -> None:
    assert what in result("dtypes", tried(Net(), Port(function))).worst


def test_exact_constants_lose_nothing() -> None:
    mask = np.array([1, 0, 1, 1, 0, 1, 0], np.float32)
    table = torch.from_numpy(mask)
    trial = tried(Net(lambda x: torch.tanh(x) * table), Port(lambda x: jnp.tanh(x) * mask))
    assert result("dtypes", trial).ok
    assert result("forward", trial).ok


class Attention(nn.Module):
    """A softmax, widened to float32 or not."""

    def __init__(self, *, widened: bool) -> None:
        super().__init__()
        self.widened = widened

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.float() if self.widened and x.dtype == torch.bfloat16 else x, -1).to(x.dtype)


def _widened(x: jax.Array) -> jax.Array:
    return jax.nn.softmax(x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x).astype(x.dtype)


@pytest.mark.parametrize(
    ("widened", "candidate", "ok"),
    [(True, _widened, True), (True, jax.nn.softmax, False), (False, jax.nn.softmax, True), (False, _widened, True)],
)
def test_a_softmax_that_is_not_widened(widened: bool, candidate: Any, ok: bool) -> None:
    found = result("dtypes", tried(Attention(widened=widened), candidate, carry=None))
    assert found.ok == ok
    assert ok or found.worst == "exponential in bfloat16 where the reference widens to float32"


def test_outputs_in_another_format_or_kind() -> None:
    shortened = tried(nn.Identity(), lambda x: x.astype(jnp.float32), np.ones((2, 3)), carry=None)
    assert not result("dtypes", shortened).ok
    summed = tried(_Argmax(), lambda x: jnp.argmax(x, -1) * 1.0, carry=None)
    found = result("dtypes", summed)
    assert (found.ok, found.detail) == (False, "float64 where the reference has int64")
    counted = tried(_Argmax(), lambda x: jnp.argmax(x, -1).astype(jnp.int32), carry=None)
    assert result("dtypes", counted).ok, "widths of integers are the frameworks' own affair"


class _Argmax(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.argmax(x, -1)


def test_an_override_grants_a_format_and_no_coarser_one() -> None:
    granted = Override("dtypes", 1e-7, "the deployed kernel works in float32", datetime.date(2999, 1, 1))
    found = examined("dtypes", tried(Net(), Port(_short)), (granted,))
    assert found.results[0].ok
    assert found.needed == (granted,)
    half = tried(Net(), Port(lambda x: jnp.tanh(x.astype(jnp.bfloat16)).astype(x.dtype)))
    assert not examined("dtypes", half, (granted,)).results[0].ok
