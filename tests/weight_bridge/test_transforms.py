"""Every transform: its outline, its way back, its adjoint and its text, on drawn shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weight_bridge._errors import MisfitError
from weight_bridge.joint import (
    Agree,
    Beside,
    Concat,
    Copy,
    Each,
    Lead,
    Pick,
    Reorder,
    Split,
    Stack,
    Sum,
    Unstack,
)
from weight_bridge.spec import Array, Spec, spec_of
from weight_bridge.transform_text import parse
from weight_bridge.transforms import Cast, Flip, Identity, Permute, Reshape, Specs, Transform, chain

EXTENTS = (2, 3, 5, 7)


@st.composite
def single(draw: st.DrawFn) -> tuple[Transform, Specs]:
    """A transform from one array to one, with an input it takes."""
    shape = tuple(draw(st.permutations(EXTENTS))[: draw(st.integers(1, 4))])
    axes = tuple(draw(st.permutations(range(len(shape)))))
    some = tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    flat = Reshape((int(np.prod(shape)),))
    steps = draw(st.lists(st.sampled_from([Permute(axes), Flip(some), Identity()]), min_size=1, max_size=4))
    return chain(*steps, *draw(st.sampled_from([(), (flat,)]))), (Spec(shape, "float64"),)


@st.composite
def several(draw: st.DrawFn) -> tuple[Transform, Specs]:
    """A transform that takes or gives several arrays."""
    count = draw(st.integers(1, 4))
    axis = draw(st.integers(0, 2))
    shape = [3, 5, 2]
    alike = tuple(Spec((3, 5, 2), "float64") for _ in range(count))
    sizes = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    shape[axis] = sum(sizes)
    pieces = tuple(Spec((*shape[:axis], size, *shape[axis + 1 :]), "float64") for size in sizes)
    order = tuple(draw(st.permutations(range(count))))
    cases: list[tuple[Transform, Specs]] = [
        (Split(axis, sizes), (Spec(tuple(shape), "float64"),)),
        (Concat(axis), pieces),
        (Stack(axis), alike),
        (Unstack(axis), alike[:1]),
        (Each(Permute((2, 0, 1))), alike),
        (Beside((Flip((0,)), Permute((1, 0, 2)))), alike[:1] * 2),
        (Reorder(order), alike),
        (Copy(count), alike[:1]),
        (chain(Each(Permute((2, 0, 1))), Stack(0)), alike),
        (Identity(), alike),
    ]
    return draw(st.sampled_from(cases))


def arrays_of(specs: Specs, seed: int) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(spec.shape) for spec in specs)


def dot(left: tuple[Array, ...], right: tuple[Array, ...]) -> float:
    return sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))


@given(single() | several(), st.integers(0, 99))
def test_outline_is_what_apply_gives(case: tuple[Transform, Specs], seed: int) -> None:
    transform, specs = case
    found = tuple(spec_of(array) for array in transform.apply(arrays_of(specs, seed)))
    assert transform.infer(specs) == found


@given(single() | several(), st.integers(0, 99))
def test_inverse_comes_back_to_the_same_bits(case: tuple[Transform, Specs], seed: int) -> None:
    transform, specs = case
    given_ = arrays_of(specs, seed)
    back = transform.inverse(specs).apply(transform.apply(given_))
    assert [array.tobytes() for array in back] == [array.tobytes() for array in given_]


@given(single() | several(), st.integers(0, 99))
def test_transpose_is_the_adjoint(case: tuple[Transform, Specs], seed: int) -> None:
    transform, specs = case
    there = arrays_of(transform.infer(specs), seed + 1)
    here = arrays_of(specs, seed)
    expected = dot(transform.apply(here), there)
    assert dot(here, transform.transpose(specs).apply(there)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(single() | several())
def test_text_parses_to_the_transform(case: tuple[Transform, Specs]) -> None:
    assert parse(str(case[0])) == case[0]


FOLDING: list[tuple[Transform, int]] = [(Sum(), 3), (Lead(3), 1), (Pick(3), 3)]


@pytest.mark.parametrize(("transform", "count"), FOLDING, ids=str)
def test_folding_transforms_have_adjoints_and_pseudo_inverses(transform: Transform, count: int) -> None:
    specs = (Spec((3, 5), "float64"),) * count
    here, there = arrays_of(specs, 0), arrays_of(transform.infer(specs), 1)
    expected = dot(transform.apply(here), there)
    assert dot(here, transform.transpose(specs).apply(there)) == pytest.approx(expected, rel=1e-12)
    once = transform.apply(here)
    again = transform.apply(transform.inverse(specs).apply(once))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert parse(str(transform)) == transform


def test_a_sum_says_that_it_folds() -> None:
    specs = (Spec((3,), "float32"),) * 2
    assert Sum().information(specs) == "folded"
    assert chain(Sum(), Cast("float16")).information(specs) == "lossy"
    assert Cast("float64").information(specs[:1]) == "exact"


def test_copies_that_were_trained_apart_are_refused() -> None:
    same = np.arange(3.0)
    assert np.array_equal(Agree(2).apply((same, same.copy()))[0], same)
    with pytest.raises(MisfitError) as refused:
        Agree(2).apply((same, same + 1))
    assert str(refused.value) == "copies of one tied tensor differ: there is no single tensor to go back to"


MISFITS: list[tuple[Transform, Specs, str]] = [
    (Permute((1, 0)), (Spec((3,), "float32"),), "permute(1, 0) does not permute the 1 axes of float32[3]"),
    (Permute((0, 0)), (Spec((3, 5), "float32"),), "permute(0, 0) does not permute the 2 axes of float32[3, 5]"),
    (Reshape((4,)), (Spec((3,), "float32"),), "reshape(4) has 4 elements, float32[3] has 3"),
    (Flip((2,)), (Spec((3, 5), "float32"),), "flip(2) names an axis that float32[3, 5] lacks"),
    (
        Split(0, (1, 1)),
        (Spec((3,), "float32"),),
        "split(axis=0, sizes=(1, 1)) does not cut float32[3] without a rest",
    ),
    (
        Concat(1),
        (Spec((3, 2), "float32"), Spec((5, 2), "float32")),
        "concat(axis=1) cannot join float32[3, 2], float32[5, 2]",
    ),
    (
        Sum(),
        (Spec((3,), "float32"), Spec((5,), "float32")),
        "sum() takes arrays of one shape and dtype, got float32[3], float32[5]",
    ),
    (Cast("float16"), (), "cast(dtype='float16') takes one array, got 0"),
]


@pytest.mark.parametrize(("transform", "specs", "message"), MISFITS, ids=lambda value: str(value)[:30])
def test_what_does_not_fit_is_refused(transform: Transform, specs: Specs, message: str) -> None:
    with pytest.raises(MisfitError) as refused:
        transform.infer(specs)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('true')", "permute(1, 0).apply", "permute(x)", "1 + 2", "nothing()", "permute(", "1.5"],
)
def test_text_that_is_no_transform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^transform "):
        parse(text)
