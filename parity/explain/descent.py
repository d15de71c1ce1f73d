"""Optimizers that part on the same gradients: no module is to blame, and the settings say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from parity.comparison import compare_all
from parity.explain import optimizer
from parity.explain.scene import Scene
from parity.explain.search import search
from parity.optimizers import DEFAULT_OPTIMIZERS
from parity.report import Cause, Divergence
from parity.tolerance import FLOAT64_DEFAULT
from parity.training import Run

if TYPE_CHECKING:
    from parity.explain.suspect import Edit
    from parity.record import Arrays
    from parity.trial import Trial

SHOWN = (1, 2, 5, 10, 20)
"""Steps after which the updates are compared."""


def descent(trial: Trial) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """Finds the first optimizer of a pair that moves otherwise on the reference's own gradients, and names why.

    Args:
      trial: any example of the pair.

    Returns:
      The model as a whole, and the causes that were found; None where all optimizers agree.
    """
    pair, mode = trial.session.pair, trial.session.modes[-1]
    for optimizers in pair.optimizers if pair is not None else DEFAULT_OPTIMIZERS:
        run = Run.of(trial, mode, optimizers)
        expected, observed, error, bound = _updates(run)
        if error > bound:
            scene = _scene(run, expected, observed, error)
            pattern = f"{optimizers.name} differs on the same gradients"
            causes = search(scene, optimizer.FAMILY.suspects(scene))
            return Divergence("trajectory", "", "", True, error, pattern), causes
    return None


def _updates(run: Run) -> tuple[Arrays, Arrays, float, float]:
    """Updates of both sides since the start; the error of the first step that is wrong, and its bound."""
    sides: tuple[dict[str, Arrays], dict[str, Arrays]] = {}, {}
    error, bound = 0.0, FLOAT64_DEFAULT
    for index, (expected, observed) in enumerate(run.alone()):
        step, slack = index + 1, run.slack(index)
        if step in SHOWN:
            sides[0][f"step {step}"], sides[1][f"step {step}"] = expected, observed
        for found in compare_all(expected, observed, "float64"):
            limit = FLOAT64_DEFAULT + slack[found.name]
            if found.error > limit and error <= bound:
                error, bound = found.error, limit
    return _flat(sides[0]), _flat(sides[1]), error, bound


def _scene(run: Run, expected: Arrays, observed: Arrays, error: float) -> Scene:
    """The reference's optimizer on its recorded gradients, as a place where mistakes are tried."""

    def rerun(edit: Edit, changed: Arrays) -> Arrays:
        del changed
        with edit():
            steps = {f"step {step}": moved for step, moved in enumerate(run.repeated(), 1) if step in SHOWN}
        updates = _flat(steps)
        return {name: updates[name] for name in expected}

    name = f"the optimizer {run.optimizers.name}"
    return Scene("trajectory", "", name, expected, observed, (), (), (), {}, torch.nn.Identity(), rerun, None, error)


def _flat(steps: dict[str, Arrays]) -> Arrays:
    return {f"{path} after {step}": value for step, moves in steps.items() for path, value in moves.items()}
