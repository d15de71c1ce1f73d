"""Tries hypotheses on a scene: the reference is recomputed with each mistake, and what fits the candidate is kept."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from parity.backends.torch_rewrite import Replace
from parity.explain.scene import Scene, mismatch
from parity.explain.settings import Agreement, agreement
from parity.explain.suspect import Dial, Hypothesis, Setting, Suspect
from parity.report import Cause
from parity.tolerance import EXACT, EXPLAINED, FITTED, MODULE_BOUND, NOISE, SAME_VALUES

REFUSED = (
    *(RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError),
    *(NotImplementedError, AttributeError),
)
"""What a recomputation may raise where the suspected mistake is impossible, such as an axis that is not there."""

UNNAMED = frozenset({"setting-differs", "softmax-temperature", "operand-dropped", "wrong-variable", "index-differs"})
"""Causes that say where but not what; a name for the same thing says more."""

MOST_RUNS = 1500
"""Recomputations per failure."""

MOST_SECONDS = 15.0
"""Processor time per failure: a reference that iterates is recomputed less often."""


MOST_CAUSES = 3
"""Causes that are shown."""

FEW = 8
"""Wrong elements that a number which is fitted to them may reproduce by chance."""

MOST_RANKED = 12
"""Explanations among which they are looked for."""


@dataclass(frozen=True)
class Verdict:
    """A suspicion and how it fared.

    Attributes:
      suspect: the mistake.
      left: share of the error that stays unexplained.
      agreement: what the candidate's own settings say.
      fitted: a number was searched for.
    """

    suspect: Suspect
    left: float
    agreement: Agreement
    fitted: bool = False


class Trials:
    """Recomputes the reference under suspicions, up to a number of runs."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.runs = 0
        self._started = time.process_time()

    def __call__(self, suspect: Suspect) -> float:
        """Share of the error that a mistake leaves unexplained; 1 where it cannot be made."""
        left = self.scene.left(self.answer(suspect))
        if not suspect.measured or not self._few or 1 - left < EXPLAINED:
            return left
        return max(left, self.elsewhere(suspect) or 0.0)

    def answer(self, suspect: Suspect) -> Mapping[str, np.ndarray]:
        """What the reference does under a mistake; nothing where it cannot be made."""
        self.runs += 1
        with warnings.catch_warnings(action="ignore"):  # what torch says of a mistake that nobody made is not for users
            try:
                found = self.scene.under(suspect)
            except REFUSED as refusal:
                return _impossible(refusal)
        observed = self.scene.observed
        alike = all(name in found and found[name].shape == value.shape for name, value in observed.items())
        return found if alike else {}

    def elsewhere(self, suspect: Suspect) -> float | None:
        """Share of the error that a mistake leaves unexplained on other inputs; None where they tell nothing more.

        A number that is fitted to an error of few elements reproduces them whatever it stands for, and some mistakes
        are like others on one example. Only the right one is on other inputs too.
        """
        there = self._there
        if there is None:
            return None
        self.runs += 1
        return there.left(Trials(there).answer(suspect))

    @cached_property
    def _few(self) -> bool:
        """Whether the error is of few elements; other sizes are an error of all."""
        scene = self.scene
        if np.isinf(mismatch(scene.observed, scene.expected)):
            return False
        return bool(np.count_nonzero(np.abs(scene.residual(scene.expected)) > MODULE_BOUND) <= FEW)

    @cached_property
    def _there(self) -> Scene | None:
        """The scene on other inputs, where these show the error too."""
        scene = self.scene
        if scene.check != "forward" or scene.twin is None:
            return None
        try:
            there = scene.on({name: _other(value) for name, value in scene.inputs.items()})
        except REFUSED:
            return None
        return there if mismatch(there.observed, there.expected) > MODULE_BOUND else None

    @property
    def spent(self) -> bool:
        """Whether no run or no time is left."""
        return self.runs >= MOST_RUNS or time.process_time() - self._started > MOST_SECONDS


def search(scene: Scene, hypotheses: Iterable[Hypothesis]) -> tuple[Cause, ...]:
    """Causes that explain a scene, best first.

    A mistake made everywhere is tried after those made in one place.

    Args:
      scene: what was located.
      hypotheses: mistakes to try, the likeliest first.

    Returns:
      Causes whose recomputation takes away enough of the error.
    """
    tried = Trials(scene)
    ordered = list(hypotheses)
    exact = max(EXACT, 1e2 * NOISE / max(scene.error, NOISE))
    found, dials = _judged(tried, ordered)
    if all(verdict.left > exact for verdict in found):  # numbers are fitted only where no mistake explains it all
        found += [_fitted(tried, *dial) for dial in dials if not tried.spent and dial[1].left > EXACT]
    if not any(_explains(v) and v.suspect.cause not in (*UNNAMED, "constant-differs") for v in found):
        more, wide = _judged(tried, _everywhere(ordered))
        found += more
        if not any(_explains(verdict) for verdict in found):
            found += [_fitted(tried, *dial) for dial in wide if not tried.spent and dial[1].left > EXACT]
    ranked = sorted(
        (v for v in found if _explains(v)),
        key=lambda v: (_decade(v.left, exact), *_plainness(v)),
    )
    return tuple(_cause(verdict, scene) for verdict in _told(tried, ranked[:MOST_RANKED], exact))


def _told(tried: Trials, ranked: list[Verdict], exact: float) -> list[Verdict]:
    """The best verdict, and those after it that say something different and that more than this example speaks for.

    Whatever is tried, some of it resembles the mistake that was made. So nothing stands beside an explanation that
    leaves nothing to explain but another such one, and nothing beside one that the candidate's settings confirm but
    what they confirm as well; and all of them hold on other inputs.
    """
    if not ranked:
        return []
    best = _steadiest(tried, ranked, exact)
    found = [(best, tried.answer(best.suspect))]
    size = mismatch(tried.scene.observed, tried.scene.expected)
    for verdict in ranked:
        answer = tried.answer(verdict.suspect)
        if _stands_beside(verdict, best, exact) and not any(
            (v.suspect.cause, v.suspect.where) == (verdict.suspect.cause, verdict.suspect.where)
            or mismatch(answer, other) <= SAME_VALUES * (size if np.isfinite(size) else 1.0)
            for v, other in found
        ):
            found.append((verdict, answer))
    confirmed = [v for v, _ in found[1:] if v.agreement == "agrees" or _holds(tried, v)]
    return [best, *confirmed][:MOST_CAUSES]


def _steadiest(tried: Trials, ranked: list[Verdict], exact: float) -> Verdict:
    """The best of those that explain a scene as well as the first, and that explain it on other inputs."""
    peers = [v for v in ranked if _decade(v.left, exact) == _decade(ranked[0].left, exact)]
    return next((v for v in peers if len(peers) > 1 and _holds(tried, v)), peers[0])


def _stands_beside(verdict: Verdict, best: Verdict, exact: float) -> bool:
    """Whether an explanation is worth telling after the best one."""
    if best.agreement == "agrees" and verdict.agreement != "agrees":
        return False
    return best.left > exact or verdict.left <= exact


def _holds(tried: Trials, verdict: Verdict) -> bool:
    """Whether an explanation is one on other inputs too."""
    left = tried.elsewhere(verdict.suspect)
    return left is not None and 1 - left >= EXPLAINED


def _judged(tried: Trials, hypotheses: Iterable[Hypothesis]) -> tuple[list[Verdict], list[tuple[Dial, Verdict]]]:
    """Each hypothesis in turn, as long as there are runs; numbers with the best of their guesses."""
    found: list[Verdict] = []
    dials: list[tuple[Dial, Verdict]] = []
    for hypothesis in hypotheses:
        if tried.spent:
            break
        if isinstance(hypothesis, Dial):
            dials.append((hypothesis, _guessed(tried, hypothesis)))
            found.append(dials[-1][1])
        else:
            left = tried(hypothesis)
            found.append(Verdict(hypothesis, left, agreement(hypothesis.setting, tried.scene.readings)[0]))
    return found, dials


def _explains(verdict: Verdict) -> bool:
    return 1 - verdict.left >= (FITTED if verdict.fitted else EXPLAINED)


def _plainness(verdict: Verdict) -> tuple[bool, int, bool]:
    """What is preferred among equally good explanations: one with a name, one that was read, one without a fit."""
    says = ("agrees", "silent", "contradicts").index(verdict.agreement)
    return verdict.suspect.cause in UNNAMED, says, verdict.fitted


def _decade(left: float, exact: float) -> float:
    """Which explanations are as good as each other."""
    return 0.0 if left <= exact else float(np.ceil(np.log10(left / exact)))


def _guessed(tried: Trials, dial: Dial) -> Verdict:
    """The best among the values that the candidate carries and usual ones."""
    probe = dial.at(dial.reference)
    read = [r.value for r in tried.scene.readings if _could_be(r.value) and agreement_name(probe.setting, r.name)]
    guesses = dict.fromkeys(
        float(v) for v in (*read, *dial.guesses) if not np.isclose(v, dial.reference, rtol=1e-9, atol=0)
    )
    scores = {value: tried(dial.at(value)) for value in guesses}
    best = min(scores, key=lambda value: scores[value], default=dial.reference)
    suspect = dial.at(best)
    return Verdict(suspect, scores.get(best, 1.0), agreement(suspect.setting, tried.scene.readings)[0])


def _fitted(tried: Trials, dial: Dial, guess: Verdict) -> Verdict:
    """The best value of all, searched for from the best guess."""
    setting = guess.suspect.setting
    start = setting.suspected if guess.left < 1.0 and setting is not None else dial.reference
    refined = _refined(tried, dial, float(start))
    score = tried(dial.at(refined))
    if score >= guess.left:
        return guess
    best, left = _rounded(tried, dial, refined, score)
    suspect = dial.at(best)
    return Verdict(suspect, left, agreement(suspect.setting, tried.scene.readings)[0], True)


def _refined(tried: Trials, dial: Dial, start: float) -> float:
    """Gauss-Newton on one number."""
    scale: Callable[[float], float] = (lambda t: float(np.exp(t))) if dial.positive and start > 0 else (lambda t: t)
    t = float(np.log(start)) if dial.positive and start > 0 else start
    for _ in range(12):
        step = 1e-4 * max(abs(t), 1e-3)
        here, there = (tried.answer(dial.at(scale(u))) for u in (t, t + step))
        if not here or not there:
            return scale(t)
        r = tried.scene.residual(here)
        slope = (tried.scene.residual(there) - r) / step
        power = float(slope @ slope)
        if not power or not np.isfinite(power):
            return scale(t)
        move = -float(slope @ r) / power
        t += float(np.clip(move, -3.0, 3.0)) if dial.positive else move
        if abs(move) < 1e-12 * max(abs(t), 1e-3):
            break
    return scale(t)


def _rounded(tried: Trials, dial: Dial, value: float, left: float) -> tuple[float, float]:
    """The value with the fewest digits that explains as much."""
    for digits in range(1, 8):
        short = float(f"{value:.{digits - 1}e}")
        score = tried(dial.at(short))
        if score <= max(10 * left, EXACT):
            return short, score
    return value, left


def _everywhere(hypotheses: list[Hypothesis]) -> Iterator[Hypothesis]:
    """Mistakes of one kind in all places at once."""
    groups: dict[tuple[str, str, str], list[Hypothesis]] = defaultdict(list)
    for h in hypotheses:
        if isinstance(h, Dial):
            groups["dial", str(h.cause) if isinstance(h.cause, str) else h.name, f"{h.name} {h.detail}"].append(h)
        elif h.replacements:
            groups["one", h.cause, f"{h.detail} {h.setting and h.setting.suspected}"].append(h)
    for members in groups.values():
        dials = [h for h in members if isinstance(h, Dial)]
        ones = [h for h in members if isinstance(h, Suspect)]
        if len(dials) > 1:

            def build(value: float, dials: list[Dial] = dials) -> dict[int, Replace]:
                return {place: r for d in dials for place, r in d.build(value).items()}

            yield replace(dials[0], build=build, where=_around(d.where for d in dials))
        elif len(ones) > 1:
            merged = {place: r for h in ones for place, r in h.replacements.items()}
            yield replace(ones[0], replacements=merged, where=_around(h.where for h in ones))


def _around(names: Iterable[str]) -> str:
    """The module around some modules."""
    parts = [name.split(".") for name in names]
    shared = [level[0] for level in zip(*parts, strict=False) if len(set(level)) == 1]
    return ".".join(shared)


def _cause(verdict: Verdict, scene: Scene) -> Cause:
    """The verdict in words."""
    suspect = verdict.suspect
    says, reading = agreement(suspect.setting, scene.readings)
    detail = suspect.detail
    if suspect.setting is not None:
        detail = ": ".join(filter(None, (detail, _settings(suspect.setting, says, reading and reading.name))))
    return Cause(suspect.cause, suspect.where or scene.name or scene.kind, detail, 1 - verdict.left)


def _settings(setting: Setting, says: Agreement, name: str | None) -> str:
    """Both sides' setting."""
    reference = f"reference {setting.name}={_text(setting.reference)}"
    if says == "agrees":
        return f"{reference}, candidate {name}={_text(setting.suspected)}"
    return f"{reference}, candidate behaves as with {setting.name}={_text(setting.suspected)}"


def _text(value: object) -> str:
    if isinstance(value, torch.Tensor) and value.ndim:
        return f"{'x'.join(map(str, value.shape))} values"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _could_be(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def agreement_name(setting: Setting | None, name: str) -> bool:
    """Whether an attribute of that name could hold the setting."""
    from parity.explain.settings import ALIASES

    return setting is not None and name in ALIASES.get(setting.name, (setting.name,))


def _other(value: np.ndarray) -> np.ndarray:
    """Other values of the same sign and range: smaller numbers, and the others in another order."""
    if value.dtype.kind not in "fc":
        return np.roll(value, 1)
    return value * np.random.default_rng(0).uniform(0.1, 1.0, value.shape)


def _impossible(refusal: Exception) -> Mapping[str, np.ndarray]:
    """The empty answer of a recomputation that torch refuses: the mistake cannot be made there."""
    del refusal
    return {}
