"""Outcomes in a file, so that a run over hundreds of faults can stop and go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from parity._errors import UsageError
from parity.faults.score import Outcome
from parity.files import write_text

Known = Mapping[tuple[str, str], Outcome]
"""Id of a fault and name of a pair → what became of it."""


def kept(file: Path) -> dict[tuple[str, str], Outcome]:
    """What earlier runs found.

    Args:
      file: written by `keeping`; one that is not there holds nothing.

    Returns:
      Outcomes by fault and pair.

    Raises:
      UsageError: the file holds something else.
    """
    if not file.exists():
        return {}
    try:
        found = [Outcome(**row) for row in json.loads(file.read_text())]
    except (ValueError, TypeError) as problem:
        raise UsageError(f"{file} holds no outcomes of `parity faults`: {problem}") from problem
    return {(outcome.fault, outcome.pair): outcome for outcome in found}


def keeping(file: Path, known: Known, tell: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
    """A listener that writes every outcome at once, and passes it on.

    Args:
      file: where to; rewritten as a whole.
      known: what it held before.
      tell: the next listener.

    Returns:
      A function of one outcome.
    """
    all_of_them = dict(known)

    def note(outcome: Outcome) -> None:
        all_of_them[outcome.fault, outcome.pair] = outcome
        write_text(file, json.dumps([asdict(one) for one in all_of_them.values()], indent=1) + "\n")
        tell(outcome)

    return note
