"""The spine: every fault into every pair that it applies to; common practice, then the gate, then the score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from parity.explore import Case
from parity.faults.equivalence import equivalent
from parity.faults.fault import Fault
from parity.faults.gate import Bench
from parity.faults.injection import faulty
from parity.faults.practice import accepts
from parity.faults.score import Outcome, Score
from parity.formats import Precision
from parity.pair import Pair
from parity.session import Session

PRECISIONS: tuple[Precision, ...] = ("float64", "float32", "bfloat16")
"""In this order a fault meets the gate; only what the first lets pass meets the second."""


def run(
    pairs: Iterable[Pair],
    faults: Sequence[Fault],
    *,
    candidate: str = "nnx",
    examples: int = 6,
    progress: Callable[[Outcome], None] | None = None,
) -> Score:
    """Injects faults and scores what happens.

    Args:
      pairs: correct pairs; those without such a candidate are passed over.
      faults: what to inject.
      candidate: into which of a pair's candidates.
      examples: per configuration.
      progress: told about every outcome.

    Returns:
      The score.
    """
    outcomes: list[Outcome] = []
    accused: list[str] = []
    for pair in pairs:
        if candidate not in pair.candidates:
            continue
        sites = _sites(pair, faults, candidate)
        if not sites:
            continue
        bench = Bench.of(pair, candidate, examples=examples)
        accused += _accusations(bench)
        session = bench.session()
        for fault, where in sites:
            outcomes.append(_outcome(bench, session, fault, where))
            if progress is not None:
                progress(outcomes[-1])
    return Score(tuple(outcomes), tuple(accused))


def _sites(pair: Pair, faults: Sequence[Fault], candidate: str) -> list[tuple[Fault, str]]:
    """Faults that apply to a pair, and where."""
    own = [fault for fault in faults if any(other is pair for other in fault.pairs)]
    anywhere = [fault for fault in faults if not fault.pairs]
    found = [(fault, fault.where) for fault in own if fault.where is not None]
    searching = [fault for fault in (*own, *anywhere) if fault.where is None]
    if searching:
        config = _simplest(pair).config
        model = pair.candidates[candidate](config)
        found += [(fault, path) for fault in searching if (path := fault.site(model)) is not None]
    return found


def _simplest(pair: Pair) -> Case:
    from parity.explore import Budget, cases

    return cases(pair, Budget(1, 1))[0]


def _accusations(bench: Bench) -> list[str]:
    """Checks that fail on the correct pair, over the examples that its faults will meet."""
    found: list[str] = []
    for precision in PRECISIONS:
        report = bench.judge(bench.pair, precision)
        if report is not None:
            failed = ", ".join(result.check for result in report.results if not result.ok)
            found.append(f"{bench.pair.name} in {precision}: {failed}")
    return found


def _outcome(bench: Bench, session: Session, fault: Fault, where: str) -> Outcome:
    """One fault in one pair."""
    start = time.perf_counter()
    broken = faulty(bench.pair, fault, bench.label)
    accepted = accepts(session, broken, bench.ordinary[1])
    report = None
    for precision in PRECISIONS:
        report = bench.judge(broken, precision, fault.checks)
        if report is not None:
            break
    outcome = Outcome.of(fault, bench.pair.name, where, accepted, report)
    same = report is None and equivalent(bench, broken)
    return _timed(outcome, same, time.perf_counter() - start)


def _timed(outcome: Outcome, same: bool, seconds: float) -> Outcome:

    return replace(outcome, equivalent=same, seconds=round(seconds, 3))
