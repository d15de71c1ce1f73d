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
from parity.tolerance import EXPLAINED, SAME_VALUES


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
        narrow = scene.twin.narrow()
        origins = {origin for _, origin in narrow}
        words = " and ".join(sorted({form for form, _ in narrow})) or "a narrower format"
        cause, detail = "f32-island-in-f64", f"part of it is in {words}: the error vanishes when all is in float64"
        if "a table" in origins and "a value" not in origins:
            cause, detail = "table-low-precision", f"a table is in {words}: the error vanishes when it is in float64"
        yield Cause(cause, scene.name or scene.kind, detail, _gone(scene, wide))


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
    """Share of the error that is gone; what is not recomputed, such as a choice, is as wrong as it was."""
    left = _error(scene.expected, {**scene.observed, **found})
    return 1 - left / scene.error if np.isfinite(left) else 0.0


def _error(expected: Arrays, found: Arrays) -> float:
    return max((comparison.error for comparison in compare_all(expected, found, "float64")), default=0.0)
