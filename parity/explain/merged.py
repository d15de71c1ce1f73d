"""Parameters that are several leaves in the reference and one in the candidate: equal outputs, other steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.report import Cause, Divergence

if TYPE_CHECKING:
    from parity.trial import Trial


def merged(trial: Trial, worst: str) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """Locates a leaf that trains otherwise, and says whether it stands for several parameters of the reference.

    Args:
      trial: any example of the pair.
      worst: what a trajectory names as worst: a path of the candidate, then the optimizer and the step.

    Returns:
      Where, and the cause if there is one; None where the path is unknown.
    """
    path, plan = worst.split(" (")[0], trial.session.plan
    step = next((step for step in plan.steps if path in step.targets), None) if plan is not None else None
    if step is None:
        return None
    where = path.removeprefix("params/").rpartition("/")[0]
    name = step.sources[0].rpartition(".")[0]
    causes: tuple[Cause, ...] = ()
    if len(step.sources) > 1 and len(step.targets) == 1:
        detail = f"{path} stands for the sum of {' and '.join(step.sources)}, each of which takes a step of its own"
        if all("bias" in source for source in step.sources):
            causes = (Cause("lstm-bias-merged-training", name, detail, 1.0),)
    return Divergence("trajectory", name, where, True), causes
