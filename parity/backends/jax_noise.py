"""`jax.random`, answered while a function is traced: from the reference's numbers where it has a matching draw."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import jax
import jax.extend
import jax.numpy as jnp

from parity.noise import Draw, Request, ended, match, oriented

Numbers = tuple[Any, ...]
Fill = Callable[[tuple[int, ...]], Any]
Transform = Callable[[Any, Mapping[str, Any]], Any]

_turn: Any = jax.make_user_context(0)
_turns = itertools.count(1)
"""Part of what JAX keeps traces by: a function that the model has compiled itself is traced anew in every replay of
draws inside it, since the numbers of one trace mean nothing in the next, and what is not traced is not asked for."""


class Replay:
    """Answers the draws of one trace.

    Attributes:
      requests: what was asked for and which of the reference's draws answered, in order.
      keys: the key of every draw, as it was passed.
      fill: shape → uniform numbers of a draw that none of the reference's answers; None leaves it to JAX.
      anew: nothing traced before is taken over. It costs the compilation of every operation, so that calls go without
        it that are known to draw outside of transformations only.
      inside: something was asked for inside of a transformation, such as a function that the model compiles itself.

    Args:
      recorded: the reference's draws.
      numbers: uniform numbers of each.
      fill: see above.
      expected: what the same call asks for, where that is known, and how it is answered.
      anew: see above; None for every call with draws of the reference.
    """

    def __init__(
        self,
        recorded: tuple[Draw, ...],
        numbers: Numbers,
        fill: Fill | None = None,
        expected: tuple[Request, ...] = (),
        *,
        anew: bool | None = None,
    ) -> None:
        self._recorded, self._numbers, self._expected = recorded, numbers, expected
        self.fill = fill
        self.anew = bool(recorded or expected) if anew is None else anew
        self.inside = False
        self._level = _level()
        self.requests: list[Request] = []
        self.keys: list[Any] = []

    def take(self, wanted: Draw, key: Any) -> Any:
        """Uniform numbers for a draw, or None where the reference has no draw that could correspond."""
        request = self._answered(wanted)
        self.requests.append(request)
        self.keys.append(key)
        self.inside |= _level() != self._level
        if request.source is None:
            return None
        numbers = ended(self._numbers[request.source], self._recorded[request.source], wanted)
        return oriented(numbers, wanted.shape)

    def _answered(self, wanted: Draw) -> Request:
        """As expected; the most alike that is left, where nothing was expected or the call has taken another course."""
        used = {request.source for request in self.requests if request.source is not None}
        place = len(self.requests)
        expected = self._expected[place] if place < len(self._expected) else None
        if expected is not None and expected.draw == wanted and expected.source not in used:
            return expected
        return Request(wanted, match(wanted, self._recorded, used))


def _level() -> Any:
    """Which transformations are at work."""
    return jax.extend.core.get_opaque_trace_state(convention="nnx")


@contextmanager
def replaying(replay: Replay) -> Generator[None]:
    """Answers `jax.random`'s functions, and the methods that NNX streams make of them, from a replay."""
    turn = next(_turns) if replay.anew else 0
    with _turn(turn), _patched({name: functools.partial(_answer, replay, name) for name in SHAPES}):
        yield


@contextmanager
def _patched(answers: Mapping[str, Callable[..., Any]]) -> Generator[None]:
    """Puts functions in the place of `jax.random`'s, and of the methods of NNX's streams."""
    nnx: Any = sys.modules.get("flax.nnx")
    streams: list[Any] = [nnx.Rngs, nnx.RngStream] if nnx is not None else []
    patches: list[Any] = []
    for name, answer in answers.items():
        original = getattr(jax.random, name)
        patches.append(patch.object(jax.random, name, functools.wraps(original)(functools.partial(answer, original))))
        patches += [
            patch.object(stream, name, _method(functools.partial(answer, original)))
            for stream in streams
            if name in vars(stream)
        ]
    try:
        for change in patches:
            change.start()
        yield
    finally:
        for change in patches:
            change.stop()


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a stream, which calls itself for the key."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self(), *args, **kwargs)

    return method


def _answer(replay: Replay, name: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """One call of a `jax.random` function."""
    bound = inspect.signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    kind, shape_of, transform = SHAPES[name]
    chance = given.get("p") if isinstance(given.get("p"), float) else None
    numbers = replay.take(Draw(kind, shape_of(given), chance), given["key"])
    if numbers is None and replay.fill is not None:
        numbers = replay.fill(shape_of(given))
    return original(*args, **kwargs) if numbers is None else transform(numbers, given)


def _shape(given: Mapping[str, Any]) -> tuple[int, ...]:
    return _tuple(given["shape"])


def _shape_or(*names: str) -> Callable[[Mapping[str, Any]], tuple[int, ...]]:
    """The shape as given, or the one that other arguments broadcast to."""

    def shape(given: Mapping[str, Any]) -> tuple[int, ...]:
        if given["shape"] is not None:
            return _tuple(given["shape"])
        return jnp.broadcast_shapes(*(jnp.shape(given[name]) for name in names))

    return shape


def _categorical_shape(given: Mapping[str, Any]) -> tuple[int, ...]:
    logits, axis = jnp.shape(given["logits"]), given["axis"]
    batch = tuple(size for i, size in enumerate(logits) if i != axis % len(logits))
    each = given["shape"] is not None and given.get("replace", True)  # every sample has numbers of its own
    return (*(_tuple(given["shape"]) if each else batch), logits[axis])


def _permutation_shape(given: Mapping[str, Any]) -> tuple[int, ...]:
    return (given["x"] if isinstance(given["x"], int) else given["x"].shape[given["axis"]],)


def _tuple(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _dtype(u: Any, given: Mapping[str, Any]) -> Any:
    """The floating dtype that the call asked for; the default one otherwise."""
    dtype = given.get("dtype")
    return jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)


def _bernoulli(u: Any, given: Mapping[str, Any]) -> Any:
    return u < given["p"]


def _uniform(u: Any, given: Mapping[str, Any]) -> Any:
    return (given["minval"] + (given["maxval"] - given["minval"]) * u).astype(_dtype(u, given))


def _normal(u: Any, given: Mapping[str, Any]) -> Any:
    return jax.scipy.special.ndtri(u).astype(_dtype(u, given))


def _truncated_normal(u: Any, given: Mapping[str, Any]) -> Any:
    low, high = jax.scipy.special.ndtr(given["lower"]), jax.scipy.special.ndtr(given["upper"])
    return jax.scipy.special.ndtri(low + (high - low) * u).astype(_dtype(u, given))


def _exponential(u: Any, given: Mapping[str, Any]) -> Any:
    return -jnp.log1p(-u).astype(_dtype(u, given))


def _gumbel(u: Any, given: Mapping[str, Any]) -> Any:
    return -jnp.log(-jnp.log1p(-u)).astype(_dtype(u, given))


def _categorical(u: Any, given: Mapping[str, Any]) -> Any:
    scores = jnp.moveaxis(jnp.asarray(given["logits"]), given["axis"], -1) - jnp.log(-jnp.log1p(-u))
    if given.get("replace", True):
        return jnp.argmax(scores, axis=-1)
    shape = scores.shape[:-1] if given["shape"] is None else _tuple(given["shape"])
    samples = math.prod(shape[: len(shape) - scores.ndim + 1])
    return jnp.moveaxis(jax.lax.top_k(scores, samples)[1], -1, 0).reshape(shape)


def _integers(u: Any, given: Mapping[str, Any]) -> Any:
    low, high = given["minval"], given["maxval"]
    dtype = given["dtype"] if given["dtype"] is not None else jax.dtypes.canonicalize_dtype(int)
    return jnp.floor(low + (high - low) * u).astype(dtype)


def _permutation(u: Any, given: Mapping[str, Any]) -> Any:
    order = jnp.argsort(u)
    return order if isinstance(given["x"], int) else jnp.take(given["x"], order, axis=given["axis"])


SHAPES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], tuple[int, ...]], Transform]] = MappingProxyType(
    {
        "bernoulli": ("bernoulli", _shape_or("p"), _bernoulli),
        "uniform": ("uniform", _shape, _uniform),
        "normal": ("normal", _shape, _normal),
        "truncated_normal": ("normal", _shape_or("lower", "upper"), _truncated_normal),
        "exponential": ("exponential", _shape, _exponential),
        "gumbel": ("gumbel", _shape, _gumbel),
        "categorical": ("categorical", _categorical_shape, _categorical),
        "randint": ("integers", _shape, _integers),
        "permutation": ("permutation", _permutation_shape, _permutation),
    }
)
"""Kind, shape of the uniform numbers, and meaning of every function of `jax.random` that is answered."""
