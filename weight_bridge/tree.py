"""Targets from whatever a user hands over; the library to ask is chosen by looking, and imported only then."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from weight_bridge._dtypes import dtype_name
from weight_bridge._errors import TargetError, UsageError
from weight_bridge.spec import Spec
from weight_bridge.structure import Leaf, Target

# Collections that linen, Haiku and exported structures put in front of a path; they name no module.
COLLECTIONS = frozenset({"params", "batch_stats", "state", "constants", "buffers", "stats"})


class Library(Protocol):
    """What a `tree_*` module offers."""

    def describe(self, model: Any, origin: str) -> Target:
        """Returns the target of a live or abstract model."""
        ...

    def take_apart(self, model: Any) -> tuple[Any, Callable[[Any], Any]]:
        """Returns the arrays of a model, and what rebuilds the model from their shapes: the two halves of tracing."""
        ...


def open_target(what: Any) -> Target:
    """Describes a target without spending memory on its parameters.

    Args:
      what: an NNX or Equinox module, live or abstract; `(linen_module, example_inputs)`; `(haiku_transformed,
        example_inputs)`; a pytree of arrays or shapes; a callable or `"package.module:callable"` that returns one of
        these; a path of a `structure.json`; or a `Target`.

    Returns:
      The target's leaves, the layers that hold them, and the way to assemble it.

    Raises:
      UsageError: the path or callable does not exist, or is of no kind that is known.
      TargetError: the target cannot be built.

    Example:
      >>> import numpy as np
      >>> target = open_target({"a": {"kernel": np.zeros((3, 5), np.float32)}})
      >>> [(leaf.path, str(leaf.spec)) for leaf in target.leaves]
      [('a/kernel', 'float32[3, 5]')]
    """
    if isinstance(what, Target):
        return what
    if isinstance(what, Path) or (isinstance(what, str) and what.endswith(".json")):
        return _structure(Path(what))
    if isinstance(what, str):
        return _built(resolve(what, "target"), what)
    if _is_model(what) or isinstance(what, Mapping):
        return _describe(what, _origin(what))
    if callable(what) and "flax.linen.module.Module" not in _bases(what):
        return _built(what, _origin(what))
    return _describe(what, _origin(what))


def resolve(reference: str, role: str) -> Any:
    """Returns the object that `package.module:name` names.

    Args:
      reference: module and attribute, joined by a colon.
      role: what the message calls it (`target`, `source`).

    Raises:
      UsageError: no colon, no such module, or no such attribute.

    Example:
      >>> resolve("math:prod", "target")((2, 3))
      6
    """
    module, colon, attribute = reference.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f"{role} {reference!r}: expected package.module:callable, or structure.json")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise UsageError(f"{role} {reference!r}: cannot import {module}: {error}") from error
    except AttributeError as error:
        raise UsageError(f"{role} {reference!r}: {error}") from None
    return found


def _origin(what: Any) -> str:
    return getattr(what, "__name__", type(what[0] if isinstance(what, tuple) and what else what).__name__)


def _bases(what: object) -> set[str]:
    """Modules and names of an object's classes, as `flax.nnx.module.Module`."""
    return {f"{base.__module__}.{base.__qualname__}" for base in type(what).__mro__}


def library(what: Any) -> str | None:
    """Returns the `tree_*` module that knows an object, by the names of its classes; None for plain data."""
    head: Any = cast("tuple[Any, ...]", what)[0] if isinstance(what, tuple) and what else what
    bases = _bases(head) if not isinstance(head, type) else set[str]()  # a class is a callable, whatever its metaclass
    if isinstance(what, tuple):
        if "flax.linen.module.Module" in bases:
            return "tree_linen"
        if "equinox._module._module.Module" in bases:
            return "tree_equinox"
        return "tree_haiku" if any(base.startswith("haiku.") for base in bases) else None
    if any(base.startswith("flax.nnx.") for base in bases):
        return "tree_nnx"
    return "tree_equinox" if "equinox._module._module.Module" in bases else None


def _is_model(what: Any) -> bool:
    return library(what) is not None


def _describe(what: Any, origin: str) -> Target:
    name = library(what)
    if name is None and "flax.linen.module.Module" in _bases(what):
        raise UsageError(f"target {origin}: a linen module alone has no shapes; expected (module, example_inputs)")
    if any(base.startswith("haiku._src.transform.") for base in _bases(what)):
        raise UsageError(
            f"target {origin}: a Haiku transform alone has no shapes; expected (transformed, example_inputs)"
        )
    if name is None and isinstance(what, Mapping) and _plain(cast("Mapping[Any, Any]", what)):
        return _nested(cast("Mapping[str, Any]", what), origin)
    return _module(name or "tree_pytree").describe(what, origin)


def _module(name: str) -> Any:
    """A `tree_*` module, imported now and not before."""
    return importlib.import_module(f"weight_bridge.{name}")


def filled(model: Any, arrays: Any) -> Any:
    """Returns a model that holds what `Target.assemble` made of a plan's arrays."""
    return _module(library(model) or "tree_pytree").fill(model, arrays)


def _built(build: Any, origin: str) -> Target:
    """The target that a callable returns, built under tracing so that no parameter memory is spent."""
    if not callable(build) or _is_model(build):
        return _describe(build, origin)
    from weight_bridge import tree_jax

    try:
        return _describe(tree_jax.trace(build, library), origin)
    except (UsageError, TargetError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TargetError(f"target {origin}: cannot be built: {type(error).__name__}: {reason}") from error


def _plain(tree: Mapping[Any, Any]) -> bool:
    """Whether a tree is nested mappings of things with shape and dtype alone: no library is needed."""
    return all(
        isinstance(key, str)
        and (_plain(cast("Mapping[Any, Any]", value)) if isinstance(value, Mapping) else hasattr(value, "shape"))
        for key, value in tree.items()
    )


def _nested(tree: Mapping[str, Any], origin: str) -> Target:
    leaves: list[Leaf] = []

    def visit(at: tuple[str, ...], node: Mapping[str, Any]) -> None:
        for key, value in node.items():
            if isinstance(value, Mapping):
                visit((*at, key), cast("Mapping[str, Any]", value))
            else:
                leaves.append(leaf_at("/".join((*at, key)), Spec(tuple(value.shape), dtype_name(value.dtype))))

    visit((), tree)
    return Target(origin, tuple(leaves), {}, nest)


def leaf_at(path: str, spec: Spec) -> Leaf:
    """Returns the leaf at a path of which only the text is known."""
    parts = path.split("/")
    inner = parts[1:] if parts[0] in COLLECTIONS and len(parts) > 1 else parts
    if len(inner) > 1 and inner[-1] == "value":  # exported NNX states end in it
        inner = inner[:-1]
    return Leaf(path, spec, tuple(inner[:-1]), inner[-1], buffer=parts[0] in COLLECTIONS - {"params"})


def nest(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested dicts from `/`-joined paths.

    Example:
      >>> import numpy as np
      >>> nest({"a/b": np.zeros(2), "c": np.ones(1)})
      {'a': {'b': array([0., 0.])}, 'c': array([1.])}
    """
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        *folders, label = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[label] = array
    return tree


def _structure(path: Path) -> Target:
    """The target that a `structure.json` lists."""
    if not path.is_file():
        raise UsageError(f"target {path}: no such file")
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TargetError(f"target {path}: not JSON: {error}") from None
    if not isinstance(entries, list):
        raise TargetError(
            f"target {path}: expected a list of {{path, shape, dtype}}, got a JSON {type(entries).__name__}"
        )
    leaves: list[Leaf] = []
    problems: list[str] = []
    for index, entry in enumerate(cast("list[Any]", entries)):
        try:
            leaves.append(_structure_leaf(entry))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"entry {index}: expected path, shape and dtype, got {json.dumps(entry)[:120]} ({error})")
    paths = [leaf.path for leaf in leaves]
    problems += [f"{path}: listed {paths.count(path)} times" for path in dict.fromkeys(paths) if paths.count(path) > 1]
    if problems:
        raise TargetError(f"target {path}: entries cannot be used", problems)
    return Target(str(path), tuple(leaves), {}, nest)


def _structure_leaf(entry: Mapping[str, Any]) -> Leaf:
    place, shape, dtype = entry["path"], entry["shape"], dtype_name(entry["dtype"])
    if not isinstance(place, str) or not place or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("path must be text and shape a list of sizes")
    leaf = leaf_at(place, Spec(tuple(shape), dtype))
    leaf.spec.nbytes  # noqa: B018  # an unknown dtype raises KeyError here
    return leaf
