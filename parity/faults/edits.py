"""Reversible edits of one module of a candidate. An edit is applied to the module and returns what undoes it.

They work on any object whose methods and attributes are looked up in the usual way, so on NNX modules: a method is
changed by giving the one instance a class of its own, which survives `nnx.split` and `nnx.merge`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

Undo = Callable[[], None]
Edit = Callable[[Any], Undo]


def setting(**values: Any) -> Edit:
    """Gives attributes other values.

    Args:
      **values: attribute → value.

    Returns:
      The edit.

    Example:
      >>> from types import SimpleNamespace
      >>> module = SimpleNamespace(epsilon=1e-5)
      >>> undo = setting(epsilon=1e-3)(module)
      >>> module.epsilon
      0.001
      >>> undo()
      >>> module.epsilon
      1e-05
    """
    return deriving(**{name: (lambda module, value=value: value) for name, value in values.items()})


def deriving(**functions: Callable[[Any], Any]) -> Edit:
    """Gives attributes values that follow from the module.

    Args:
      **functions: attribute → function of the module.

    Returns:
      The edit.

    Raises:
      AttributeError: when applied to a module without such an attribute.
    """

    def edit(module: Any) -> Undo:
        before = {name: getattr(module, name) for name in functions}
        for name, function in functions.items():
            setattr(module, name, function(module))

        def undo() -> None:
            for name, value in before.items():
                setattr(module, name, value)

        return undo

    return edit


def adding(**functions: Callable[[Any], Any]) -> Edit:
    """Gives attributes that the module has not, as functions of the module."""

    def edit(module: Any) -> Undo:
        for name, function in functions.items():
            setattr(module, name, function(module))

        def undo() -> None:
            for name in functions:
                delattr(module, name)

        return undo

    return edit


def around(name: str, function: Callable[..., Any]) -> Edit:
    """Wraps a method of one module.

    Args:
      name: of the method, `__call__` among them.
      function: takes the bound original method and its arguments; the module is `original.__self__`.

    Returns:
      The edit.

    Raises:
      AttributeError: when applied to a module without such a method.

    Example:
      >>> class Scale:
      ...     def __call__(self, x):
      ...         return 2 * x
      >>> module = Scale()
      >>> undo = around("__call__", lambda original, x: -original(x))(module)
      >>> module(3)
      -6
      >>> undo()
      >>> module(3)
      6
    """

    def edit(module: Any) -> Undo:
        own = type(module)
        original = getattr(own, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(original.__get__(self), *args, **kwargs)

        body = {name: method, "__module__": own.__module__, "__doc__": own.__doc__}
        edited = types.new_class(own.__name__, (own,), exec_body=lambda space: space.update(body))
        object.__setattr__(module, "__class__", edited)
        return lambda: object.__setattr__(module, "__class__", own)

    return edit


def reading(name: str, function: Callable[[Any], Any], method: str = "__call__") -> Edit:
    """Lets a method see another value in a variable, as if it had been converted wrongly; the variable itself stays.

    Args:
      name: attribute that holds the variable.
      function: its value → what is seen in its place.
      method: that reads it.

    Returns:
      The edit.
    """

    def values(module: Any) -> dict[str, Any]:
        return {name: function(getattr(module, name).get_value())}

    return around(method, showing(values))


def showing(values: Callable[[Any], dict[str, Any]]) -> Callable[..., Any]:
    """A function for `around` that lets a method see other values in the module's variables.

    Other variables stand in for a while: the own ones could not be changed inside a derivative that the model takes.

    Args:
      values: module → attribute and value.
    """

    def seen(original: Any, *args: Any, **kwargs: Any) -> Any:
        module = original.__self__
        others = values(module)
        before = {name: getattr(module, name) for name in others}
        try:
            for name, value in others.items():
                object.__setattr__(module, name, type(before[name])(value))
            return original(*args, **kwargs)
        finally:
            for name, variable in before.items():
                object.__setattr__(module, name, variable)

    return seen


def both(*edits: Edit) -> Edit:
    """Several edits as one, undone in reverse order."""

    def edit(module: Any) -> Undo:
        undos = [one(module) for one in edits]

        def undo() -> None:
            for one in reversed(undos):
                one()

        return undo

    return edit
