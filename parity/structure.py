"""Nested results as flat, named leaves, the same way for every framework."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def leaves(tree: Any, name: str = "output") -> Iterator[tuple[str, Any]]:
    """Yields `(name, leaf)` for every array or number inside nested containers.

    Tuples, lists, mappings, dataclasses and named tuples are entered; `None` holds nothing. A dataclass field and a
    mapping entry of the same name get the same leaf name: a torch dataclass may be compared with a JAX dictionary.

    Args:
      tree: any nesting of containers over arrays or numbers.
      name: name of the whole.

    Yields:
      Names such as `output`, `output[0]`, `output.mean`, with their leaves, in order.

    Example:
      >>> [name for name, _ in leaves({"mean": 1.0, "parts": (2.0, None, 3.0)})]
      ['output.mean', 'output.parts[0]', 'output.parts[2]']
    """
    if tree is None:
        return
    for label, child in _children(tree):
        if label is None:
            yield name, child
        else:
            yield from leaves(child, name + label)


def replaced(tree: Any, values: Mapping[str, Any], name: str = "output") -> Any:
    """The same nesting with other leaves: the way back from `leaves`.

    Args:
      tree: any nesting of containers.
      values: new leaves by name; a leaf whose name is absent stays.
      name: name of the whole.

    Returns:
      New containers of the same types around the leaves.

    Example:
      >>> replaced({"mean": 1.0, "parts": (2.0, None)}, {"output.parts[0]": 5.0})
      {'mean': 1.0, 'parts': (5.0, None)}
    """
    if tree is None:
        return None
    children = list(_children(tree))
    if len(children) == 1 and children[0][0] is None:
        return values.get(name, tree)
    filled = [replaced(child, values, f"{name}{label}") for label, child in children]
    if isinstance(tree, Mapping):
        changed: Any = copy.copy(tree)
        for key, value in zip(tree, filled, strict=True):
            changed[key] = value
        return changed
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*filled)
    if isinstance(tree, Sequence):
        return type(tree)(filled)  # pyright: ignore[reportCallIssue]  # tuples and lists take their items
    return dataclasses.replace(tree, **dict(zip((f.name for f in dataclasses.fields(tree)), filled, strict=True)))


def _children(tree: Any) -> Iterator[tuple[str | None, Any]]:
    """Labels and children of a container; a leaf is its own unlabelled child."""
    if isinstance(tree, Mapping):
        yield from ((f".{key}", value) for key, value in tree.items())
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        yield from ((f".{field}", getattr(tree, field)) for field in tree._fields)  # pyright: ignore[reportAttributeAccessIssue]  # a named tuple
    elif isinstance(tree, Sequence) and not isinstance(tree, str | bytes):
        yield from ((f"[{index}]", value) for index, value in enumerate(tree))
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type) and not hasattr(tree, "shape"):
        yield from ((f".{field.name}", getattr(tree, field.name)) for field in dataclasses.fields(tree))
    else:
        yield None, tree
