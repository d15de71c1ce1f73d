"""A fault put into a candidate, for a while or into the builder of a pair."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from parity._errors import UsageError
from parity.faults.fault import Fault
from parity.pair import Pair


@contextmanager
def injected(fault: Fault, model: Any) -> Generator[str]:
    """Breaks a candidate for as long as the context is open.

    Args:
      fault: what to break.
      model: the candidate, edited in place and restored afterwards.

    Yields:
      Path of the module that was edited.

    Raises:
      UsageError: the fault has no place in this candidate.
    """
    path = _site(fault, model)
    undo = fault.edit(module_at(model, path))
    try:
        yield path
    finally:
        undo()


def faulty(pair: Pair, fault: Fault, candidate: str | None = None) -> Pair:
    """The same claim with a fault in one candidate; every build breaks its own copy.

    Args:
      pair: a correct pair; it stays so.
      fault: what to break.
      candidate: which one; the first by default.

    Returns:
      A pair with that candidate alone.
    """
    claim = fault.claim(pair) if fault.claim is not None else pair
    label, build = claim.candidate(candidate)

    def broken(config: Any) -> Any:
        model = build(config)
        fault.edit(module_at(model, _site(fault, model)))
        return model

    return replace(claim, name=f"{pair.name} with {fault.id}", candidates={label: broken})


def module_at(model: Any, path: str) -> Any:
    """The module at a path such as `layers/0/norm`; the model itself for an empty path."""
    for part in filter(None, path.split("/")):
        model = model[int(part)] if part.isdigit() else getattr(model, part)
    return model


def _site(fault: Fault, model: Any) -> str:
    path = fault.site(model)
    if path is None:
        raise UsageError(f"fault {fault.id!r} has no place in {type(model).__name__}")
    return path
