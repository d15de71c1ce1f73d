"""Linen modules traced call by call through `intercept_methods`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
from flax import linen, traverse_util

from parity.backends.jax_program import Leaves
from parity.backends.jax_trace import Alone, Recorder, split, value_of
from parity.backends.linen import LinenProgram, first_states

Next = Callable[..., Any]


def record(
    program: LinenProgram, recorder: Recorder, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool, key: Any
) -> None:
    """Applies a module with every call below it noted.

    Args:
      program: the module.
      recorder: notes the calls.
      leaves: variables by path.
      inputs: positional arguments.
      train: training mode.
      key: of the random streams.
    """
    keys, mode = program.keys(key), program.mode(train=train)
    variables = traverse_util.unflatten_dict(dict(leaves), sep="/")
    alone = taken_apart(program.model, variables, (), keys, train=train, method=program.call.method)

    def apply(given: Leaves, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Leaves]:
        result, after = alone.apply(given, args, {**kwargs, **mode})
        return program.call.select(result), after

    def call(*args: Any) -> Any:
        with linen.intercept_methods(interceptor(recorder, keys, train=train)):
            return apply(leaves, args, {})[0]

    recorder.around(program.model, "", lambda: replace(alone, apply=apply), call, inputs, {})


def interceptor(recorder: Recorder, keys: dict[str, Any], *, train: bool) -> Callable[..., Any]:
    """What `linen.intercept_methods` takes: notes every `__call__` below the model.

    Args:
      recorder: notes the calls.
      keys: random streams by name, for running modules alone.
      train: collections other than `params` may change.
    """

    def intercept(proceed: Next, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
        module = context.module
        if context.method_name != "__call__" or not module.path:
            return proceed(*args, **kwargs)
        apart, variables = module.unbind()
        variables = jax.tree.map(value_of, variables)  # of this moment: the call updates its buffers in place
        alone = functools.partial(taken_apart, apart, variables, module.path, keys, train=train)
        return recorder.around(apart, "/".join(module.path), alone, proceed, args, kwargs, variables)

    return intercept


def taken_apart(
    module: linen.Module,
    variables: Any,
    path: tuple[str, ...],
    keys: dict[str, Any],
    *,
    train: bool,
    method: str | None = None,
) -> Alone:
    """A module as a pure function of its leaves.

    Args:
      module: unbound.
      variables: its own, by collection.
      path: its place in the model.
      keys: random streams by name.
      train: collections other than `params` may change.
      method: called in place of `__call__`.
    """
    values = {
        "/".join((key[0], *path, *key[1:])): value for key, value in traverse_util.flatten_dict(variables).items()
    }
    parameters, buffers = split(values, frozenset(name for name in values if name.startswith("params/")))
    mutable = sorted({name.split("/")[0] for name in buffers}) if train else []

    def own(name: str) -> tuple[str, ...]:
        collection, *rest = name.split("/")
        return collection, *rest[len(path) :]

    def apply(given: Leaves, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Leaves]:
        tree = traverse_util.unflatten_dict({own(name): value for name, value in given.items()})
        with first_states(given):
            result, changed = module.apply(tree, *args, method=method, mutable=mutable, rngs=keys, **kwargs)
        after = {**{own(name): given[name] for name in buffers}, **traverse_util.flatten_dict(changed)}
        return result, {name: after[own(name)] for name in buffers}

    return Alone(parameters, buffers, apply)
