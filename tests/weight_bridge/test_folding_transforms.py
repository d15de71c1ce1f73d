"""Transforms that fold, fill, refuse or curve: outline, way back, adjoint, derivative and text."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weight_bridge._errors import MisfitError
from weight_bridge.axes import Flatten, Regroup, Unflatten
from weight_bridge.joint import Beside, Combine, Concat, Each, Split
from weight_bridge.reparametrized import LengthAndDirection, SingularVectors, SpectralNorm, WeightNorm
from weight_bridge.spec import Array, Spec, spec_of
from weight_bridge.transform_text import parse
from weight_bridge.transforms import Permute, Specs, Transform, chain
from weight_bridge.values import Blank, Drop, Fill, Shift, Vacant

Arrays = tuple[Array, ...]
TOLERANCE = 1e-12


def arrays_of(specs: Specs, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return tuple(np.asarray(rng.standard_normal(spec.shape)) for spec in specs)


def of(*shapes: tuple[int, ...]) -> Specs:
    return tuple(Spec(shape, "float64") for shape in shapes)


def dot(left: Arrays, right: Arrays) -> float:
    return sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))


EXACT: list[tuple[Transform, Specs]] = [
    (Unflatten(1, (2, 3)), of((5, 6))),
    (Unflatten(0, (2, 1, 3)), of((6,))),
    (Flatten(0, 2), of((2, 3, 5))),
    (Flatten(1, 3), of((7, 2, 3, 5))),
    (Regroup(1, (2, 3, 5), (1, 2, 0)), of((7, 30))),
    (Regroup(0, (5, 3), (1, 0)), of((15,))),
    (Combine(((1,), (0,))), of((3,), (3,))),
    (chain(Unflatten(1, (2, 3)), Permute((1, 2, 0)), Flatten(0, 2)), of((5, 6))),
]
FOLDED: list[tuple[Transform, Specs]] = [
    (Combine(((0, 3), (1, 4), (2,), (5,))), of(*[(3,)] * 6)),
    (Combine(((0,), (0,))), of((3, 5))),
    (chain(Concat(0), Split(0, (3,) * 6), Combine(((0, 3), (1, 4), (2,), (5,))), Concat(0)), of((9,), (9,))),
    (Blank(1, 3), of((5, 2))),
]
CURVED: dict[str, tuple[Transform, Specs, Callable[..., jax.Array | tuple[jax.Array, ...]]]] = {
    "length along axis 0": (
        WeightNorm(),
        of((5, 1, 1), (5, 2, 3)),
        lambda g, v: g * v / jnp.sqrt((v**2).sum((1, 2), keepdims=True)),
    ),
    "length along axis 1": (
        WeightNorm(),
        of((1, 2), (5, 2)),
        lambda g, v: g * v / jnp.linalg.norm(v, axis=0, keepdims=True),
    ),
    "one length": (WeightNorm(), of((), (5, 2)), lambda g, v: g * v / jnp.linalg.norm(v)),
    "spectrum": (
        SpectralNorm(0),
        of((5, 2, 3), (5,), (6,)),
        lambda w, u, v: w / (u @ w.reshape(5, 6) @ v),
    ),
    "spectrum along axis 1": (
        SpectralNorm(1),
        of((5, 2, 3), (2,), (15,)),
        lambda w, u, v: w / (u @ w.swapaxes(0, 1).reshape(2, 15) @ v),
    ),
    "length and direction": (
        LengthAndDirection((5, 1)),
        of((5, 2)),
        lambda w: (jnp.linalg.norm(w, axis=1, keepdims=True), w),
    ),
    "in a chain": (
        chain(WeightNorm(), Permute((1, 0)), Unflatten(1, (5, 1))),
        of((5, 1), (5, 2)),
        lambda g, v: (g * v / jnp.linalg.norm(v, axis=1, keepdims=True)).T.reshape(2, 5, 1),
    ),
}
ALL = [*EXACT, *FOLDED, *[case[:2] for case in CURVED.values()]]


@pytest.mark.parametrize(("transform", "specs"), ALL, ids=str)
def test_outline_is_what_apply_gives_and_text_parses_back(transform: Transform, specs: Specs) -> None:
    given_ = arrays_of(specs)
    assert transform.infer(specs) == tuple(map(spec_of, transform.apply(given_)))
    assert parse(str(transform)) == transform


@pytest.mark.parametrize(("transform", "specs"), EXACT, ids=str)
def test_exact_transforms_come_back_to_the_same_bits(transform: Transform, specs: Specs) -> None:
    given_ = arrays_of(specs)
    back = transform.inverse(specs).apply(transform.apply(given_))
    assert [array.tobytes() for array in back] == [array.tobytes() for array in given_]
    assert transform.information(specs) == "exact"


@pytest.mark.parametrize(("transform", "specs"), [*EXACT, *FOLDED], ids=str)
def test_transpose_is_the_adjoint(transform: Transform, specs: Specs) -> None:
    here, there = arrays_of(specs), arrays_of(transform.infer(specs), 1)
    assert not transform.curved
    found = transform.transpose(specs).apply(there)
    assert dot(here, found) == pytest.approx(dot(transform.apply(here), there), rel=TOLERANCE)
    again = transform.pullback(specs, there, here)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize(("transform", "specs"), FOLDED[:3], ids=str)
def test_a_fold_comes_back_to_what_folds_alike(transform: Transform, specs: Specs) -> None:
    once = transform.apply(arrays_of(specs))
    again = transform.apply(transform.inverse(specs).apply(once))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert transform.information(specs) in {"folded", "lossy"}


@pytest.mark.parametrize(("transform", "specs", "formula"), CURVED.values(), ids=CURVED)
def test_curved_transforms_pull_back_like_their_formula(
    transform: Transform, specs: Specs, formula: Callable[..., jax.Array | tuple[jax.Array, ...]]
) -> None:
    here, there = arrays_of(specs), arrays_of(transform.infer(specs), 1)
    with jax.enable_x64(True):
        value, back = jax.vjp(formula, *map(jnp.asarray, here))
        several = isinstance(value, tuple)
        wanted = back(tuple(map(jnp.asarray, there)) if several else jnp.asarray(there[0]))
    values = value if isinstance(value, tuple) else (value,)
    assert transform.curved
    for found, expected in [
        *zip(transform.apply(here), values, strict=True),
        *zip(transform.pullback(specs, there, here), wanted, strict=True),
    ]:
        expected = np.asarray(expected)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize(("transform", "specs"), [case[:2] for case in list(CURVED.values())[:5]], ids=str)
def test_a_reparametrised_weight_comes_back_to_tensors_that_give_it_again(transform: Transform, specs: Specs) -> None:
    once = transform.apply(arrays_of(specs))
    back = transform.inverse(specs).apply(once)
    assert [array.shape for array in back] == [spec.shape for spec in specs]
    assert np.abs(transform.apply(back)[0] - once[0]).max() <= TOLERANCE * np.abs(once[0]).max()
    assert parse(str(transform.inverse(specs))) == transform.inverse(specs)


def test_weight_norm_is_torch_s_own_in_every_precision() -> None:
    v, g = torch.randn(5, 2, 3), torch.rand(5, 1, 1)
    found = WeightNorm().apply((g.numpy(), v.numpy()))[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torch._weight_norm(v, g, 0).numpy(), rtol=1e-6)
    half = tuple(array.astype(np.float16) for array in (g.numpy(), v.numpy()))
    assert WeightNorm().apply(half)[0].dtype == np.float16


@given(st.integers(-3, 3), st.sampled_from([(), (3,), (2, 5)]))
def test_fill_makes_an_array_of_nothing_and_drop_takes_it_back(value: int, shape: tuple[int, ...]) -> None:
    (array,) = Fill(value, shape, "int32").apply(())
    assert spec_of(array) == Spec(shape, "int32") == Fill(value, shape, "int32").infer(())[0]
    assert (array == value).all()
    assert Fill(value, shape, "int32").inverse(()).apply((array,)) == ()
    assert parse(str(Fill(value, shape, "int32"))) == Fill(value, shape, "int32")


def test_drop_gives_a_gradient_of_zeros_back() -> None:
    specs = of((3,))
    assert Drop().infer(specs) == ()
    assert Drop().apply(arrays_of(specs)) == ()
    (back,) = Drop().transpose(specs).apply(())
    assert spec_of(back) == specs[0]
    assert not back.any()
    assert Drop().information(specs) == "lossy"


def test_a_shift_adds_and_takes_away() -> None:
    array = np.array([1.5, -2.0], np.float32)
    (shifted,) = Shift(-1).apply((array,))
    assert shifted.dtype == np.float32
    assert shifted.tolist() == [0.5, -3.0]
    assert Shift(-1).inverse((spec_of(array),)).apply((shifted,))[0].tolist() == array.tolist()
    assert Shift(-1).transpose((spec_of(array),)).apply((array,))[0] is array
    assert parse("shift(by=-1)") == Shift(-1)


def test_a_vacant_place_must_be_zero() -> None:
    good, bad = np.array([1.0, 2.0, 0.0, 0.0]), np.array([1.0, 2.0, 0.0, -0.25])
    assert Vacant(2, 4).apply((good,))[0] is good
    with pytest.raises(MisfitError) as refused:
        Vacant(2, 4).apply((bad,))
    assert str(refused.value) == (
        "the target has no place for elements 2 to 3, which must be zero: 1 of 2 are not, up to 0.25"
    )
    assert Vacant(2, 4).transpose(of((4,))).apply((bad,))[0].tolist() == [1.0, 2.0, 0.0, 0.0]
    assert parse(str(Vacant(2, 4))) == Vacant(2, 4)


def test_a_weight_of_zeros_has_no_spectrum() -> None:
    with pytest.raises(MisfitError, match="a weight of zeros has no singular vectors to divide it by"):
        SingularVectors(0).apply((np.zeros((3, 5)),))


MISFITS: list[tuple[Transform, Specs, str]] = [
    (Unflatten(1, (2, 2)), of((5, 6)), "unflatten(axis=1, sizes=(2, 2)) does not take an axis of float64[5, 6] apart"),
    (Flatten(1, 2), of((5, 6)), "flatten(axis=1, count=2) names axes that float64[5, 6] lacks"),
    (Regroup(0, (2, 3), (0, 0)), of((6,)), "regroup(axis=0, sizes=(2, 3), order=(0, 0)) does not order 2 axes"),
    (Combine(((0, 2),)), of((3,), (3,)), "combine((0, 2)) names one of 2 arrays that is not there"),
    (
        WeightNorm(),
        of((5, 2), (5, 2)),
        "weightnorm() takes a length and a direction, got float64[5, 2], float64[5, 2]",
    ),
    (
        SpectralNorm(0),
        of((5, 2), (5,), (5,)),
        "spectralnorm(axis=0) takes a weight and two singular vectors, got float64[5, 2], float64[5], float64[5]",
    ),
    (Fill(0, (3,), "float32"), of((3,)), "fill(value=0, shape=(3,), dtype='float32') takes no array, got 1"),
    (Vacant(2, 4), of((3,)), "vacant(start=2, stop=4) names elements that float64[3] lacks"),
    (Each(Split(0, (1, 2))), of((3,)), "split(axis=0, sizes=(1, 2)) gives 2 arrays where one is expected"),
    (Beside((Drop(),)), of((3,)), "drop() gives 0 arrays where one is expected"),
]


@pytest.mark.parametrize(("transform", "specs", "message"), MISFITS, ids=lambda value: str(value)[:30])
def test_what_does_not_fit_is_refused(transform: Transform, specs: Specs, message: str) -> None:
    with pytest.raises(MisfitError) as refused:
        transform.infer(specs)
    assert str(refused.value) == message


def test_a_curved_transform_has_no_transpose() -> None:
    with pytest.raises(MisfitError) as refused:
        WeightNorm().transpose(of((5, 1), (5, 2)))
    assert str(refused.value) == "weightnorm() is not linear: a gradient goes back only at given values"
