"""Proof of a weight mapping by gradients, for `weight-bridge verify --prove`.

Random weights show whether a mapping is right: outputs and the gradient of every leaf agree. They do not show what
is wrong, because one exchange spoils all gradients. Therefore parameters that a mapping could have exchanged are then
given the same values: outputs agree again, and each leaf's gradient is that of the tensor that belongs there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import weight_bridge
from parity._errors import ParityError, StructureMismatch
from parity.backends import Call
from parity.comparison import Comparison, compare_all
from parity.fitting import require_applied
from parity.layout import Layouts
from parity.record import Example
from parity.session import Session
from parity.tolerance import SAME_VALUES, VACUOUS, bound
from parity.trial import Trial
from parity.weights import perturb


def prove(
    decided: weight_bridge.Plan, source: Any, target: Any, inputs: tuple[Any, ...], *, layout: Any = None
) -> tuple[weight_bridge.Evidence, ...]:
    """Runs both models in float64 and compares the gradient of every leaf with that of the tensors it is made of.

    Args:
      decided: the plan that carries the weights.
      source: a `torch.nn.Module`.
      target: an NNX or Equinox module, `(linen module, inputs)`, or `(Haiku transformed, inputs)`.
      inputs: positional arguments in the reference's layout.
      layout: see `parity.compare`.

    Returns:
      Evidence for each leaf of the plan.

    Raises:
      weight_bridge.UsageError: the models cannot be run with these inputs and this layout.
    """
    try:
        return _evidence_of_runs(decided, source, target, inputs, layout)
    except ParityError as error:
        raise weight_bridge.UsageError(f"the models cannot be run side by side: {error}") from error


def _evidence_of_runs(
    decided: weight_bridge.Plan, source: Any, target: Any, inputs: tuple[Any, ...], layout: Any
) -> tuple[weight_bridge.Evidence, ...]:
    arrays = tuple(np.asarray(value) for value in inputs)
    session = Session.of_models(
        *(source, target, arrays),
        carry=decided,
        layouts=Layouts.of(layout),
        modes=("eval",),
        weights=perturb,
        call=Call(None, None),
        name=type(source).__name__,
    )
    trial = Trial(session, Example(arrays), "float64")
    require_applied(trial)
    try:
        outputs = compare_all(trial.reference("eval").outputs, trial.candidate("eval").outputs, "float64")
    except StructureMismatch as mismatch:
        return (weight_bridge.Evidence("outputs", None, str(mismatch)),)
    wrong = [found for found in outputs if not _right(found, "forward")]
    evidence = tuple(_evidence(trial, decided))
    if not wrong and not any(one.problem for one in evidence):
        return evidence
    exchanged = tuple(_exchanged(trial, decided))
    if exchanged:
        return exchanged
    outputs_line = tuple(weight_bridge.Evidence(one.name, None, _apart(one, "torch's")) for one in wrong)
    return outputs_line or evidence


def _right(found: Comparison, check: str) -> bool:
    return found.problem is None and found.error <= bound(check, "float64").limit


def _apart(found: Comparison, whose: str) -> str:
    return found.problem or (
        f"{found.error:.1e} from {whose}, and no exchange of leaves of one shape explains it; parity.compare locates it"
    )


def _evidence(trial: Trial, decided: weight_bridge.Plan) -> Iterator[weight_bridge.Evidence]:
    """What random weights show of every leaf."""
    expected, observed = trial.reference("eval").param_grads, trial.candidate("eval").param_grads
    largest = max((float(np.linalg.norm(value)) for value in expected.values()), default=0.0)
    first = {alias: name for name, aliases in trial.session.parameter_names().items() for alias in aliases}
    judged = {found.name: found for found in compare_all(expected, observed, "float64")}
    for step in decided.steps:
        names = [first[name] for name in step.sources if name in first]
        found = [judged[name] for name in names if name in judged]
        reached = all(name in expected and float(np.linalg.norm(expected[name])) > VACUOUS * largest for name in names)
        error = max((one.error for one in found), default=0.0) if found and reached else None
        bad = next((one for one in found if not _right(one, "param_grad")), None)
        problem = None if bad is None else f"the gradient of {bad.name} is {_apart(bad, 'that in torch')}"
        yield from (weight_bridge.Evidence(path, error, problem) for path in step.targets)


def _exchanged(trial: Trial, decided: weight_bridge.Plan) -> Iterator[weight_bridge.Evidence]:
    """The leaves whose gradient is another tensor's once all tensors that look alike hold the same values."""
    parameters = {alias for aliases in trial.session.parameter_names().values() for alias in aliases}
    steps = [step for step in decided.steps if set(step.sources) <= parameters]
    groups = [group for group in _alike(steps).values() if len(group) > 1]
    level = _levelled(trial, groups)
    expected = level.reference("eval").param_grads
    raw = level.raw_candidate("eval").param_grads
    for group in groups:
        mine = [step for step in group if all(path in raw for path in step.targets)]
        theirs = [step for step in group if all(name in expected for name in step.sources)]
        for step in mine:
            pulled = step.pullback(tuple(raw[path] for path in step.targets), level.state)
            fits = [other for other in theirs if _same(pulled, [expected[name] for name in other.sources])]
            if fits and step not in fits:
                planned, found = " + ".join(step.sources), " + ".join(fits[0].sources)
                line = (
                    f"planned from {planned}, but its gradient is that of {found}; a [[rule]] of --mapping can say so"
                )
                yield from (weight_bridge.Evidence(path, None, line) for path in step.targets)


def _alike(steps: list[weight_bridge.Step]) -> Mapping[Any, list[weight_bridge.Step]]:
    """Steps that could stand for each other: the same transform of tensors of the same shapes."""
    groups: dict[Any, list[weight_bridge.Step]] = {}
    for step in steps:
        groups.setdefault((str(step.transform), step.source_specs, step.target_specs), []).append(step)
    return groups


def _levelled(trial: Trial, groups: list[list[weight_bridge.Step]]) -> Trial:
    """The trial with the values of the first of each group in all of it."""
    state: dict[str, np.ndarray] = dict(trial.state)
    for group in groups:
        for step in group[1:]:
            state |= {name: trial.state[like] for name, like in zip(step.sources, group[0].sources, strict=True)}
    for first, aliases in trial.session.parameter_names().items():
        state |= dict.fromkeys(aliases, state[first])
    return replace(trial, given=(state, trial.inputs), found={})


def _same(some: tuple[np.ndarray, ...], others: list[np.ndarray]) -> bool:
    """Whether gradients are the same, and are not all zero."""
    pairs = list(zip(some, others, strict=True))
    size = sum(float(np.linalg.norm(other)) for _, other in pairs)
    return size > 0 and sum(float(np.linalg.norm(one - other)) for one, other in pairs) <= SAME_VALUES * size
