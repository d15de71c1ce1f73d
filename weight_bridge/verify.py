"""Independent proof: what was written is read back, inverted, and compared bit for bit with the checkpoint.

This proves that the plan was carried out, not that the plan is right: a wrong but invertible transpose comes back
perfectly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weight_bridge._errors import VerificationError
from weight_bridge.blocks import same_bits
from weight_bridge.checkpoint import Checkpoint
from weight_bridge.plan import Plan, Step
from weight_bridge.results import results
from weight_bridge.spec import Array, Spec


@dataclass(frozen=True)
class Proof:
    """What a verification established.

    Args:
      inverted: leaves that came back to the checkpoint's bits through the inverse.
      recomputed: leaves whose transform loses or folds information, equal to the transform of the checkpoint.
      bytes: bytes compared.
    """

    inverted: int
    recomputed: int
    bytes: int

    def __str__(self) -> str:
        again = f", {self.recomputed} recomputed" if self.recomputed else ""
        return f"{self.inverted} leaves inverted{again}, {self.bytes} bytes equal bit for bit"


def verify(
    decided: Plan, checkpoint: Checkpoint, written: Checkpoint, *, progress: Callable[[int], None] = lambda _: None
) -> Proof:
    """Proves a conversion against its checkpoint.

    Args:
      decided: the plan it should follow.
      checkpoint: what was converted.
      written: what is on disk now.
      progress: told the bytes of each step.

    Returns:
      The proof.

    Raises:
      VerificationError: leaves are missing, strange, of other shape or dtype, or differ; all are listed.
    """
    problems = _outline_problems(decided, written)
    if problems:
        raise VerificationError(f"{written.origin} is not what {checkpoint.origin} converts to", problems)
    inverted = recomputed = size = 0
    for step in decided.steps:
        exact = step.information == "exact"
        problems += _differences(step, checkpoint, written, exact=exact)
        inverted, recomputed = inverted + exact * len(step.targets), recomputed + (not exact) * len(step.targets)
        done = sum(spec.nbytes for spec in step.target_specs)
        size += done
        progress(done)
    if problems:
        raise VerificationError(f"{written.origin} is not what {checkpoint.origin} converts to", problems)
    return Proof(inverted, recomputed, size)


def _outline_problems(decided: Plan, written: Checkpoint) -> list[str]:
    """Missing, strange and misshapen leaves."""
    planned = {path: spec for step in decided.steps for path, spec in zip(step.targets, step.target_specs, strict=True)}
    found = {path: tensor.spec for path, tensor in written.tensors.items()}
    problems = [f"{path}: missing" for path in planned if path not in found]
    problems += [f"{path}: not in the plan" for path in found if path not in planned]
    problems += [
        _unlike(path, spec, found[path]) for path, spec in planned.items() if path in found and found[path] != spec
    ]
    return problems


def _unlike(path: str, planned: Spec, found: Spec) -> str:
    cast = f"; if that was the wish, say --dtype {found.dtype}" if planned.shape == found.shape else ""
    return f"{path}: planned {planned}, found {found}{cast}"


def _differences(step: Step, checkpoint: Checkpoint, written: Checkpoint, *, exact: bool) -> list[str]:
    there = tuple(written.tensors[path].read() for path in step.targets)
    here = {name: checkpoint.tensors[name].read() for name in step.sources}
    if exact:
        back = zip(step.sources, here.values(), step.inverse(there), strict=True)
        return [line for name, wanted, found in back if (line := difference(name, wanted, found))]
    again = zip(results(step, here), there, strict=True)
    unequal = [(result, found) for result, found in again if not result.equals(found)]
    return [line for result, found in unequal if (line := difference(result.path, result.whole(), found))]


def difference(name: str, wanted: Array, found: Array) -> str | None:
    """Returns where two arrays first differ in bits, or None."""
    if same_bits(wanted, found):
        return None
    ours, theirs = _bytes(wanted), _bytes(found)
    unequal = (ours != theirs).any(axis=-1)
    at = ", ".join(map(str, np.unravel_index(int(unequal.argmax()), wanted.shape)))
    first = f"[{at}] is {wanted.reshape(-1)[unequal.argmax()]} there and {found.reshape(-1)[unequal.argmax()]} here"
    return f"{name}: {int(unequal.sum())} of {wanted.size} elements differ; {first}"


def _bytes(array: Array) -> Array:
    """Elements as rows of bytes."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).reshape(flat.size, flat.dtype.itemsize)
