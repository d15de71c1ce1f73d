"""Keys that are not fresh: which modules draw with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report import Cause, Divergence

if TYPE_CHECKING:
    from parity.trial import Trial
    from parity.twins import Twin


def keys(trial: Trial) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """Names the modules whose draws share a key, or have the same one at every call.

    Args:
      trial: any example of a pair that draws in training mode.

    Returns:
      Where, and the causes; None where every key is fresh.
    """
    from parity.checks.randomness import stale_keys
    from parity.localise import trace

    drawn = trial.reference("train").draws
    requests = trial.session.candidate.requests_of(True, drawn) if trial.candidate("train") else ()
    found = [stale for stale in stale_keys(trial, requests) if stale.draws] if drawn else []
    if not found:
        return None
    first = found[0]
    root = trace(trial, "train", "float64").root
    twins = [_drawing(root, requests[index].source) for index in first.draws]
    name = _shared([twin.reference.name for twin in twins], ".")
    path = _shared([twin.candidate.name for twin in twins], "/")
    cause = "dropout-key-frozen" if first.frozen else "dropout-key-reuse"
    return Divergence("randomness", name, path, True), (Cause(cause, name or root.reference.kind, first.text, 1.0),)


def _drawing(root: Twin, source: int | None) -> Twin:
    """The pair that makes a draw of the reference: the last one to begin before it."""
    from parity.backends.torch_trace import TorchRun

    found = root
    for twin in sorted(root.all(), key=lambda t: t.reference.order):
        run = twin.reference.rerun
        if source is not None and isinstance(run, TorchRun) and len(run.drawn) <= source:
            found = twin
    return found


def _shared(names: list[str], separator: str) -> str:
    """The module around some modules; a single one is itself."""
    parts = [name.split(separator) for name in names]
    same: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        same.append(level[0])
    return separator.join(same)
