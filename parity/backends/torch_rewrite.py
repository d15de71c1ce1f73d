"""Every torch function that a module calls, one by one, and the same run with some of them replaced.

torch shows each call of a torch function, method or functional layer to a `TorchFunctionMode`, whether a module, a
parametrisation or the body of somebody's `forward` makes it. A call is known by its place in the sequence, which is
the same in every run on the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from parity.backends.torch_signatures import SIGNATURES


@dataclass(frozen=True)
class Op:
    """One call of a torch function.

    Attributes:
      index: place in the sequence of all calls.
      name: of the function, `layer_norm`.
      owner: torch name of the module whose `forward` made the call.
      function: what was called.
      args: positional arguments.
      kwargs: keyword arguments.
      result: what came out; None before it has.
    """

    index: int
    name: str
    owner: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any = None

    @property
    def given(self) -> dict[str, Any]:
        """Arguments by name, as far as the function's signature is known; `0`, `1`, … for the rest."""
        names = SIGNATURES.get(self.name, ())
        named = {names[i] if i < len(names) else str(i): value for i, value in enumerate(self.args)}
        return {**named, **self.kwargs}

    def again(self, **changed: Any) -> Any:
        """Calls the function with some arguments changed."""
        names = SIGNATURES.get(self.name, ())
        args = list(self.args)
        kwargs = dict(self.kwargs)
        for name, value in changed.items():
            place = names.index(name) if name in names else len(args)
            if place < len(args):
                args[place] = value
            else:
                kwargs[name] = value
        return self.function(*args, **kwargs)


Replace = Callable[[Op], Any]
"""Computes the result of a call in another way."""


@contextmanager
def listing(module: torch.nn.Module, prefix: str) -> Generator[list[Op]]:
    """Lists what is called inside.

    Args:
      module: whose submodules own the calls.
      prefix: torch name of the module.

    Yields:
      The calls, complete when the context ends.
    """
    with working(module, prefix) as owner, _Listing(owner) as mode:
        yield mode.ops


@contextmanager
def working(module: torch.nn.Module, prefix: str) -> Generator[Callable[[], str]]:
    """Follows which module inside another is at work.

    Args:
      module: whose calls are followed.
      prefix: its torch name.

    Yields:
      A function that gives the torch name of the innermost module that has begun and not ended.
    """
    owners = [prefix]
    names = {m: ".".join(filter(None, (prefix, name))) for name, m in module.named_modules()}

    def begin(inner: torch.nn.Module, args: Any) -> None:
        del args
        owners.append(names[inner])

    def end(inner: torch.nn.Module, args: Any, result: Any) -> None:
        del inner, args, result
        owners.pop()

    inside = [m for m in names if m is not module]
    hooks = [hook for m in inside for hook in (m.register_forward_pre_hook(begin), m.register_forward_hook(end))]
    try:
        yield lambda: owners[-1]
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def rewriting(replacements: Mapping[int, Replace]) -> Generator[None]:
    """Replaces calls by their place in the sequence."""
    with _Rewriting(replacements):
        yield


class _Listing(TorchFunctionMode):
    """Notes calls and lets them through."""

    def __init__(self, owner: Callable[[], str]) -> None:
        super().__init__()
        self._owner = owner
        self.ops: list[Op] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        place = (len(self.ops), name_of(func), self._owner())
        self.ops.append(Op(*place, func, args, kwargs or {}, result))
        return result


class _Rewriting(TorchFunctionMode):
    """Counts calls and replaces some."""

    def __init__(self, replacements: Mapping[int, Replace]) -> None:
        super().__init__()
        self._replacements = replacements
        self._count = -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._count += 1
        replace = self._replacements.get(self._count)
        if replace is None:
            return func(*args, **(kwargs or {}))
        return replace(Op(self._count, name_of(func), "", func, args, kwargs or {}))


def name_of(function: Any) -> str:
    """A torch function's name, without the marks of variants: `add_` and `__add__` are `add`."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        owner = getattr(function, "__self__", None)
        return f"get {getattr(owner, '__name__', '')}"
    plain = name.strip("_") if name.startswith("__") else name.rstrip("_") if not name.startswith("_") else name
    return {"radd": "add", "rmul": "mul", "iadd": "add", "imul": "mul", "truediv": "div", "itruediv": "div"}.get(
        plain, plain
    )
