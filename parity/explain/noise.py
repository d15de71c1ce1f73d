"""Dropout on the same random numbers: rate, scale, what is dropped together, in which mode."""

from __future__ import annotations

from collections.abc import Iterator

from parity.backends.torch_rewrite import Op
from parity.explain.suspect import Family, Hypothesis, Setting, at, dialled


def dropout(op: Op) -> Iterator[Hypothesis]:
    """Mistakes of dropout."""
    p, training = float(op.given.get("p", 0.5)), bool(op.given.get("training", True))
    if not training:
        setting = Setting("training", False, True)
        yield at(op, "dropout-in-eval", lambda o: o.again(training=True), "dropout in eval mode", setting)
        yield at(op, "dropout-eval-scaled", lambda o: o.args[0] * (1 - p), "scaled by 1 - p in eval mode")
        return
    yield at(
        op,
        "dropout-keep-vs-drop",
        lambda o: o.again(p=1 - p),
        "p is the probability of keeping",
        Setting("p", p, 1 - p),
    )
    yield at(op, "dropout-no-rescale", lambda o: o.again() * (1 - p), "what is kept is not scaled up")
    yield at(op, "dropout-missing", lambda o: o.args[0], "nothing is dropped")
    yield dialled(op, "dropout-rate", "p", p, (0.1, 0.2, 0.25, 0.3, 0.5), lambda o, r: o.again(p=min(r, 0.999999)))


FAMILY = Family(
    "noise",
    dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"), dropout),
)
