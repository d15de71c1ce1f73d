"""Random operators of torch, answered from numbered uniform numbers instead of torch's generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from parity.noise import OTHER, Draw, uniforms

Transform = Callable[[Tensor, Tensor, tuple[Any, ...], dict[str, Any]], Tensor]


class Recorder(TorchDispatchMode):
    """While active, every random operator below autograd is recorded and takes its numbers from `uniforms`.

    This level sees dropout of every kind, the dropout inside attention and between the layers of an LSTM, sampling
    from distributions and explicit noise, because all of them end in a few operators.

    Attributes:
      draws: what was asked for, in order.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._uniform: Any = WeakTensorKeyDictionary()  # uniform numbers, or those moved by a number → draw, number
        self.draws: list[Draw] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if torch.Tag.nondeterministic_seeded not in func.tags:
            found = func(*args, **kwargs)
            if len(self._uniform):
                self._follow(name.rstrip("_"), args, found)
            return found
        if name == "rrelu_with_noise":
            return self._rrelu(*args, **kwargs)
        if name == "native_dropout":
            return self._dropout(*args)
        found = func(*args, **kwargs)
        if not isinstance(found, Tensor):  # fused attention, which torch runs on a CPU only without dropout
            return found
        kind, transform = TRANSFORMS.get(name, (OTHER, None))
        if kind == "categorical" and found.shape[-1] > 1 and any(arg is True for arg in args):
            kind, transform = OTHER, None  # several draws with replacement
        shape = tuple((args[0] if kind == "categorical" else found).shape)
        numbers = self._take(Draw(kind, shape, _chance(name, args)))
        if name in ("rand", "rand_like") or (name == "uniform_" and len(args) == 1 and not kwargs):
            self._uniform[found] = len(self.draws) - 1, 0.0
        return found if transform is None else found.copy_(transform(found, numbers, args, kwargs))

    def _follow(self, name: str, args: tuple[Any, ...], found: Any) -> None:
        """Notes which end of uniform numbers makes a one."""
        given = args[0] if args else None
        if not isinstance(given, Tensor) or given not in self._uniform:
            return
        draw, moved = self._uniform[given]
        number = args[1] if len(args) > 1 and isinstance(args[1], float) else None
        if name == "add" and number is not None:
            self._uniform[found] = draw, moved + number
        elif name == "floor" and 0 < moved < 1:
            self.draws[draw] = replace(self.draws[draw], upper=moved)
        elif name in ("gt", "ge", "lt", "le") and number is not None and 0 < number - moved < 1:
            upper = 1 - number + moved
            if name in ("gt", "ge") or upper != 0.5:  # of two equal ends the lower one is meant
                self.draws[draw] = replace(self.draws[draw], upper=upper)

    def _take(self, draw: Draw) -> Tensor:
        """Records a draw and returns its uniform numbers."""
        self.draws.append(draw)
        return torch.from_numpy(uniforms(self._seed, len(self.draws) - 1, draw.shape))

    def _rrelu(
        self, x: Tensor, noise: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *_: Any
    ) -> Tensor:
        if not training:
            return torch.where(x >= 0, x, x * (lower + upper) / 2)
        slope = lower + (upper - lower) * self._take(Draw("uniform", tuple(x.shape))).to(x.dtype)
        noise.copy_(torch.where(x <= 0, slope, torch.ones_like(x)))
        return x * noise

    def _dropout(self, x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
        if train is False or p == 0:
            return x.clone(), torch.ones_like(x, dtype=torch.bool)
        keep = self._take(Draw("bernoulli", tuple(x.shape), 1 - p)) < 1 - p
        return x * keep / (1 - p), keep


def _chance(name: str, args: tuple[Any, ...]) -> float | None:
    """The single probability of a bernoulli operator."""
    if not name.startswith("bernoulli"):
        return None
    if name == "bernoulli_" and len(args) < 2:
        return 0.5
    chance = (*args, args[0])[1]
    if isinstance(chance, Tensor):
        return float(chance.max()) if chance.numel() and bool(chance.max() == chance.min()) else None
    return float(chance)


def _bernoulli(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return u < (*args, args[0])[1]


def _bernoulli_in_place(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return u < (args[1] if len(args) > 1 else kwargs.get("p", 0.5))


def _uniform(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    low, high = _pair(args[1:], kwargs, ("from", "to"), (0.0, 1.0))
    return low + (high - low) * u


def _unit(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return u


def _standard_normal(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return torch.special.ndtri(u)


def _normal_in_place(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    mean, std = _pair(args[1:], kwargs, ("mean", "std"), (0.0, 1.0))
    return mean + std * torch.special.ndtri(u)


def _normal(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    mean, std = _pair(args, kwargs, ("mean", "std"), (0.0, 1.0))
    return mean + std * torch.special.ndtri(u)


def _exponential(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return -torch.log1p(-u) / (args[1] if len(args) > 1 else kwargs.get("lambd", 1.0))


def _categorical(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    scores = torch.log(args[0].double()) - torch.log(-torch.log1p(-u))
    return scores.topk(found.shape[-1], dim=-1).indices


def _integers(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    bounds = [value for value in args if isinstance(value, int)]
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds[:2]
    return torch.floor(low + (high - low) * u)


def _permutation(found: Tensor, u: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return torch.argsort(u)


def _pair(
    args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, str], default: tuple[float, float]
) -> tuple[Any, Any]:
    """Two parameters given by place, by name, or not at all."""
    named = [kwargs.get(name, value) for name, value in zip(names, default, strict=True)]
    given = [*args[:2], *named[len(args[:2]) :]]
    return given[0], given[1]


TRANSFORMS: Mapping[str, tuple[str, Transform]] = MappingProxyType(
    {
        "bernoulli": ("bernoulli", _bernoulli),
        "bernoulli_": ("bernoulli", _bernoulli_in_place),
        "rand": ("uniform", _unit),
        "rand_like": ("uniform", _unit),
        "uniform_": ("uniform", _uniform),
        "uniform": ("uniform", _uniform),
        "randn": ("normal", _standard_normal),
        "randn_like": ("normal", _standard_normal),
        "normal_": ("normal", _normal_in_place),
        "normal": ("normal", _normal),
        "exponential_": ("exponential", _exponential),
        "multinomial": ("categorical", _categorical),
        "randint": ("integers", _integers),
        "randint_like": ("integers", _integers),
        "randperm": ("permutation", _permutation),
    }
)
"""Kind and meaning of every operator whose numbers are given; a random operator that is not here is `other`."""
