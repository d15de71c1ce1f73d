"""Formats that a JAX model computes in, read off its jaxpr without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jax.extend import source_info_util

from parity.audit import Audit, Narrowing, coarse, narrower
from parity.backends.jax_dataflow import following, leading, variables
from parity.backends.jax_program import JaxProgram, isolated
from parity.formats import Precision
from parity.noise import Draw
from parity.record import Arrays

FAMILY_OF: Mapping[str, str] = MappingProxyType(
    {"exp": "exponential", "exp2": "exponential", "log": "logarithm", "log1p": "logarithm"}
    | {"sqrt": "root", "rsqrt": "root"}
)

EXACT = frozenset(
    """
    abs argmax argmin broadcast_in_dim bitcast_convert_type checkpoint clamp closed_call concatenate cond copy copy_p
    core_call cummax cummin custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr dynamic_slice dynamic_update_slice
    expand_dims gather iota jit max min neg optimization_barrier pad pjit reduce_max reduce_min remat remat2 reshape rev
    scan scatter select_and_gather_add select_and_scatter_add select_n sharding_constraint sign slice sort split
    split_dims squeeze stop_gradient transpose while
    """.split()  # noqa: SIM905  # a paragraph is easier to keep sorted than fifty quoted lines
)
"""Primitives that move or choose numbers; running them in a narrow format loses nothing more."""

NOT_THE_MODEL = "/flax/", f"{Path(__file__).parents[1]}/"
"""In the path of files of Flax's, and of the harness's own, which are around every model."""

FRAMES = 64
"""How far out from an operation its caller is looked for."""

RANDOM = frozenset(
    {"_bernoulli", "_uniform", "_normal", "_normal_real", "_truncated_normal", "_gumbel", "_exponential"}
    | {"_randint", "_shuffle", "_gamma"}
)
"""Compiled parts of `jax.random`, whose inner formats are its own affair."""


def audit(
    program: JaxProgram,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    *,
    precision: Precision,
    train: bool,
    cotangents: Arrays,
    draws: tuple[Draw, ...],
) -> Audit:
    """Every operation of one call and its gradients; see `parity.backends.auditing.audit_candidate`."""
    with isolated(precision):
        arguments = program.arguments(state, inputs, precision, cotangents=cotangents, draws=draws)
        try:
            closed = program.compiled("step", train, precision).trace(*arguments).jaxpr
        except Exception:  # what has no gradient is audited without
            closed = program.compiled("forward", train, precision).trace(*arguments).jaxpr
    found = {_of_constant(np.asarray(value)) for value in closed.consts if narrower(str(value.dtype), precision)}
    families: dict[str, set[str]] = {}
    grouped = False
    for equation, sources in _equations(closed.jaxpr):
        name = equation.primitive.name
        grouped |= equation.params.get("feature_group_count", 1) > 1
        formats = {str(variable.aval.dtype) for variable in equation.outvars if hasattr(variable.aval, "dtype")}
        if name in FAMILY_OF:
            families.setdefault(FAMILY_OF[name], set()).update(formats)
        if narrow := _narrowed(equation, formats, precision):
            operation = "conversion" if name == "convert_element_type" else name
            found.add(Narrowing(narrow, operation, _place(sources)))
    narrowings = tuple(sorted(n for n in found if n is not None))
    return Audit(narrowings, {name: frozenset(formats) for name, formats in families.items()}, grouped=grouped)


def _place(sources: tuple[Any, ...]) -> str:
    """The innermost line of the model's own code, or of Flax's layers where the model is one.

    Args:
      sources: of the operation, and of the loops and branches that it lies in, the innermost first.
    """
    frames = [_frames(source) for source in sources]
    own = (frame for some in frames for frame in some if frame and not any(mark in frame for mark in NOT_THE_MODEL))
    return next(own, frames[0][0])


def _frames(source: Any) -> list[str]:
    """The lines that led to an operation, the innermost first."""
    return source_info_util.summarize(source, num_frames=FRAMES).split("\n")[::-1]


def _of_constant(value: np.ndarray) -> Narrowing | None:
    """An array that the model was built with, if its values were rounded."""
    return Narrowing(str(value.dtype), f"constant of shape {list(value.shape)}", "the model") if coarse(value) else None


def _narrowed(equation: Any, formats: set[str], precision: Precision) -> str | None:
    """The narrow format that an equation brings in or computes in."""
    narrow = next((name for name in formats if narrower(name, precision)), None)
    if narrow is None or equation.primitive.name in EXACT:
        return None
    if equation.primitive.name != "convert_element_type":
        return narrow
    source = str(equation.invars[0].aval.dtype)
    return narrow if source.startswith(("float", "bfloat")) and not narrower(source, precision) else None


def _equations(
    jaxpr: Any, around: tuple[Any, ...] = (), moving: Set[Any] | None = None, felt: Set[Any] | None = None
) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """All equations, those inside loops, branches and calls included, with the places of each and of what is around.

    Left out is what follows from no argument and is made an integer before it is used, such as the places from which
    an image is resized: they are as exact as their integers.

    Args:
      jaxpr: the program.
      around: places of what it is part of.
      moving: its arguments that follow from those of the whole; None for all.
      felt: its results that are used; None for all.
    """
    moves = following(jaxpr, set(jaxpr.invars) if moving is None else moving)

    def inexact(equation: Any) -> bool:
        to, made = equation.primitive.name, equation.outvars[0]
        return to != "convert_element_type" or made.aval.dtype.kind not in "iu" or made in moves

    feels = leading(jaxpr, variables(jaxpr.outvars) if felt is None else felt, inexact)
    counted = moves | feels
    for equation in jaxpr.eqns:
        if equation.params.get("name") in RANDOM or not counted & set(equation.outvars):
            continue
        sources = equation.source_info, *around
        yield equation, sources
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner, sources, *_handed_on(equation, inner, moves, feels))


def _handed_on(equation: Any, inner: Any, moving: Set[Any], felt: Set[Any]) -> tuple[Set[Any] | None, Set[Any] | None]:
    """Moving arguments and felt results of a call's own program; None where they do not correspond in number."""
    if len(inner.invars) != len(equation.invars) or len(inner.outvars) != len(equation.outvars):
        return None, None
    given = zip(inner.invars, equation.invars, strict=True)
    made = zip(inner.outvars, equation.outvars, strict=True)
    moved = {own for own, outer in given if variables([outer]) & moving}
    return moved, variables(own for own, outer in made if outer in felt)
