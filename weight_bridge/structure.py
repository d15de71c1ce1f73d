"""The nouns that both sides share: a layer with its type, a leaf of the target, a target as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weight_bridge.spec import Array, Spec

# Base classes that say nothing about layout.
ROOTS = frozenset({"Module", "ModuleBase", "Pytree", "Object"})

Option = bool | int | float | str | tuple[Any, ...] | None


@dataclass(frozen=True)
class Layer:
    """What is known of a layer from its object: the strongest evidence there is.

    Args:
      kind: library and class, `torch.Conv2d` or `nnx.Linear`; a subclass of a library layer carries that layer's
        kind. A class of the user's own is `torch:package.Class`, `nnx:package.Class`: typed, but of no known layout.
      options: its simple attributes by name (`transpose_kernel`, `feature_group_count`, `eps`, ...).
    """

    kind: str
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])

    @property
    def known(self) -> bool:
        """Whether the class is a library's, so that its layout is documented."""
        return ":" not in self.kind

    def __str__(self) -> str:
        return self.kind.split(":")[-1] if not self.known else self.kind


@dataclass(frozen=True)
class Leaf:
    """One array of the target that wants a value.

    Args:
      path: its place, joined by `/`.
      spec: shape and dtype that the target declares.
      owner: path of the module that holds it, without the collection (`params`).
      label: its name inside the owner (`kernel`).
      aliases: further paths under which a shared layer shows the same array.
      buffer: whether it is state rather than a parameter.
    """

    path: str
    spec: Spec
    owner: tuple[str, ...]
    label: str
    aliases: tuple[str, ...] = ()
    buffer: bool = False


@dataclass(frozen=True)
class Target:
    """A model to fill, described without its arrays.

    Args:
      origin: how messages call it.
      leaves: every array that wants a value.
      layers: module path (without the collection) → layer, as far as known.
      assemble: turns `{path: array}` into the pytree that the framework takes.
    """

    origin: str
    leaves: tuple[Leaf, ...]
    layers: Mapping[tuple[str, ...], Layer]
    assemble: Callable[[Mapping[str, Array]], Any]


def simple_options(values: Mapping[str, Any]) -> dict[str, Option]:
    """Returns the plain values among an object's attributes: what layouts depend on.

    Example:
      >>> simple_options({"eps": 1e-5, "stride": (2, 2), "forward": print, "_version": 2})
      {'eps': 1e-05, 'stride': (2, 2)}
    """

    def simple(value: Any) -> bool:
        if isinstance(value, tuple):
            return all(simple(item) for item in value)
        return value is None or isinstance(value, bool | int | float | str)

    return {name: value for name, value in values.items() if not name.startswith("_") and simple(value)}


def library_kind(cls: type, libraries: Mapping[str, str]) -> str:
    """Returns the kind of a class: its own if a library's, else that of the nearest base class that is.

    Args:
      cls: the class of a layer object.
      libraries: module prefix → short name, for example `{"flax.nnx.nn": "nnx"}`.

    Returns:
      `short.Class` for a library layer or a subclass of one, else `short:package.Class`.

    Example:
      >>> class Mine(dict): ...
      >>> library_kind(Mine, {"builtins": "py"}), library_kind(Mine, {"torch.nn.modules": "torch"})
      ('py.dict', 'torch:weight_bridge.structure.Mine')
    """
    for base in cls.__mro__:
        for prefix, short in libraries.items():
            inside = base.__module__ == prefix or base.__module__.startswith(prefix + ".")
            if inside and base is not object and base.__name__ not in ROOTS:
                return f"{short}.{base.__name__}"
    short = next(iter(libraries.values()))
    return f"{short}:{cls.__module__}.{cls.__qualname__}"
