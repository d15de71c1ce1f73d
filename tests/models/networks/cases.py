"""Recorded float64 runs of the original library, read from `golden/*.npz`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import networks

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Case:
    """One recorded call of one module, with its gradients."""

    name: str
    module: str
    configs: dict[str, Any]
    kwargs: dict[str, Any]
    train: bool
    method: str
    call_kwargs: dict[str, Any]
    inputs: list[np.ndarray]
    state: dict[str, np.ndarray]
    outputs: list[np.ndarray]
    cotangents: list[np.ndarray]
    grad_inputs: dict[int, np.ndarray]
    grads: dict[str, np.ndarray]
    buffers_after: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    aliases: dict[str, str]
    no_grad: list[str]

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**self.kwargs, **self.configs}


def load(name: str) -> Case:
    """Read one case, its configs built."""
    with np.load(GOLDEN / f"{name}.npz") as z:
        meta, call = json.loads(str(z["meta"])), json.loads(str(z["call"]))
        return Case(
            name=name,
            module=str(z["module"]),
            configs={key: build_config(value) for key, value in json.loads(str(z["config"])).items()},
            kwargs={key: as_tuples(value) for key, value in json.loads(str(z["kwargs"])).items()},
            train=str(z["mode"]) == "train",
            method=call["method"],
            call_kwargs=call["kwargs"],
            inputs=_listed(z, "input"),
            state=_named(z, "state"),
            outputs=_listed(z, "output"),
            cotangents=_listed(z, "cotangent"),
            grad_inputs={int(key): value for key, value in _named(z, "grad_input").items()},
            grads=_named(z, "grad"),
            buffers_after=_named(z, "buffer_after"),
            noise=_named(z, "noise"),
            aliases=meta["aliases"],
            no_grad=meta["no_grad"],
        )


def build_config(value: Any) -> Any:
    """Build the config that `{"__config__": class name, field: value}` describes, nested ones included."""
    if isinstance(value, list):
        return tuple(build_config(item) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {key: build_config(item) for key, item in value.items() if key != "__config__"}
    return getattr(networks, value["__config__"])(**fields) if "__config__" in value else fields


def as_tuples(value: Any) -> Any:
    """Turn JSON's lists into tuples, at any depth."""
    if isinstance(value, dict):
        return {key: as_tuples(item) for key, item in value.items()}
    return tuple(as_tuples(item) for item in value) if isinstance(value, list) else value


def _named(z: Any, kind: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{kind}/"): z[key] for key in z.files if key.startswith(f"{kind}/")}


def _listed(z: Any, kind: str) -> list[np.ndarray]:
    return [z[f"{kind}/{i}"] for i in range(len(_named(z, kind)))]
