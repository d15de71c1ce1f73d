"""A candidate's module computed otherwise: every narrow format widened, or hand-written derivatives left out.

The module is traced to a jaxpr, and that is evaluated equation by equation with the change made.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from parity.backends.jax_dataflow import following, leading, variables
from parity.backends.jax_noise import replaying
from parity.backends.jax_program import Leaves, as_dtype, isolated
from parity.backends.jax_trace import JaxRun
from parity.formats import FORMATS
from parity.record import Arrays, Record

NARROW = ("float32", "float16", "bfloat16")
INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters in which primitives keep what they call."""

INLINED = frozenset({"pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "checkpoint", "remat", "remat2"})
"""Primitives that only call."""

BY_HAND = frozenset({"custom_vjp_call", "custom_vjp_call_jaxpr"})
"""Primitives with a derivative of their own."""


def otherwise(
    run: JaxRun, inputs: Arrays, cotangents: Arrays | None = None, *, widened: bool = False, plain: bool = False
) -> Record:
    """One module with every equation computed under a change.

    Args:
      run: the traced call.
      inputs: some of its arguments, by leaf name.
      cotangents: of the outputs; None computes no gradients.
      widened: formats narrower than float64 are float64.
      plain: derivatives written by hand are those of the formula.

    Returns:
      Outputs, and gradients by inputs and parameters.

    Raises:
      NotImplementedError: a loop or branch stands in the way of widening.
    """
    with isolated(run.precision), replaying(run.drawn.replay()):
        alone, floating, closed, shape = _traced(run, inputs)
        structure = jax.tree.structure(shape)

        def changed(parameters: Leaves, floating: Leaves) -> Leaves:
            flat = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves((parameters, floating)), widened, plain)
            return jax.tree.unflatten(structure, flat)

        if cotangents is None:
            return Record(jax.tree.map(np.asarray, changed(dict(alone.parameters), floating)))
        outputs, pull = jax.vjp(changed, dict(alone.parameters), floating)
        weights = {n: jnp.asarray(as_dtype(cotangents.get(n, np.zeros(v.shape)), v.dtype)) for n, v in outputs.items()}
        param_grads, input_grads = pull(weights)
        return Record(*jax.tree.map(np.asarray, (outputs, input_grads, param_grads)))


def _traced(run: JaxRun, inputs: Arrays) -> tuple[Any, Leaves, Any, Any]:
    """The module's state, its floating arguments, and the program from parameters and these to its outputs."""
    alone = run.alone()
    given = {name: jnp.asarray(as_dtype(value, FORMATS[run.precision])) for name, value in inputs.items()}
    floating = {name: v for name, v in given.items() if jnp.issubdtype(v.dtype, jnp.inexact)}

    def primal(parameters: Leaves, floating: Leaves) -> Leaves:
        return run.primal(alone, given, parameters, floating)[0]

    closed, shape = jax.make_jaxpr(primal, return_shape=True)(dict(alone.parameters), floating)
    return alone, floating, closed, shape


def narrow_values(run: JaxRun, inputs: Arrays) -> frozenset[tuple[str, str]]:
    """What a module holds in formats narrower than float64.

    Args:
      run: the traced call.
      inputs: some of its arguments, by leaf name.

    Returns:
      Formats, each with `a table` for arrays that follow from neither arguments nor parameters, `a constant` for such
      single numbers, and `a value` for all else.
    """
    with isolated(run.precision), replaying(run.drawn.replay()):
        jaxpr = _traced(run, inputs)[2].jaxpr
    found: set[tuple[str, str]] = set()
    _note(jaxpr, set(jaxpr.invars), found)
    return frozenset(found)


def _note(jaxpr: Any, moving: set[Any], found: set[tuple[str, str]]) -> None:
    """Narrow variables of a jaxpr that its results follow from, and of which `moving` follow from arguments."""
    needed, moves = leading(jaxpr, variables(jaxpr.outvars)), following(jaxpr, moving)
    for variable in jaxpr.constvars:
        if variable in needed:
            _note_one(variable, variable in moves, found)
    for equation in jaxpr.eqns:
        if not needed & set(equation.outvars):
            continue
        inner = next((equation.params[key] for key in INNER if key in equation.params), None)
        body = getattr(inner, "jaxpr", inner)
        if body is not None and len(body.invars) == len(equation.invars):
            pairs = zip(body.invars, equation.invars, strict=True)
            _note(body, {own for own, outer in pairs if variables([outer]) & moves}, found)
        for variable in equation.outvars:
            _note_one(variable, variable in moves, found)


def _note_one(variable: Any, moved: bool, found: set[tuple[str, str]]) -> None:
    if _narrow(variable.aval):
        kind = "a value" if moved else "a table" if variable.aval.size > 1 else "a constant"
        found.add((str(variable.aval.dtype), kind))


def _evaluate(jaxpr: Any, consts: Any, args: Any, widened: bool, plain: bool) -> list[Any]:
    """A jaxpr, equation by equation."""
    values: dict[Any, Any] = {}

    def read(variable: Any) -> Any:
        value = variable.val if isinstance(variable, core.Literal) else values[variable]
        return _wide(value) if widened else value

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = next((equation.params[key] for key in INNER if key in equation.params), None)
        operands = [read(variable) for variable in equation.invars]
        if inner is not None and (
            (name in INLINED and (widened or name != "custom_jvp_call")) or (name in BY_HAND and (plain or widened))
        ):
            found = _evaluate(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands, widened, plain)
        else:
            found = _bound(equation, operands, widened)
        values.update(zip(equation.outvars, found, strict=False))
    return [read(variable) for variable in jaxpr.outvars]


def _bound(equation: Any, operands: list[Any], widened: bool) -> list[Any]:
    """One equation."""
    inside = any(hasattr(value, "eqns") or hasattr(value, "jaxpr") for value in equation.params.values())
    if widened and inside and any(_narrow(v.aval) for v in (*equation.invars, *equation.outvars)):
        raise NotImplementedError(f"{equation.primitive.name} in a narrow format")
    subfuns, params = _bind_params(equation)
    params = {key: _wide_format(value) for key, value in params.items()} if widened else params
    found = equation.primitive.bind(*subfuns, *operands, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _bind_params(equation: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a primitive is bound with: functions before the operands and parameters, or all of it as parameters."""
    found = equation.primitive.get_bind_params(equation.params)
    return ((), dict(found)) if isinstance(found, dict) else (tuple(found[0]), dict(found[1]))


def _wide(value: Any) -> Any:
    narrow = hasattr(value, "dtype") and str(value.dtype) in NARROW
    return jnp.asarray(value, jnp.float64) if narrow else value


def _wide_format(value: Any) -> Any:
    """A format among an equation's parameters."""
    try:
        return np.dtype(np.float64) if isinstance(value, np.dtype) and value.name in NARROW else value
    except TypeError:
        return value


def _narrow(aval: Any) -> bool:
    return str(getattr(aval, "dtype", "")) in NARROW
