"""The spine: every fault into every pair that it applies to; common practice, then the gate, then the score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType

import weight_bridge
from parity._errors import StructureMismatch
from parity.backends.construction import constructed
from parity.checks import CHECKS
from parity.explore import Budget, Case, cases
from parity.faults.equivalence import equivalent
from parity.faults.fault import Fault
from parity.faults.gate import Bench, Remark, Verdict
from parity.faults.injection import faulty
from parity.faults.kept import Known
from parity.faults.practice import accepts
from parity.faults.score import Outcome, Score
from parity.formats import Precision
from parity.pair import Pair
from parity.session import Session

PRECISIONS: tuple[Precision, ...] = ("float64", "float32", "bfloat16")
"""In this order a fault meets the gate; only what the first lets pass meets the second."""


NUMERIC = frozenset({"forward", "input_grad", "param_grad", "buffers", "loop", "special", "second_order", "dtypes"})
"""Checks that compare numbers or formats of one call or a few; what only others can see is not judged by those."""


def run(
    pairs: Iterable[Pair],
    faults: Sequence[Fault],
    *,
    candidate: str = "nnx",
    examples: int = 6,
    progress: Callable[[Outcome], None] | None = None,
    known: Known = MappingProxyType({}),
) -> Score:
    """Injects faults and scores what happens.

    Args:
      pairs: correct pairs; those without such a candidate are passed over.
      faults: what to inject.
      candidate: into which of a pair's candidates.
      examples: per configuration.
      progress: told about every new outcome.
      known: outcomes of an earlier run, which are taken over.

    Returns:
      The score.
    """
    import jax

    outcomes: list[Outcome] = []
    accused: list[str] = []
    for pair in pairs:
        if candidate not in pair.candidates:
            continue
        sites = _sites(pair, faults, candidate)
        outcomes += [known[fault.id, pair.name] for fault, _ in sites if (fault.id, pair.name) in known]
        sites = [(fault, where) for fault, where in sites if (fault.id, pair.name) not in known]
        if not sites:
            continue
        bench = _bench(pair, candidate, examples, [fault for fault, _ in sites])
        said: dict[Precision, Verdict] = {}
        try:
            session = bench.session()
        except (StructureMismatch, weight_bridge.WeightBridgeError) as problem:
            accused.append(f"{pair.name}: {problem}")
            continue
        for fault, where in sites:
            outcomes.append(_outcome(bench, session, said, fault, where))
            if progress is not None:
                progress(outcomes[-1])
        accused += _accusations(bench, said)
        jax.clear_caches()  # no other pair meets these programs again, and there are thousands
    return Score(tuple(outcomes), tuple(accused))


def _sites(pair: Pair, faults: Sequence[Fault], candidate: str) -> list[tuple[Fault, str]]:
    """Faults that apply to a pair, and where."""
    own = [fault for fault in faults if any(other is pair for other in fault.pairs)]
    anywhere = [fault for fault in faults if not fault.pairs]
    found = [(fault, fault.where) for fault in own if fault.where is not None]
    searching = [fault for fault in (*own, *anywhere) if fault.where is None]
    if searching:
        config = _simplest(pair).config
        model = constructed(lambda: pair.candidates[candidate](config))
        found += [(fault, path) for fault in searching if (path := fault.site(model)) is not None]
    return found


def _bench(pair: Pair, candidate: str, examples: int, faults: Sequence[Fault]) -> Bench:
    """A pair with the checks that its faults are expected to fail, as far as it passes them itself."""
    bench = Bench.of(pair, candidate, examples=examples)
    expected = {name for fault in faults for name in fault.checks} - {*pair.checks, *pair.exempt}
    asked = [check.name for check in CHECKS if check.name in expected]
    passed = [name for name in asked if bench.judge(replace(pair, checks=(name,)), "float64").report is None]
    return replace(bench, pair=replace(pair, checks=(*pair.checks, *passed)))


def _simplest(pair: Pair) -> Case:
    return cases(pair, Budget(1, 1))[0]


def _accusations(bench: Bench, said: dict[Precision, Verdict]) -> list[str]:
    """Checks that fail on the correct pair, over the examples that its faults meet."""
    return [
        f"{bench.pair.name} in {precision}: {', '.join(r.check for r in verdict.report.results if not r.ok)}"
        for precision, verdict in said.items()
        if verdict.report is not None
    ]


def _outcome(bench: Bench, session: Session, said: dict[Precision, Verdict], fault: Fault, where: str) -> Outcome:
    """One fault in one pair."""
    start = time.perf_counter()
    broken = faulty(bench.pair, fault, bench.label)
    outcome = Outcome.of(fault, bench.pair.name, where, accepts(session, broken, *bench.ordinary))
    remarks: list[Remark] = []
    for precision in PRECISIONS:
        if precision not in said:
            said[precision] = bench.judge(bench.pair, precision)
        if said[precision].report is not None:
            break  # a gate that accuses the correct pair proves nothing
        verdict = bench.judge(broken, precision, fault.checks)
        if verdict.report is not None:
            outcome = outcome.failed(fault, verdict.report)
            break
        remarks += sorted(verdict.remarks - said[precision].remarks)
    if not outcome.caught and remarks:
        outcome = outcome.remarked(fault, remarks[0])
    same = not outcome.caught and NUMERIC.issuperset(fault.checks) and equivalent(bench, broken)
    return replace(outcome, equivalent=same, seconds=round(time.perf_counter() - start, 3))
