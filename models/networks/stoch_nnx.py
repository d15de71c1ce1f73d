"""Sampled distributions as values, JAX: parameters and sample in one pytree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from models.networks.event_distribution_nnx import AnyDistribution, Bernoulli, Normal, OneHotCategorical
from models.networks.value_checks_nnx import is_concrete

Shape = tuple[int, ...]


class NormalShape(NamedTuple):
    """Shapes of a `NormalStoch`."""

    mean: Shape
    std: Shape
    stoch: Shape


class CategoricalShape(NamedTuple):
    """Shapes of a `CategoricalStoch`."""

    logits: Shape
    probs: Shape
    stoch: Shape


class BernoulliShape(NamedTuple):
    """Shapes of a `BernoulliStoch`."""

    logits: Shape
    probs: Shape
    stoch: Shape


@dataclass(eq=False)
class Stoch:
    """Base of the sampled distributions: three arrays that are indexed, reshaped and saved together.

    Values are checked at construction where they are concrete, not under a transformation.
    """

    _shape_type: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls) -> None:
        names = [name for name in cls.__annotations__ if not name.startswith("_")]
        keys = [jax.tree_util.GetAttrKey(name) for name in names]

        def flatten(stoch: Stoch) -> tuple[tuple[Any, ...], None]:
            return tuple(getattr(stoch, name) for name in names), None

        def flatten_with_keys(stoch: Stoch) -> tuple[tuple[Any, ...], None]:
            return tuple(zip(keys, flatten(stoch)[0], strict=True)), None

        def unflatten(_: None, children: Iterable[Any]) -> Stoch:
            stoch = object.__new__(cls)  # without the checks: children need not be arrays
            stoch.__dict__.update(zip(names, children, strict=True))
            return stoch

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)

    def _arrays(self) -> tuple[Array, ...]:
        return tuple(getattr(self, entry.name) for entry in fields(self))

    def _map(self, change: Callable[[Array], Array]) -> Self:
        return type(self)(*map(change, self._arrays()))

    def __getitem__(self, index: Any) -> Self:
        return self._map(lambda array: array[index])

    def __len__(self) -> int:
        return self._arrays()[2].shape[0]

    @property
    def shape(self) -> Any:
        """Shapes of the three fields, by name."""
        return self._shape_type(*(array.shape for array in self._arrays()))

    def reshape(self, *shape: int | Shape) -> Self:
        """Give every field the same new shape."""
        return self._map(lambda array: array.reshape(*shape))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """Merge the axes from `start_dim` to `end_dim`, both included, of every field."""

        def merge(array: Array) -> Array:
            start, end = start_dim % array.ndim, end_dim % array.ndim
            return array.reshape(*array.shape[:start], -1, *array.shape[end + 1 :])

        return self._map(merge)

    def squeeze(self, axis: int) -> Self:
        """Remove an axis of size 1 from every field, where it has size 1."""
        return self._map(lambda array: array.squeeze(axis) if array.shape[axis] == 1 else array)

    def expand_dims(self, axis: int) -> Self:
        """Insert an axis of size 1 into every field."""
        return self._map(lambda array: jnp.expand_dims(array, axis))

    unsqueeze = expand_dims

    def transpose(self, *axes: int) -> Self:
        """Permute the axes of every field; none given reverses them."""
        return self._map(lambda array: array.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Swap two axes of every field."""
        return self._map(lambda array: array.swapaxes(axis1, axis2))

    def stop_gradient(self) -> Self:
        """Stop gradients through every field."""
        return self._map(jax.lax.stop_gradient)

    detach = stop_gradient

    def save(self, path: str | Path) -> None:
        """Write each field to `<field>.blosc2` in a folder, which is made (needs the package blosc2)."""
        import blosc2

        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for entry, array in zip(fields(self), self._arrays(), strict=True):
            packed = blosc2.pack_array2(np.asarray(array))
            assert isinstance(packed, bytes)
            (folder / f"{entry.name}.blosc2").write_bytes(packed)


def _same_shapes(stoch: Stoch) -> None:
    first, second = fields(stoch)[:2]
    a, b = getattr(stoch, first.name), getattr(stoch, second.name)
    if a.shape != b.shape:
        raise ValueError(
            f"{type(stoch).__name__}: {first.name} and {second.name} must have one shape, got {a.shape} and {b.shape}"
        )


def _probabilities(name: str, probs: Array) -> None:
    if is_concrete(probs) and ((probs < 0) | (probs > 1)).any():
        raise ValueError(f"{name}: probs must lie in [0, 1], got {probs.min().item():g} … {probs.max().item():g}")


@dataclass(eq=False)
class NormalStoch(Stoch):
    """A normal distribution and a sample of it.

    Args:
        mean: (*, D), float.
        std: Same shape, not negative.
        stoch: The sample, same shape.

    Raises:
        ValueError: The shapes differ, or a standard deviation is negative.

    Example:
        >>> NormalStoch(jnp.zeros((2, 3)), jnp.ones((2, 3)), jnp.zeros((2, 3)))[0].shape.stoch
        (3,)
    """

    mean: Array
    std: Array
    stoch: Array

    _shape_type: ClassVar[Callable[..., Any]] = NormalShape

    def __post_init__(self) -> None:
        _same_shapes(self)
        if is_concrete(self.std) and (self.std < 0).any():
            raise ValueError(f"NormalStoch: std must not be negative, got {self.std.min().item():g}")

    def get_distribution(self, independent: int = 1) -> Normal:
        """Return the distribution, the last `independent` axes being one event."""
        return Normal(self.mean, self.std, independent)


@dataclass(eq=False)
class CategoricalStoch(Stoch):
    """Groups of categorical distributions and a sample of them.

    Args:
        logits: (*, G, K), float.
        probs: Same shape, each row summing to 1 within 1e-6.
        stoch: The sample, (*, G·K).

    Raises:
        ValueError: The shapes differ, or a row is no probability distribution.
    """

    logits: Array
    probs: Array
    stoch: Array

    _shape_type: ClassVar[Callable[..., Any]] = CategoricalShape

    def __post_init__(self) -> None:
        _same_shapes(self)
        _probabilities("CategoricalStoch", self.probs)
        gap = abs(self.probs.sum(-1) - 1)
        if is_concrete(gap) and (gap > 1e-6).any():
            raise ValueError(
                f"CategoricalStoch: probs must sum to 1 within 1e-6 over the last axis, "
                f"the largest gap is {gap.max().item():g}"
            )

    def get_distribution(self, independent: int = 1) -> OneHotCategorical:
        """Return the distribution, `independent` axes before the classes being one event."""
        return OneHotCategorical(self.probs, independent)


@dataclass(eq=False)
class BernoulliStoch(Stoch):
    """Groups of independent bits and a sample of them.

    Args:
        logits: (*, G, K), float.
        probs: Same shape, in [0, 1].
        stoch: The sample, (*, G·K).

    Raises:
        ValueError: The shapes differ, or a probability is outside [0, 1].
    """

    logits: Array
    probs: Array
    stoch: Array

    _shape_type: ClassVar[Callable[..., Any]] = BernoulliShape

    def __post_init__(self) -> None:
        _same_shapes(self)
        _probabilities("BernoulliStoch", self.probs)

    def get_distribution(self, independent: int = 1) -> Bernoulli:
        """Return the distribution, the last `independent` axes being one event."""
        return Bernoulli(self.probs, independent)


S = TypeVar("S", bound=Stoch)


def _by_field(stochs: Sequence[S], join: Callable[[list[Array]], Array]) -> S:
    kind = type(stochs[0])
    return kind(*(join([getattr(stoch, entry.name) for stoch in stochs]) for entry in fields(kind)))


def cat_dist(stochs: Sequence[S], axis: int = -1) -> S:
    """Concatenate stochs of the first one's kind, field by field, along an axis they have."""
    return _by_field(stochs, lambda arrays: jnp.concatenate(arrays, axis))


def stack_dist(stochs: Sequence[S], axis: int = 0) -> S:
    """Stack stochs of the first one's kind, field by field, along a new axis."""
    return _by_field(stochs, lambda arrays: jnp.stack(arrays, axis))


def get_dist(stoch: NormalStoch | CategoricalStoch | BernoulliStoch) -> AnyDistribution:
    """Return a stoch's distribution; that of bits has two event axes, the groups and their bits."""
    return stoch.get_distribution(independent=2 if isinstance(stoch, BernoulliStoch) else 1)
