"""Why fresh weights are drawn otherwise: the scheme that the candidate's spread belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from parity.initial import deviations
from parity.report import Cause, Divergence
from parity.tolerance import critical

if TYPE_CHECKING:
    from parity.trial import Trial

BUILDS = 8
"""Fresh references that initial values are compared with."""


SAMPLED = 4.0
"""Standard deviations by which the spread of a sample may differ from that of its distribution."""


def initial(trial: Trial) -> tuple[Divergence, tuple[Cause, ...]] | None:
    """Names the first leaf whose fresh values are drawn otherwise, and the scheme that fits them.

    Args:
      trial: any example of the pair.

    Returns:
      Where, and the causes; None where every leaf is drawn alike.
    """
    session = trial.session
    if session.plan is None or session.pair is None:
        return None
    fresh = session.fresh_candidate(trial.inputs).state()
    builds = [session.fresh_reference(seed) for seed in range(BUILDS)]
    floating = {path: v for path, v in fresh.items() if path in builds[0] and v.dtype.kind not in "biu"}
    limit = critical(2 * len(floating) + 1)
    names = {path: step.sources[0] for step in session.plan.steps for path in step.targets}
    wrong = [p for p, v in floating.items() if any(d.sigmas > limit for d in deviations(builds, {p: v}) if p in d.name)]
    if not wrong:
        return None
    path = max(wrong, key=lambda p: (np.ndim(floating[p]), -wrong.index(p)))
    owner, where = names.get(path, "").rpartition(".")[0], path.removeprefix("params/").rpartition("/")[0]
    causes = tuple(_causes(owner, str(path), np.stack([b[path] for b in builds]), floating[path], trial))
    return Divergence("initial", owner, where, True), causes


def _causes(where: str, path: str, drawn: np.ndarray, got: np.ndarray, trial: Trial) -> Iterator[Cause]:
    """The scheme whose spread is the candidate's, or which side does not draw at all."""
    model = trial.session.reference.model
    kind = type(model.get_submodule(where)).__name__ if where else type(model).__name__
    fixed, flat = not np.ptp(drawn, axis=0).any(), not np.ptp(got)
    scheme = None if fixed or flat else _scheme(float(drawn.std()), got)
    if fixed or flat:
        start = _start(drawn[0], one=fixed and not np.ptp(drawn), fixed=fixed)
        detail = f"{path}: reference starts {start}, candidate {_start(got, one=flat)}"
    else:
        spreads = f"{path}: reference spread {float(drawn.std()):.4g}, candidate {float(got.std()):.4g}"
        detail = f"{spreads}: {scheme or 'another scheme'}"
    cause = "init-special-skipped" if fixed else _name(kind, scheme)
    yield Cause(cause, where, detail, 1.0 if scheme is not None or fixed or flat else 0.0)


def _name(kind: str, scheme: str | None) -> str:
    """The row of the catalogue, by the kind of the layer whose weights are drawn otherwise."""
    if "Embedding" in kind:
        return "init-embedding"
    if kind in ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"):
        return "init-rnn"
    return "init-fan-axis" if scheme == "uniform by the other axis" else "init-linear"


def _start(values: np.ndarray, *, one: bool, fixed: bool = False) -> str:
    """Where a leaf starts: at one number, at fixed ones, or at random ones."""
    if one:
        return f"at {float(values.flat[0]):.4g}" if values.flat[0] else "at zero"
    if fixed:
        return "at the same values every time"
    return f"at random, with spread {float(values.std()):.4g}"


def _scheme(expected: float, got: np.ndarray) -> str | None:
    """The name of the usual scheme whose spread is nearest, if a sample may have the one found; or orthogonal."""
    found, schemes = float(got.std()), _schemes(got.shape)
    name = min(schemes, key=lambda name: abs(found - schemes[name]), default=None)
    near = 0.1 * abs(found - expected), SAMPLED * (2 * got.size) ** -0.5 * schemes.get(name or "", 0.0)
    if name is not None and abs(found - schemes[name]) < min(near):
        return name
    return "orthogonal" if _orthogonal(got) else None


def _schemes(shape: tuple[int, ...]) -> Mapping[str, float]:
    """Usual spreads, by name."""
    if len(shape) < 2:
        return {}
    into, out = int(np.prod(shape[:-1])), shape[-1]
    return {
        "uniform by the other axis": (3 * out) ** -0.5,
        "lecun normal": into**-0.5,
        "he normal": (2 / into) ** 0.5,
        "glorot": (2 / (into + out)) ** 0.5,
        "normal by the features": out**-0.5,
        "standard normal": 1.0,
        "normal of deviation 0.02": 0.02,
    }


def _orthogonal(x: np.ndarray) -> bool:
    """Whether rows or columns are orthonormal."""
    if x.ndim != 2:
        return False
    small = x if x.shape[0] <= x.shape[1] else x.T
    return bool(np.allclose(small @ small.T, np.eye(len(small)), atol=1e-3))
