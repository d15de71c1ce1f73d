"""Parameters that are several on one side and one on the other: equal outputs, other steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parity.report import Cause, Divergence

if TYPE_CHECKING:
    from parity.trial import Trial
    from weight_bridge import Step


def merged(trial: Trial, worst: str) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """Locates a leaf that trains otherwise, and says whether it stands for several parameters, or is one of several.

    Args:
      trial: any example of the pair.
      worst: what a trajectory names as worst: a path of the candidate, or what is remembered of a name of the
        reference; then the optimizer and the step.

    Returns:
      Where, and the cause if there is one; None where the path is unknown.
    """
    path, plan = worst.split(" (")[0], trial.session.plan
    step = next((step for step in plan.steps if path in step.targets), None) if plan is not None else None
    name = path.rpartition(" of ")[2] if step is None else step.sources[0]
    apart = _apart(trial, name)
    if apart is not None:
        return apart
    if step is None:
        return None
    where = path.removeprefix("params/").rpartition("/")[0]
    name = step.sources[0].rpartition(".")[0]
    causes: tuple[Cause, ...] = ()
    if _is_sum(step, path) and all("bias" in source for source in step.sources):
        detail = f"{path} stands for the sum of {' and '.join(step.sources)}, each of which takes a step of its own"
        causes = (Cause("lstm-bias-merged-training", name, detail, 1.0),)
    return Divergence("trajectory", name, where, True), causes


def _is_sum(step: Step, path: str) -> bool:
    """Whether a leaf, which may be one of several slices, is the sum of a step's sources."""
    ones = {name: np.ones(spec.shape) for name, spec in zip(step.sources, step.source_specs, strict=True)}
    leaf = dict(zip(step.targets, step.apply(ones), strict=True))[path]
    return len(step.sources) > 1 and bool((leaf == len(step.sources)).all())


def _apart(trial: Trial, name: str) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """A parameter that the reference has under several names, and the candidate as leaves that train apart."""
    from parity.localise import trace

    session = trial.session
    assert session.plan is not None
    aliases = next((names for names in session.parameter_names().values() if name in names), ())
    trained = session.candidate.parameters()
    leaves = [path for s in session.plan.steps if set(s.sources) <= set(aliases) for path in s.targets]
    leaves = [path for path in dict.fromkeys(leaves) if path in trained]
    if len(aliases) < 2 or len(leaves) < 2:
        return None
    twins = trace(trial, "train" if session.modes[-1] == "train" else "eval", "float64").root.all()
    around = [twin for twin in twins if all(_inside(path, twin.candidate.name) for path in leaves)]
    deepest = max(around, key=lambda twin: len(twin.candidate.name))
    detail = f"{' and '.join(leaves)} train apart; in the reference they are one parameter"
    where = deepest.reference.name
    cause = Cause("tied-weights-untied", where or deepest.reference.kind, detail, 1.0)
    return Divergence("trajectory", where, deepest.candidate.name, True), (cause,)


def _inside(path: str, module: str) -> bool:
    return not module or path.removeprefix("params/").startswith(f"{module}/")
