"""NNX modules traced call by call: `__call__` of every class in the model is wrapped for the length of one run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from flax import nnx

from parity.backends.jax_program import Leaves
from parity.backends.jax_trace import Alone, Recorder, split, value_of
from parity.backends.nnx import NnxProgram

PATH = "path_in_the_traced_model"
"""Attribute of a module that is being traced; it goes along when the model is taken apart and put together again."""


def record(program: NnxProgram, recorder: Recorder, leaves: Leaves, inputs: tuple[Any, ...], *, train: bool) -> None:
    """Runs a bound model with every module's call noted.

    Args:
      program: the model.
      recorder: notes the calls.
      leaves: weights and buffers by path.
      inputs: positional arguments.
      train: training mode.
    """
    fresh = functools.partial(program.bind, leaves, train=train)
    model = fresh()

    def root(bound: Any) -> Any:
        return lambda *args: program.call.select(program.call.of(bound)(*args))

    alone = functools.partial(taken_apart, fresh, (), {}, root)
    with intercepted(model, fresh, recorder):
        recorder.around(model, "", alone, root(model), inputs, {})


class NamedFunction:
    """A function that is a member of a module, `self.activation = nnx.gelu`, noted like a module without parameters."""

    def __init__(self, function: Callable[..., Any], path: str, recorder: Recorder) -> None:
        self._function, self._path, self._recorder = function, path, recorder
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._recorder.around(self._function, self._path, self._alone, self._function, args, kwargs)

    def _alone(self) -> Alone:
        def apply(leaves: Leaves, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Leaves]:
            return self._function(*args, **kwargs), {}

        return Alone({}, {}, apply)


@contextmanager
def intercepted(model: nnx.Module, fresh: Callable[[], nnx.Module], recorder: Recorder) -> Generator[None]:
    """Notes every call of a module inside a model; the classes are as before afterwards.

    Args:
      model: what is about to be called; function members of it are replaced.
      fresh: builds the same model again, for running modules alone.
      recorder: notes the calls.
    """
    paths = {joined(path): path for path, _ in nnx.iter_modules(model)}
    for path, module in list(nnx.iter_modules(model)):
        _name_functions(module, path, recorder)
        setattr(module, PATH, joined(path))
    again = functools.cache(lambda: dict(nnx.iter_modules(fresh())))

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            path = paths.get(getattr(self, PATH, ""))
            bound = functools.partial(original, self)
            if not path:  # the model itself is noted by its caller; others were made on the way
                return bound(*args, **kwargs)
            held = {joined((*path, *key)): value_of(variable.get_value()) for key, variable in _variables(self).items()}
            alone = functools.partial(taken_apart, lambda: again()[path], path, held)
            return recorder.around(self, joined(path), alone, bound, args, kwargs, held)

        return call

    with _patched({_definer(type(module)) for _, module in nnx.iter_modules(model) if callable(module)}, wrapped):
        yield


def taken_apart(
    module: Callable[[], Any],
    path: tuple[Any, ...],
    held: Mapping[str, Any],
    call: Callable[[Any], Any] = lambda bound: bound,
) -> Alone:
    """A module as a pure function of its leaves.

    Args:
      module: gives the module.
      path: its place in the model.
      held: values of its leaves by full path, in place of those it has: in a loop they are those of the iteration.
      call: what is called of it.
    """
    graph, state = nnx.split(module())
    flat = dict(nnx.to_flat_state(state))
    leaves = {joined((*path, *key)): key for key, variable in flat.items() if not isinstance(variable, nnx.RngState)}

    def apply(given: Leaves, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Leaves]:
        values = {key: variable.get_value() for key, variable in flat.items()}
        values |= {leaves[name]: value for name, value in given.items()}
        filled = {key: flat[key].replace(value) for key, value in values.items()}  # new variables, of this trace
        merged = nnx.merge(graph, nnx.from_flat_state(filled.items()))
        result = call(merged)(*args, **kwargs)
        after = dict(nnx.to_flat_state(nnx.state(merged)))
        return result, {name: after[leaves[name]].get_value() for name in buffers}

    values = {name: held.get(name, flat[key].get_value()) for name, key in leaves.items()}
    learned = frozenset(name for name, key in leaves.items() if isinstance(flat[key], nnx.Param))
    parameters, buffers = split(values, learned)
    return Alone(parameters, buffers, apply)


def _variables(module: nnx.Module) -> dict[Any, Any]:
    """Variables of a module by path, but for random streams."""
    flat: Any = nnx.to_flat_state(nnx.state(module, nnx.Variable))
    return {key: variable for key, variable in flat if not isinstance(variable, nnx.RngState)}


def joined(path: tuple[Any, ...]) -> str:
    """A path as text."""
    return "/".join(map(str, path))


def _name_functions(module: Any, path: tuple[Any, ...], recorder: Recorder) -> None:
    """Replaces function members of a module by wrappers that note their calls; the library's own layers keep theirs."""
    members: dict[Any, Any] = dict(enumerate(module)) if isinstance(module, nnx.List) else dict(vars(module))
    library = type(module).__module__.startswith("flax.") and not isinstance(module, nnx.List | nnx.Dict)
    for name, value in members.items():
        plain = callable(value) and not isinstance(value, nnx.Module | nnx.Variable | type)
        if library or not plain or str(name).startswith("_"):
            continue
        named = NamedFunction(value, joined((*path, name)), recorder)
        if isinstance(module, nnx.List):
            module[name] = named
        else:
            setattr(module, name, named)


def _definer(cls: type) -> type:
    """The class that a class has its `__call__` from."""
    return next(base for base in cls.__mro__ if "__call__" in vars(base))


@contextmanager
def _patched(classes: set[type], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Generator[None]:
    """`__call__` of some classes wrapped, and put back."""
    originals = {cls: vars(cls)["__call__"] for cls in classes}
    try:
        for cls, original in originals.items():
            cls.__call__ = wrap(original)
        yield
    finally:
        for cls, original in originals.items():
            cls.__call__ = original
