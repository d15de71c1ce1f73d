"""Recorded float64 runs of the original TiDHy, and how a replay is judged against them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.tidhy.config import TiDHyConfig

FOLDER = Path(__file__).parent / "recorded"
CASES = tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))
INPUTS = ("inf/x", "inf/r_p", "inf/r2_in", "temporal/r", "temporal/r2", "decoder/r")
EXACT = ("n_iter", "has_state", "is_list")
TOLERANCE = 1e-11


@dataclass(frozen=True)
class Recording:
    """One option combination: its configuration, weights, inputs, and every quantity computed from them."""

    config: TiDHyConfig
    state: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    quantities: dict[str, np.ndarray]


def load(case: str) -> Recording:
    with np.load(FOLDER / f"{case}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    config = TiDHyConfig.from_mapping(json.loads(str(arrays.pop("params_json"))))
    del arrays["meta_json"], arrays["tol_margin"]
    state = {name.removeprefix("state/"): arrays.pop(name) for name in list(arrays) if name.startswith("state/")}
    inputs = {name: arrays.pop(name) for name in ("X", *INPUTS)}
    return Recording(config, state, inputs, arrays)


def errors(replayed: dict[str, np.ndarray], recorded: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest deviation of each quantity relative to its largest entry; inf where it had to be equal."""
    assert replayed.keys() == recorded.keys()
    return {name: _error(name, np.asarray(replayed[name]), recorded[name]) for name in recorded}


def _error(name: str, replayed: np.ndarray, recorded: np.ndarray) -> float:
    assert replayed.shape == recorded.shape, (name, replayed.shape, recorded.shape)
    if name.endswith(EXACT):
        return 0.0 if np.array_equal(replayed, recorded) else np.inf
    assert replayed.dtype == recorded.dtype == np.float64, (name, replayed.dtype)
    scale = np.abs(recorded).max(initial=0.0)
    deviation = np.abs(replayed - recorded).max(initial=0.0)
    return float(deviation / scale) if scale > 0 else float(deviation and np.inf)
