"""Sampled distributions as values: checks, indexing, joining, saving, and the distributions behind them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch

SIDES = (models.networks.torch, models.networks.jax)
SHAPE = (2, 3, 5)


def array(library: Any, values: Any) -> Any:
    values = np.asarray(values, np.float32)
    return torch.tensor(values) if library is models.networks.torch else jnp.asarray(values)


def probabilities() -> np.ndarray:
    p = np.random.default_rng(3).uniform(0.1, 1.0, SHAPE)
    return p / p.sum(-1, keepdims=True)


def normal(library: Any) -> Any:
    mean, std, stoch = np.random.default_rng(2).uniform(0.5, 2.0, (3, *SHAPE))
    return library.NormalStoch(array(library, mean), array(library, std), array(library, stoch))


def categorical(library: Any) -> Any:
    p = array(library, probabilities())
    return library.CategoricalStoch(p, p, array(library, np.eye(5)[[[0, 1, 2], [3, 4, 0]]].reshape(2, 15)))


def bernoulli(library: Any) -> Any:
    p = array(library, probabilities())
    return library.BernoulliStoch(p, p, array(library, (probabilities() > 0.2).reshape(2, 15)))


@pytest.mark.parametrize("library", SIDES)
def test_shapes_differing_is_refused(library):
    with pytest.raises(ValueError) as refusal:
        library.NormalStoch(array(library, np.zeros((2, 3))), array(library, np.ones(3)), array(library, 0.0))
    assert str(refusal.value) == "NormalStoch: mean and std must have one shape, got (2, 3) and (3,)"


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize(
    ("kind", "second", "message"),
    [
        ("NormalStoch", [0.5, -0.25], "NormalStoch: std must not be negative, got -0.25"),
        ("CategoricalStoch", [1.5, -0.5], "CategoricalStoch: probs must lie in [0, 1], got -0.5 … 1.5"),
        ("BernoulliStoch", [0.5, 2.0], "BernoulliStoch: probs must lie in [0, 1], got 0.5 … 2"),
        (
            "CategoricalStoch",
            [0.5, 0.25],
            "CategoricalStoch: probs must sum to 1 within 1e-6 over the last axis, the largest gap is 0.25",
        ),
    ],
)
def test_values_that_are_no_distribution_are_refused(library, kind, second, message):
    with pytest.raises(ValueError) as refusal:
        getattr(library, kind)(array(library, [0.0, 0.0]), array(library, second), array(library, [0.0, 0.0]))
    assert str(refusal.value) == message


@pytest.mark.parametrize("library", SIDES)
def test_indexing_length_and_shape_reach_every_field(library):
    stoch = normal(library)
    assert len(stoch) == 2
    assert stoch.shape == (SHAPE, SHAPE, SHAPE)
    assert type(stoch.shape).__name__ == "NormalShape"
    assert stoch[1, :, 2:].shape.std == (3, 3)
    assert np.array_equal(stoch[1].mean, stoch.mean[1])
    assert stoch.unsqueeze(0).shape.stoch == (1, *SHAPE)
    assert stoch.unsqueeze(0).squeeze(0).shape.stoch == SHAPE
    assert stoch.squeeze(0).shape.stoch == SHAPE
    assert stoch.reshape(6, 5).shape == ((6, 5),) * 3
    assert stoch.flatten(1).shape == ((2, 15),) * 3


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize("make", [normal, categorical, bernoulli])
def test_joining_is_field_by_field(library, make):
    stoch = make(library)
    axis = "dim" if library is models.networks.torch else "axis"
    joined = library.cat_dist([stoch, stoch[:1]], **{axis: 0})
    assert type(joined) is type(stoch)
    assert [shape[0] for shape in joined.shape] == [3, 3, 3]
    assert np.array_equal(joined.stoch[2], stoch.stoch[0])
    assert library.stack_dist([stoch, stoch]).shape.stoch == (2, *stoch.shape.stoch)


def test_torch_applies_any_method_of_a_tensor():
    stoch = models.networks.torch.NormalStoch(*(torch.ones(2, 3, requires_grad=True) for _ in range(3)))
    assert not stoch.detach().std.requires_grad
    assert stoch.to(torch.float64).mean.dtype == torch.float64
    with pytest.raises(AttributeError) as missing:
        stoch.not_a_method()
    assert str(missing.value) == (
        "NormalStoch has no attribute 'not_a_method', and torch.Tensor no method of that name"
    )


def test_jax_offers_the_published_methods():
    stoch = normal(models.networks.jax)
    assert stoch.transpose(2, 0, 1).shape.mean == (5, 2, 3)
    assert stoch.swapaxes(0, 1).shape.mean == (3, 2, 5)
    assert stoch.expand_dims(1).shape.mean == (2, 1, 3, 5)
    gradient = jax.grad(lambda s: s.detach().stoch.sum() + s.stop_gradient().mean.sum() + s.std.sum())(stoch)
    assert [float(leaf.sum()) for leaf in jax.tree.leaves(gradient)] == [0.0, 30.0, 0.0]


def test_jax_stochs_are_pytrees_and_unchecked_under_transformations():
    stoch = categorical(models.networks.jax)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(stoch)]
    assert paths == [".logits", ".probs", ".stoch"]
    doubled = jax.jit(lambda s: jax.tree.map(lambda leaf: 2 * leaf, s))(stoch)
    assert type(doubled) is type(stoch)
    assert jnp.allclose(doubled.probs.sum(-1), 2)  # no distribution any more, and nobody asked
    made = jax.jit(lambda p: models.networks.jax.BernoulliStoch(p, p, p))(jnp.array([3.0]))
    assert float(made.probs[0]) == 3.0


@pytest.mark.parametrize("library", SIDES)
def test_fields_are_saved_one_file_each(library, tmp_path):
    blosc2 = pytest.importorskip("blosc2", reason="saving needs the optional package blosc2")
    stoch = normal(library)
    stoch.save(tmp_path / "new" / "folder")
    found = {path.name: path for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(found) == {"mean.blosc2", "std.blosc2", "stoch.blosc2"}
    assert np.array_equal(blosc2.unpack_array2(found["std.blosc2"].read_bytes()), np.asarray(stoch.std))


@pytest.mark.parametrize("make", [normal, categorical, bernoulli])
@pytest.mark.parametrize("get", ["get_distribution", "get_dist"])
def test_the_distributions_agree_with_torch(make, get):
    def of(library: Any) -> Any:
        stoch = make(library)
        return stoch.get_distribution() if get == "get_distribution" else library.get_dist(stoch)

    reference, candidate = of(models.networks.torch), of(models.networks.jax)
    event = make(models.networks.torch).stoch.reshape(SHAPE)
    log_prob = reference.log_prob(event)
    assert log_prob.shape == candidate.log_prob(jnp.asarray(event.numpy())).shape
    np.testing.assert_allclose(candidate.log_prob(jnp.asarray(event.numpy())), log_prob, rtol=1e-5)
    np.testing.assert_allclose(candidate.entropy(), reference.entropy(), rtol=1e-5)
    assert candidate.sample(jax.random.key(0)).shape == reference.sample().shape


def test_samples_of_the_distributions_have_their_moments():
    key = jax.random.key(5)
    bits = models.networks.jax.BernoulliStoch(*(jnp.full((200_000, 1, 1), 0.3),) * 2, jnp.zeros((200_000, 1)))
    assert float(bits.get_distribution().sample(key).mean()) == pytest.approx(0.3, abs=6 * (0.21 / 2e5) ** 0.5)
    p = jnp.tile(jnp.array([[[0.2, 0.5, 0.3]]]), (200_000, 1, 1))
    rows = models.networks.jax.CategoricalStoch(p, p, p.reshape(-1, 3)).get_distribution().sample(key)
    np.testing.assert_allclose(rows.mean((0, 1)), [0.2, 0.5, 0.3], atol=6 * (0.25 / 2e5) ** 0.5)
    unit = models.networks.jax.NormalStoch(jnp.full(200_000, 2.0), jnp.full(200_000, 0.5), jnp.zeros(200_000))
    draws = unit.get_distribution().sample(key)
    assert float(draws.mean()) == pytest.approx(2.0, abs=6 * 0.5 / 2e5**0.5)
    assert float(draws.std()) == pytest.approx(0.5, abs=6 * 0.5 / 4e5**0.5)


@pytest.mark.parametrize("library", SIDES)
def test_divergences_of_different_kinds_are_refused(library):
    with pytest.raises(NotImplementedError) as refusal:
        library.kl_divergence(categorical(library), bernoulli(library))
    assert str(refusal.value) == (
        "kl_divergence: expected two distributions of one kind, got CategoricalStoch and BernoulliStoch"
    )
    with pytest.raises(AssertionError, match=r"weight must lie in \[0, 1\], got 1.5"):
        library.kl_balancing(normal(library), normal(library), weight=1.5)


@pytest.mark.parametrize("library", SIDES)
@pytest.mark.parametrize("kind", ["CategoricalStoch", "BernoulliStoch"])
def test_divergences_know_impossible_events(library, kind):
    certain, other = array(library, [[1.0, 0.0]]), array(library, [[0.0, 1.0]])
    make = getattr(library, kind)
    p, q = (make(x, x, x) for x in (certain, other))
    assert np.isposinf(np.asarray(library.kl_divergence(p, q))).all()
    assert (np.asarray(library.kl_divergence(p, p)) == 0).all()
