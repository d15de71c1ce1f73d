"""Sensitive operations that the reference widens and the candidate leaves in 16 bits: which module does so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from parity.report import Cause, Divergence

if TYPE_CHECKING:
    from parity.pair import Mode
    from parity.report import Result
    from parity.trial import Trial

CAUSES: Mapping[str, str] = {"exponential": "softmax-upcast-dropped"}
"""Family of operations → the cause; `autocast-region` for the others."""


def formats(trial: Trial, result: Result) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """Locates what a failing check of formats names: the first module of the reference that widens such operations.

    Args:
      trial: any example of the pair.
      result: of the check; its worst place says family, and both sides' formats.

    Returns:
      Where, and the cause; None where the reference widens nothing of that kind.
    """
    from parity.localise import trace

    mode: Mode = "train" if (result.mode or trial.session.modes[0]) == "train" else "eval"
    family = result.worst.split(" ")[0]
    modules = trial.audits(mode, "bfloat16")[0].widening.get(family, ())
    if not modules:
        return None
    root = trace(trial.at("float64"), mode, "float64").root
    twin = next((twin for twin in root.all() if twin.reference.name == modules[0]), root)
    name = twin.reference.name
    cause = Cause(CAUSES.get(family, "autocast-region"), name or twin.reference.kind, result.worst, 1.0)
    return Divergence("dtypes", name, twin.candidate.name, True), (cause,)
