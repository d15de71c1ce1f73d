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
    """The scheme whose spread is the candidate's."""
    model = trial.session.reference.model
    kind = type(model.get_submodule(where)).__name__ if where else type(model).__name__
    expected, found = float(drawn.std()), float(got.std())
    names = [name for name, spread in _schemes(got.shape).items() if abs(found - spread) < 0.1 * abs(found - expected)]
    if not names and _orthogonal(got):
        names = ["orthogonal"]
    scheme = names[0] if names else "another scheme"
    detail = f"{path}: reference spread {expected:.4g}, candidate {found:.4g}: {scheme}"
    if not expected:
        start, other = float(drawn.flat[0]), f"at {got.flat[0]:.4g}" if not found else f"with spread {found:.4g}"
        start = "zero" if not start else f"{start:.4g}"
        cause, detail = "init-special-skipped", f"{path}: reference starts at {start}, candidate {other}"
    elif "Embedding" in kind:
        cause = "init-embedding"
    elif kind in ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"):
        cause = "init-rnn"
    else:
        cause = "init-fan-axis" if scheme == "uniform by the other axis" else "init-linear"
    yield Cause(cause, where, detail, 1.0 if names or not expected else 0.0)


def _schemes(shape: tuple[int, ...]) -> Mapping[str, float]:
    """Usual spreads, by name."""
    if len(shape) < 2:
        return {"zero": 0.0}
    into, out = int(np.prod(shape[:-1])), shape[-1]
    return {
        "uniform by the other axis": (3 * out) ** -0.5,
        "lecun normal": into**-0.5,
        "he normal": (2 / into) ** 0.5,
        "glorot": (2 / (into + out)) ** 0.5,
        "normal by the features": out**-0.5,
        "standard normal": 1.0,
        "0.02": 0.02,
        "zero": 0.0,
    }


def _orthogonal(x: np.ndarray) -> bool:
    """Whether rows or columns are orthonormal."""
    if x.ndim != 2:
        return False
    small = x if x.shape[0] <= x.shape[1] else x.T
    return bool(np.allclose(small @ small.T, np.eye(len(small)), atol=1e-3))
