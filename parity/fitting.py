"""A layout that applies to nothing: a mistake in a claim that looks like the candidate's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from parity._errors import ReferenceRefuses, UsageError
from parity.backends import Call, Reference, reference_program
from parity.layout import Layouts
from parity.trial import Trial

Leaf = tuple[str, tuple[int, ...]]
"""Name and shape of an input or output."""


class Fit:
    """What of a layout has applied to no input or output of the trials seen so far."""

    def __init__(self) -> None:
        self._idle: dict[str, str] | None = None

    def see(self, trial: Trial) -> None:
        """Looks where the layout applies in one trial, and in the calls of a declared sequence where need be."""
        if self._idle == {}:
            return
        layouts, leaves = trial.session.layouts, _leaves(trial)
        idle = idle_parts(layouts, leaves) and idle_parts(layouts, (*leaves, *_leaves_of_calls(trial)))
        self._idle = idle if self._idle is None else {part: self._idle[part] for part in self._idle if part in idle}

    def require_applied(self) -> None:
        """Refuses a layout of which some part applied nowhere.

        Raises:
          UsageError: with the part, and the leaves that there are.
        """
        if self._idle:
            raise UsageError("; ".join(self._idle.values()))


def require_applied(trial: Trial) -> None:
    """Refuses a layout of which some part applies to nothing in one trial.

    Raises:
      UsageError: with the part, and the leaves that there are.
    """
    fit = Fit()
    fit.see(trial)
    fit.require_applied()


def idle_parts(layouts: Layouts, leaves: Iterable[Leaf]) -> dict[str, str]:
    """What of a layout applies to none of these leaves, with a line for each."""
    known = dict.fromkeys(leaves)
    names, ranks = {name for name, _ in known}, {len(shape) for _, shape in known}
    there = ", ".join(f"{name} of shape {list(shape)}" for name, shape in known)
    lines = {
        name: f"layout for {name!r}: there is no such input or output; there are {there}"
        for name in layouts.named
        if name not in names
    }
    everywhere = layouts.everywhere
    if everywhere is not None and everywhere.rank not in ranks:
        lines[everywhere.text] = (
            f"layout {everywhere.text!r}: it has {everywhere.rank} axes, and no input or output has; there are {there}"
        )
    return lines


def idle_in_call(reference: Reference, layouts: Layouts, inputs: tuple[np.ndarray, ...]) -> dict[str, str]:
    """What of a layout applies to nothing in a call of the reference alone; see `idle_parts`."""
    how: dict[str, Any] = {"precision": "float64", "train": False, "cotangents": None, "seed": 0, "gradients": False}
    outputs = reference.run(reference.state(), inputs, **how).outputs
    leaves = {**{f"input[{i}]": value for i, value in enumerate(inputs)}, **outputs}
    return idle_parts(layouts, ((name, value.shape) for name, value in leaves.items()))


def _leaves(trial: Trial) -> tuple[Leaf, ...]:
    """The inputs, and what the reference returns in every mode that is compared."""
    leaves = [(f"input[{i}]", value.shape) for i, value in enumerate(trial.inputs)]
    for mode in trial.session.modes:
        with suppress(ReferenceRefuses):
            leaves += [(name, value.shape) for name, value in trial.forward_reference(mode).outputs.items()]
    return tuple(leaves)


def _leaves_of_calls(trial: Trial) -> Iterator[Leaf]:
    """Inputs and outputs of every call of a declared sequence, on the reference alone."""
    session, state = trial.session, trial.state
    calls = session.pair.sequence if session.pair is not None else None
    with suppress(ReferenceRefuses):
        for method, inputs in calls(*trial.inputs) if calls is not None else ():
            called = reference_program(session.reference.model, Call(method, session.reference.call.output))
            call = replace(trial, session=replace(session, reference=called, found={}), given=(state, inputs), found={})
            yield from _leaves(call)
            state = {**state, **call.forward_reference(session.modes[0]).buffers}
