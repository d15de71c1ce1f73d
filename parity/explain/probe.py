"""Evidence from the other side: the candidate's own module, computed without what is suspected.

Rounding cannot be recomputed in the reference digit by digit. Where the error is one of digits, or where the candidate
has a derivative written by hand, the candidate is recomputed instead, and the share of its error that vanishes is the
evidence.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.comparison import compare_all
from parity.explain.scene import Scene
from parity.explain.search import REFUSED
from parity.record import Arrays
from parity.report import Cause
from parity.tolerance import EXPLAINED, MODULE_BOUND, SAME_VALUES


def probes(scene: Scene) -> Iterator[Cause]:
    """Causes whose removal from the candidate takes its error away.

    Args:
      scene: what was located.

    Yields:
      Those that explain enough.
    """
    for probe in (_narrow, _by_hand, _offset):
        try:
            yield from (cause for cause in probe(scene) if cause.explains >= EXPLAINED)
        except REFUSED as refusal:
            del refusal  # the candidate cannot be computed so: no evidence either way


def _narrow(scene: Scene) -> Iterator[Cause]:
    """Formats with fewer digits."""
    if scene.check == "forward" and scene.twin is not None and scene.error > 0:
        wide = scene.twin.otherwise(widened=True).outputs
        kind = "f32-island-in-f64" if _depends(scene) else "table-low-precision"
        yield Cause(
            kind, scene.name or scene.kind, "the error vanishes when all is computed in float64", _gone(scene, wide)
        )


def _depends(scene: Scene) -> bool:
    """Whether numbers beyond float32 are lost on the way from the arguments, rather than in a table."""
    floating = {n: v for n, v in scene.inputs.items() if v.dtype.kind == "f"}
    rounded = {n: v.astype(np.float32).astype(np.float64) for n, v in floating.items()}
    before, after = scene.candidate(scene.inputs), scene.candidate({**scene.inputs, **rounded})
    return all(c.error <= MODULE_BOUND for c in compare_all(before, after, "float64"))


def _by_hand(scene: Scene) -> Iterator[Cause]:
    """Derivatives written by hand."""
    if scene.check not in ("forward", "buffers") and scene.twin is not None:
        plain = scene.twin.otherwise(plain=True, gradients=True).input_grads
        some = {name: value for name, value in scene.expected.items() if name in plain}
        error, left = (_error(some, {n: found[n] for n in some}) for found in (scene.observed, plain))
        detail = "the gradient is right when a derivative written by hand is left out"
        yield Cause("custom-vjp-cotangent", scene.name or scene.kind, detail, 1 - left / error if error else 0.0)


def _offset(scene: Scene) -> Iterator[Cause]:
    """Digits lost to a common offset, to which the reference is blind."""
    centred = {n: v - v.mean() for n, v in scene.inputs.items() if v.dtype.kind == "f"}
    if scene.check != "forward" or not centred or scene.error > SAME_VALUES:
        return
    inputs = {**scene.inputs, **centred}
    reference, candidate = scene.reference(inputs), scene.candidate(inputs)
    if _error(scene.expected, reference) <= scene.error:
        left = _error(reference, {name: candidate[name] for name in reference})
        detail = "the error vanishes when the common offset of the input does: a variance as a difference of squares"
        yield Cause("one-pass-variance", scene.name or scene.kind, detail, 1 - left / scene.error)


def _gone(scene: Scene, found: Arrays) -> float:
    """Share of the error that is gone."""
    some = {name: value for name, value in scene.expected.items() if name in found}
    return 1 - _error(some, {name: found[name] for name in some}) / scene.error


def _error(expected: Arrays, found: Arrays) -> float:
    return max((comparison.error for comparison in compare_all(expected, found, "float64")), default=0.0)
