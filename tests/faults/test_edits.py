from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from parity.faults import adding, around, both, deriving, reading, setting
from parity.faults.generic import GENERIC


def linear() -> Any:
    return nnx.Linear(3, 3, rngs=nnx.Rngs(0))


def test_setting_changes_attributes_and_gives_them_back() -> None:
    norm = nnx.LayerNorm(3, epsilon=1e-5, rngs=nnx.Rngs(0))
    undo = setting(epsilon=1e-3)(norm)
    assert norm.epsilon == 1e-3
    undo()
    assert norm.epsilon == 1e-5


def test_deriving_sees_the_module() -> None:
    module = SimpleNamespace(rate=0.3)
    undo = deriving(rate=lambda m: 1 - m.rate)(module)
    assert module.rate == 0.7
    undo()
    assert module.rate == 0.3


def test_an_attribute_that_is_not_there_cannot_be_set() -> None:
    with pytest.raises(AttributeError, match="epsilonn"):
        setting(epsilonn=1.0)(SimpleNamespace(epsilon=1e-5))


def test_adding_leaves_nothing_behind() -> None:
    module = SimpleNamespace()
    undo = adding(copy=lambda m: 3)(module)
    assert module.copy == 3
    undo()
    assert not hasattr(module, "copy")


def test_a_wrapped_method_belongs_to_one_instance_and_survives_split_and_merge() -> None:
    one, other, x = linear(), linear(), jnp.ones((2, 3))
    right = np.asarray(one(x))
    undo = around("__call__", lambda original, x: 2 * original(x))(one)
    graph, state = nnx.split(one)
    np.testing.assert_array_equal(nnx.merge(graph, state)(x), 2 * right)
    np.testing.assert_array_equal(other(x), right)
    undo()
    np.testing.assert_array_equal(one(x), right)
    assert type(one) is nnx.Linear


def test_reading_shows_another_value_and_keeps_the_variable() -> None:
    module, x = linear(), jnp.arange(6.0).reshape(2, 3)
    kernel = np.asarray(module.kernel[...])
    undo = reading("kernel", lambda kernel: kernel.T)(module)
    np.testing.assert_allclose(module(x), x @ kernel.T, rtol=1e-6)
    np.testing.assert_array_equal(module.kernel[...], kernel)
    undo()
    np.testing.assert_allclose(module(x), x @ kernel, rtol=1e-6)


def test_both_undoes_in_reverse_order() -> None:
    module = SimpleNamespace(rate=1)
    undo = both(deriving(rate=lambda m: m.rate + 1), deriving(rate=lambda m: m.rate * 10))(module)
    assert module.rate == 20
    undo()
    assert module.rate == 1


class Branch(nnx.Module):
    def __init__(self, rate: float, *, rngs: nnx.Rngs) -> None:
        self.rate = rate
        self.rngs = rngs.dropout.fork()

    def __call__(self, x: jax.Array) -> jax.Array:
        def kept(shape: tuple[int, ...]) -> jax.Array:
            return jax.random.bernoulli(self.rngs(), 1 - self.rate, shape)

        return x * kept((len(x), 1))


class Decay(nnx.Module):
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, x: jax.Array) -> jax.Array:
        return x * (1 - self.rate)


def test_a_rate_is_one_of_dropout_only_where_a_mask_is_drawn() -> None:
    class Several(nnx.Module):
        def __init__(self) -> None:
            self.branch = Branch(0.2, rngs=nnx.Rngs(0))
            self.decay = Decay(0.1)
            self.dropout = nnx.Dropout(0.3, rngs=nnx.Rngs(0))

    (fault,) = [fault for fault in GENERIC if fault.id == "any-dropout-keep-vs-drop"]
    assert list(fault.sites(Several())) == ["branch", "dropout"]
    assert list(fault.sites(Decay(0.1))) == []
