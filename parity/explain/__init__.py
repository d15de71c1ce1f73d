"""Why the sides part at the located module: named causes with their evidence, or what the error looks like.

Two kinds of evidence have to agree: the reference, recomputed with a suspected mistake, has to do what the candidate
does; and where the candidate's settings can be read, they rank what explains equally well. One file per family of
mistakes; what each can name is in `catalogue`.
"""

from __future__ import annotations

from collections.abc import Iterator

from parity.explain import (
    activation,
    arithmetic,
    attention,
    attributes,
    averages,
    discrete,
    discretisation,
    distribution,
    embedding,
    exchange,
    gathering,
    given,
    gradient,
    integers,
    iteration,
    kernels,
    layout,
    loss,
    means,
    mutation,
    noise,
    norm,
    optimizer,
    padding,
    parts,
    pooling,
    positions,
    precision,
    recurrent,
    shapes,
    signal,
    statistics,
    values,
)
from parity.explain.family import Family
from parity.explain.pattern import describe, factor
from parity.explain.probe import probes
from parity.explain.scene import Scene
from parity.explain.search import search
from parity.explain.suspect import Hypothesis
from parity.localise import Located
from parity.report import Cause

FAMILIES: tuple[Family, ...] = (
    norm.FAMILY,
    statistics.FAMILY,
    shapes.FAMILY,
    activation.FAMILY,
    pooling.FAMILY,
    padding.FAMILY,
    kernels.FAMILY,
    attention.FAMILY,
    positions.FAMILY,
    recurrent.FAMILY,
    embedding.FAMILY,
    loss.FAMILY,
    means.FAMILY,
    noise.FAMILY,
    distribution.FAMILY,
    optimizer.FAMILY,
    averages.FAMILY,
    layout.FAMILY,
    parts.FAMILY,
    discrete.FAMILY,
    integers.FAMILY,
    gathering.FAMILY,
    mutation.FAMILY,
    iteration.FAMILY,
    signal.FAMILY,
    discretisation.FAMILY,
    values.FAMILY,
    gradient.FAMILY,
    given.FAMILY,
    attributes.FAMILY,
    arithmetic.FAMILY,
    exchange.FAMILY,
    precision.FAMILY,
)
"""In the order in which equally good explanations are preferred."""

__all__ = ["FAMILIES", "Scene", "explain", "hypotheses"]


def explain(located: Located) -> tuple[tuple[Cause, ...], str]:
    """Names what makes a module diverge.

    Args:
      located: the module, with what both sides do there on the same input.

    Returns:
      Causes, best first; and what the error looks like.
    """
    scene = Scene.of(located)
    seen = describe(located.expected, located.observed)
    causes = search(scene, hypotheses(scene)) or tuple(probes(scene)) or tuple(values.returned(scene))
    causes = causes or search(scene, last_resort(scene))
    if not causes:
        ratio = factor(located.expected, located.observed)
        if ratio is not None:
            causes = (Cause("constant-factor", scene.name or scene.kind, f"{ratio:.6g} x the reference", 1.0),)
    return causes, seen


def hypotheses(scene: Scene) -> Iterator[Hypothesis]:
    """Every mistake that the calls of a scene leave room for."""
    gradients = scene.check not in ("forward", "buffers")
    if gradients:
        yield from gradient.RULES.suspects(scene)
    for family in FAMILIES:
        yield from family.suspects(scene)
    if gradients:
        yield from gradient.STOPS.suspects(scene)


def last_resort(scene: Scene) -> Iterator[Hypothesis]:
    """Mistakes without a name of their own: a factor, a lost value, a confused variable."""
    yield from arithmetic.FACTORS.suspects(scene)
    yield from values.CONFUSIONS.suspects(scene)
