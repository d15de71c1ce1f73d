"""Optax: a transformation with torch's settings, and the state in which it goes on where torch stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from weight_bridge._errors import ConversionError
from weight_bridge.descent import MOMENTS, Memory, Settings
from weight_bridge.spec import Array
from weight_bridge.structure import Target
from weight_bridge.tree_jax import device_array

FROZEN = "frozen"


def rule(settings: Settings) -> optax.GradientTransformation:
    """Returns the transformation that moves parameters as torch does, in torch's order of operations."""
    parts: list[optax.GradientTransformation] = [optax.scale(-1.0)] if settings.maximize else []
    decay = [optax.add_decayed_weights(settings.weight_decay)] if settings.weight_decay else []
    parts += [] if settings.decoupled else decay
    if settings.betas:
        parts.append(optax.scale_by_adam(*settings.betas, eps=settings.eps, eps_root=0.0))
    elif settings.momentum:
        parts += [optax.scale(1 - settings.dampening)] if settings.dampening else []
        parts.append(optax.trace(settings.momentum, nesterov=settings.nesterov))
    parts += decay if settings.decoupled else []
    return optax.chain(*parts, optax.scale_by_learning_rate(settings.lr))


def resumed(target: Target, memory: Memory, paths: Sequence[str], transformation: Any) -> tuple[Any, Any]:
    """Returns a transformation and its state.

    Args:
      target: whose parameters are trained.
      memory: what torch remembers.
      paths: the target's parameters.
      transformation: the caller's own; None builds the one that torch's settings say.

    Raises:
      ConversionError: the caller's transformation remembers something else than torch; all is listed.
    """
    dtypes = {path: array.dtype for moments in memory.moments.values() for path, array in moments.items()}

    def like(value: Callable[[str], Array]) -> Any:
        return _parameters(target.assemble({path: value(path) for path in paths}))

    with jax.enable_x64(True):
        places = like(lambda path: np.asarray(float(paths.index(path))))
        own = transformation if transformation is not None else _built(memory, paths, places)
        # Moments are elementwise: one number for each leaf shows the state's form, and costs no memory.
        small = like(lambda path: np.zeros((), dtypes.get(path, np.float32)))
        filling = _Filling(memory, paths, places)
        state = filling.filled(own.init(small), "state")
    filling.check()
    return own, state


def _built(memory: Memory, paths: Sequence[str], places: Any) -> optax.GradientTransformation:
    """One rule where there is one group and one count, else a rule for each."""
    labels = [_label(path, memory) for path in paths]
    rules = {
        label: rule(memory.groups[memory.group[path]])
        for label, path in zip(labels, paths, strict=True)
        if label != FROZEN
    }
    if len(rules) == 1 and FROZEN not in labels:
        return next(iter(rules.values()))
    if FROZEN in labels:
        rules[FROZEN] = optax.set_to_zero()
    named = jax.tree.map(lambda place: labels[int(place)], places)
    return optax.partition(cast("Any", rules), lambda _: named)  # a tree that can be called would be


def _label(path: str, memory: Memory) -> str:
    if path not in memory.group:
        return FROZEN
    steps = f", step {memory.steps[path]}" if path in memory.steps else ""
    return f"group {memory.group[path]}{steps}"


def _parameters(assembled: Any) -> Any:
    """The tree that a training loop differentiates: without the collection, the state, or what is no array."""
    if isinstance(assembled, tuple):
        assembled = cast("tuple[Any, ...]", assembled)[0]
    if isinstance(assembled, Mapping) and "params" in assembled:
        return cast("Mapping[str, Any]", assembled)["params"]
    if any(base.__module__ == "equinox._module._module" for base in type(assembled).__mro__):
        import equinox as eqx

        return eqx.filter(assembled, lambda leaf: hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact))
    return assembled


class _Filling:
    """Puts memory into a state's shapes; what has no counterpart is collected."""

    def __init__(self, memory: Memory, paths: Sequence[str], places: Any) -> None:
        self.memory, self.paths, self.places = memory, paths, places
        self.problems: list[str] = []
        self.taken: set[tuple[str, str]] = set()

    def check(self) -> None:
        """Raises what was collected, and what torch remembers and nothing took."""
        for name, moments in self.memory.moments.items():
            torch_name = next(key for key, value in MOMENTS.items() if value == name)
            if left := [path for path in moments if (name, path) not in self.taken]:
                self.problems.append(f"{torch_name} of {', '.join(left)}: the transformation has no {name} for it")
        if self.problems:
            raise ConversionError("the transformation does not remember what torch does", self.problems)

    def filled(self, node: Any, where: str) -> Any:
        """The node with torch's memory in it."""
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return self._named(node, where)
        if isinstance(node, tuple | list):
            return type(node)(self.filled(item, f"{where}[{i}]") for i, item in enumerate(cast("list[Any]", node)))
        if isinstance(node, Mapping):
            return {
                key: self.filled(item, f"{where}[{key!r}]") for key, item in cast("Mapping[Any, Any]", node).items()
            }
        if jax.tree.leaves(node):
            self.problems.append(f"{where}: torch's optimizer has nothing to put there")
        return node

    def _named(self, node: Any, where: str) -> Any:
        """A named tuple: moments and counts by their names, everything else in turn."""
        fields: dict[str, Any] = node._asdict()
        moments = {name: value for name, value in fields.items() if name in MOMENTS.values()}
        done: dict[str, Any] = {}
        steps: set[int | None] = set()
        for name, value in moments.items():
            done[name], found = self._moment(name, value, where)
            steps |= found
        if "count" in fields:
            known = (steps if moments else set(self.memory.steps.values())) - {None}
            if len(known) != 1:
                self.problems.append(
                    f"{where}.count: torch's parameters say {sorted(map(str, known)) or 'no'} step counts"
                )
            done["count"] = jnp.asarray(min((step for step in known if step), default=0), fields["count"].dtype)
        for name, value in fields.items():
            if name not in done and not name.startswith("hyperparams"):
                done[name] = self.filled(value, f"{where}.{name}")
        return node._replace(**done)

    def _moment(self, name: str, tree: Any, where: str) -> tuple[Any, set[int | None]]:
        """A tree of moments, and the step counts of its leaves; masked leaves stay masked."""
        steps: set[int | None] = set()

        def fill(kept: Any, place: Any) -> Any:
            if isinstance(kept, optax.MaskedNode):
                return kept
            path = self.paths[int(place)]
            if path not in self.memory.moments[name]:
                self.problems.append(f"{where}.{name}: torch keeps none for {path}; leave it out with optax.masked")
                return kept
            self.taken.add((name, path))
            steps.add(self.memory.steps.get(path))
            return device_array(self.memory.moments[name][path])

        return jax.tree.map(fill, tree, self.places, is_leaf=lambda kept: isinstance(kept, optax.MaskedNode)), steps
