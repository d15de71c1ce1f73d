"""The place where a failure was located: what both sides do there, and the reference recomputed under an edit."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch

from parity.backends.torch_rewrite import Op, listing, rewriting
from parity.backends.torch_trace import Edit, TorchRun, put_back
from parity.explain.settings import Reading, readings
from parity.explain.suspect import Suspect
from parity.localise import Located
from parity.record import Arrays, Record
from parity.tolerance import DEAD_SCALE, MODULE_BOUND
from parity.trace import ModuleCall
from parity.twins import Twin


@dataclass(frozen=True)
class Scene:
    """One located failure.

    Attributes:
      check: that failed.
      name: torch name of the module.
      kind: its class.
      expected: what the reference does.
      observed: what the candidate does on the same input.
      ops: torch functions that the reference calls there.
      suspected: those among them that lie in no module inside which is right by itself.
      readings: settings of the candidate's modules there.
      inputs: what the module is given, by leaf name.
      module: the reference's.
      rerun: the reference's answer under an edit, on some inputs.
      twin: both calls; None where no module is at work, but an optimizer alone.
      error: relative error of the candidate.
    """

    check: str
    name: str
    kind: str
    expected: Arrays
    observed: Arrays
    ops: tuple[Op, ...]
    suspected: tuple[Op, ...]
    readings: tuple[Reading, ...]
    inputs: Arrays
    module: torch.nn.Module
    rerun: Callable[[Edit, Arrays], Arrays]
    twin: Twin | None
    error: float

    @classmethod
    def of(cls, located: Located) -> Scene:
        """Lists what the reference calls at the located module, and reads the candidate's settings there."""
        twin, check = located.twin, located.divergence.check
        call = twin.reference
        calls = [c for c in located.reference.calls if c.name == call.name]
        gradients = check not in ("forward", "buffers")

        # What must not change is compared too: a fault of gradients or buffers leaves the outputs as they are.
        kept = {} if check == "forward" else twin.expected
        same = twin.own <= MODULE_BOUND
        seen = kept if same or not kept else twin.results(twin.forced.outputs)
        expected = {**kept, **located.expected}

        def rerun(edit: Edit, changed: Arrays) -> Arrays:
            if check == "buffers":
                records = _in_turn(calls, edit, changed)
                found = {**records[calls.index(call)].outputs, **records[-1].buffers}
            else:
                records = [_run(c, edit, changed, gradients) for c in (calls if gradients else [call])]
                found = {**records[0].outputs, **(_gradients(records) if gradients else {})}
            return {name: found[name] for name in expected if name in found}

        run = call.rerun
        assert isinstance(run, TorchRun)
        right = tuple(child.reference.name for child in twin.children)
        ops = _ops(call)
        inside = [twin.candidate, *located.candidate.inside(twin.candidate)]
        return cls(
            check,
            call.name,
            call.kind,
            expected,
            {**seen, **located.observed},
            ops,
            tuple(op for op in ops if not any(op.owner == name or op.owner.startswith(f"{name}.") for name in right)),
            readings((c.name, c.module) for c in inside),
            call.inputs,
            run.module,
            rerun,
            twin,
            located.divergence.error,
        )

    def under(self, suspect: Suspect) -> Arrays:
        """The reference's answer with a mistake made."""

        @contextmanager
        def edit() -> Generator[None]:
            with ExitStack() as stack:
                if suspect.around is not None:
                    stack.enter_context(suspect.around())
                if suspect.forward is not None:
                    stack.enter_context(patch.object(self.module, "forward", suspect.forward))
                stack.enter_context(rewriting(suspect.replacements))
                yield

        return self.rerun(edit, suspect.inputs(self.inputs) if suspect.inputs is not None else {})

    def candidate(self, inputs: Arrays) -> Arrays:
        """The candidate's outputs on other inputs, by the reference's names and in its layout."""
        assert self.twin is not None
        return self.twin.on(inputs)

    def reference(self, inputs: Arrays) -> Arrays:
        """The reference's outputs on other inputs."""
        return self.rerun(nullcontext, inputs)

    def on(self, inputs: Arrays) -> Scene:
        """The same place and both sides' outputs on other inputs."""

        def rerun(edit: Edit, changed: Arrays) -> Arrays:
            return self.rerun(edit, {**inputs, **changed})

        expected, observed = self.reference(inputs), self.candidate(inputs)
        return replace(self, inputs=inputs, expected=expected, observed=observed, rerun=rerun)

    def left(self, counterfactual: Arrays) -> float:
        """Share of the error that is left when the reference is recomputed so: 0 explains all of it."""
        before = mismatch(self.observed, self.expected)
        after = mismatch(self.observed, counterfactual)
        if np.isinf(before):  # other shapes: nothing but the same numbers explains them
            size = mismatch(self.observed, {name: np.zeros_like(value) for name, value in self.observed.items()})
            return after / size if size else 1.0
        return after / before if before else 1.0

    def residual(self, counterfactual: Arrays) -> np.ndarray:
        """Scaled difference of the candidate from a counterfactual, as one vector."""
        return np.concatenate([np.zeros(0), *_differences(self.observed, counterfactual)])


def mismatch(observed: Arrays, other: Arrays) -> float:
    """Distance in which every leaf counts by its own scale; inf where names or shapes differ."""
    if any(name not in other or other[name].shape != value.shape for name, value in observed.items()):
        return np.inf
    return float(np.sqrt(sum(float(np.sum(part**2)) for part in _differences(observed, other))))


def _differences(observed: Arrays, other: Arrays) -> list[np.ndarray]:
    """Scaled differences, leaf by leaf; a number against NaN or inf differs by one, and NaN is like NaN."""
    scales = {name: _scale(value, other[name]) for name, value in observed.items()}
    floor = DEAD_SCALE * max(scales.values(), default=0.0) or 1.0
    parts: list[np.ndarray] = []
    for name, value in observed.items():
        a, b = np.asarray(value).astype(np.complex128), np.asarray(other[name]).astype(np.complex128)
        both = np.isfinite(a) & np.isfinite(b)
        alike = (np.isnan(a) & np.isnan(b)) | (a == b)
        distance = np.abs(np.where(both, a, 0) - np.where(both, b, 0)) / max(scales[name], floor)
        parts.append(np.where(both, distance, np.where(alike, 0.0, 1.0)).ravel())
    return parts


def _scale(a: np.ndarray, b: np.ndarray) -> float:
    """Largest finite magnitude of two arrays."""
    found = [
        np.abs(x[np.isfinite(x)]) for x in (np.asarray(a).astype(np.complex128), np.asarray(b).astype(np.complex128))
    ]
    return max((float(x.max()) for x in found if x.size), default=0.0)


def _run(call: ModuleCall, edit: Edit, changed: Arrays, gradients: bool) -> Record:
    """One call of the reference under an edit."""
    assert isinstance(call.rerun, TorchRun)
    return call.rerun({**call.inputs, **changed}, call.output_cotangents if gradients else None, within=edit)


def _in_turn(calls: list[ModuleCall], edit: Edit, changed: Arrays) -> list[Record]:
    """All calls of one module under an edit, each with the buffers that the one before has left."""
    run = calls[0].rerun
    assert isinstance(run, TorchRun)
    with put_back(run.module):
        records: list[Record] = []
        for call in calls:
            records.append(_run(call, edit, changed, False))
            run.set_buffers(records[-1].buffers)
        return records


def _gradients(records: list[Record]) -> dict[str, np.ndarray]:
    """Gradients by the first call's arguments, and by the parameters over all calls."""
    total: dict[str, np.ndarray] = {}
    for record in records:
        for name, value in record.param_grads.items():
            total[name] = total[name] + value if name in total else value
    return {**records[0].input_grads, **total}


def _ops(call: ModuleCall) -> tuple[Op, ...]:
    """What a call of the reference calls in turn."""
    found: list[Op] = []
    run = call.rerun
    assert isinstance(run, TorchRun)

    @contextmanager
    def noting() -> Generator[None]:
        with listing(run.module, call.name) as ops:
            yield
        found.extend(ops)

    run(call.inputs, within=noting)
    return tuple(found)
