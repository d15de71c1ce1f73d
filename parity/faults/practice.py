"""Common practice: one random batch, fresh weights, the outputs in evaluation mode, an absolute tolerance of 1e-3."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import weight_bridge
from parity._errors import ReferenceRefuses, StructureMismatch
from parity.backends import Call, candidate_program
from parity.explore import Case, open_session
from parity.pair import Pair
from parity.record import Arrays, Example
from parity.session import Session
from parity.trial import REFUSALS, Trial

ABSOLUTE = 1e-3
"""What people allow. It is the subject of the comparison here, and judges nothing else."""


def accepts(session: Session, broken: Pair, case: Case, example: Example) -> bool:
    """Whether common practice lets a faulty candidate pass.

    Weights are copied where a leaf of the same place and shape exists, and left at their initial values elsewhere, as
    a conversion with `strict=False` does.

    Args:
      session: of the correct pair.
      broken: the same pair with a fault in its one candidate.
      case: configuration and inputs.
      example: ordinary values.

    Returns:
      True where it would be merged.
    """
    try:
        trial = _trial(session, broken, case, example)
        expected = trial.forward_reference("eval").outputs
        got = trial.forward_candidate("eval").outputs
    except ReferenceRefuses:
        return True
    except (StructureMismatch, *REFUSALS):
        return False
    return set(expected) == set(got) and all(_close(got[name], expected[name]) for name in expected)


def _trial(session: Session, broken: Pair, case: Case, example: Example) -> Trial:
    """Fresh weights on both sides, in the precision that people compare in."""
    ((label, build),) = broken.candidates.items()
    try:
        own = open_session(broken, label, case, example)
        if own is not None:
            return Trial(replace(own, weights=None), example, "float32")
    except weight_bridge.WeightBridgeError:
        pass  # a refusal that common practice does not have: copy what fits
    inputs = session.laid_out(example.inputs)
    program = candidate_program(build(session.config), inputs, Call(broken.method, broken.output))
    fresh = replace(session, candidate=program, weights=None, found={})
    copied = session.carried(session.reference.state())
    return Trial(fresh, example, "float32", leaves=_fitted(copied, program.state()))


def _fitted(copied: Arrays, own: Arrays) -> dict[str, np.ndarray]:
    """Copied leaves where they fit; the candidate's own otherwise."""
    return {
        path: copied[path] if path in copied and copied[path].shape == value.shape else value
        for path, value in own.items()
    }


def _close(got: np.ndarray, expected: np.ndarray) -> bool:
    if got.shape != expected.shape:
        return False
    return bool(np.allclose(got, expected, rtol=1e-7, atol=ABSOLUTE, equal_nan=True))
