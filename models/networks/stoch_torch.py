"""Sampled distributions as values, torch: parameters and sample in one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import torch
import torch.distributions as td
from torch import Tensor


class NormalShape(NamedTuple):
    """Shapes of a `NormalStoch`."""

    mean: torch.Size
    std: torch.Size
    stoch: torch.Size


class CategoricalShape(NamedTuple):
    """Shapes of a `CategoricalStoch`."""

    logits: torch.Size
    probs: torch.Size
    stoch: torch.Size


class BernoulliShape(NamedTuple):
    """Shapes of a `BernoulliStoch`."""

    logits: torch.Size
    probs: torch.Size
    stoch: torch.Size


@dataclass(eq=False)
class Stoch:
    """Base of the sampled distributions: three tensors that are indexed, moved and saved together.

    Any method of `torch.Tensor` (`detach`, `reshape`, `to`, …) is applied to all three.
    """

    _shape_type: ClassVar[Callable[..., Any]]

    def _tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, entry.name) for entry in fields(self))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(*map(change, self._tensors()))

    def __getitem__(self, index: Any) -> Self:
        return self._map(lambda tensor: tensor[index])

    def __len__(self) -> int:
        return self._tensors()[2].shape[0]

    def __getattr__(self, name: str) -> Callable[..., Self]:
        if name.startswith("__") or not callable(getattr(Tensor, name, None)):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}, and torch.Tensor no method of that name"
            )
        return lambda *args, **kwargs: self._map(lambda tensor: getattr(tensor, name)(*args, **kwargs))

    @property
    def shape(self) -> Any:
        """Shapes of the three fields, by name."""
        return self._shape_type(*(tensor.shape for tensor in self._tensors()))

    def squeeze(self, dim: int) -> Self:
        """Remove an axis of size 1 from every field."""
        return self._map(lambda tensor: tensor.squeeze(dim))

    def unsqueeze(self, dim: int) -> Self:
        """Insert an axis of size 1 into every field."""
        return self._map(lambda tensor: tensor.unsqueeze(dim))

    def save(self, path: str | Path) -> None:
        """Write each field to `<field>.blosc2` in a folder, which is made (needs the package blosc2)."""
        import blosc2

        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for entry, tensor in zip(fields(self), self._tensors(), strict=True):
            packed = blosc2.pack_array2(tensor.detach().cpu().numpy())
            assert isinstance(packed, bytes)
            (folder / f"{entry.name}.blosc2").write_bytes(packed)


def _same_shapes(stoch: Stoch) -> None:
    first, second = fields(stoch)[:2]
    a, b = getattr(stoch, first.name), getattr(stoch, second.name)
    if a.shape != b.shape:
        raise ValueError(
            f"{type(stoch).__name__}: {first.name} and {second.name} must have one shape, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )


def _probabilities(name: str, probs: Tensor) -> None:
    if ((probs < 0) | (probs > 1)).any():
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
        >>> NormalStoch(torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(2, 3))[0].shape.stoch
        torch.Size([3])
    """

    mean: Tensor
    std: Tensor
    stoch: Tensor

    _shape_type: ClassVar[Callable[..., Any]] = NormalShape

    def __post_init__(self) -> None:
        _same_shapes(self)
        if (self.std < 0).any():
            raise ValueError(f"NormalStoch: std must not be negative, got {self.std.min().item():g}")

    def get_distribution(self, independent: int = 1) -> td.Independent:
        """Return the distribution, the last `independent` axes being one event."""
        return td.Independent(td.Normal(self.mean, self.std), independent)


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

    logits: Tensor
    probs: Tensor
    stoch: Tensor

    _shape_type: ClassVar[Callable[..., Any]] = CategoricalShape

    def __post_init__(self) -> None:
        _same_shapes(self)
        _probabilities("CategoricalStoch", self.probs)
        gap = abs(self.probs.sum(-1) - 1)
        if (gap > 1e-6).any():
            raise ValueError(
                f"CategoricalStoch: probs must sum to 1 within 1e-6 over the last axis, "
                f"the largest gap is {gap.max().item():g}"
            )

    def get_distribution(self, independent: int = 1) -> td.Independent:
        """Return the distribution, `independent` axes before the classes being one event."""
        return td.Independent(td.OneHotCategoricalStraightThrough(probs=self.probs), independent)


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

    logits: Tensor
    probs: Tensor
    stoch: Tensor

    _shape_type: ClassVar[Callable[..., Any]] = BernoulliShape

    def __post_init__(self) -> None:
        _same_shapes(self)
        _probabilities("BernoulliStoch", self.probs)

    def get_distribution(self, independent: int = 1) -> td.Independent:
        """Return the distribution, the last `independent` axes being one event."""
        return td.Independent(td.Bernoulli(probs=self.probs), independent)


S = TypeVar("S", bound=Stoch)


def _by_field(stochs: Sequence[S], join: Callable[[list[Tensor]], Tensor]) -> S:
    kind = type(stochs[0])
    return kind(*(join([getattr(stoch, entry.name) for stoch in stochs]) for entry in fields(kind)))


def cat_dist(stochs: Sequence[S], dim: int = -1) -> S:
    """Concatenate stochs of the first one's kind, field by field, along an axis they have."""
    return _by_field(stochs, lambda tensors: torch.cat(tensors, dim))


def stack_dist(stochs: Sequence[S], dim: int = 0) -> S:
    """Stack stochs of the first one's kind, field by field, along a new axis."""
    return _by_field(stochs, lambda tensors: torch.stack(tensors, dim))


def get_dist(stoch: NormalStoch | CategoricalStoch | BernoulliStoch) -> td.Independent:
    """Return a stoch's distribution; that of bits has two event axes, the groups and their bits."""
    return stoch.get_distribution(independent=2 if isinstance(stoch, BernoulliStoch) else 1)
