"""Recorded calls of functions and stateless objects: read them, and replay them in either framework."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import numpy as np
import torch

from tests.models.networks.cases import GOLDEN, build_config
from tests.models.networks.replay import torch_float64


@dataclass(frozen=True)
class TableCall:
    """One recorded call.

    `arguments` holds the arrays of each positional argument: one, or the fields of the stoch named in `stochs`.
    """

    label: str
    fn: str
    init: dict[str, Any] | None
    method: str
    kwargs: dict[str, Any]
    stochs: tuple[str | None, ...]
    arguments: tuple[tuple[int, ...], ...]
    inputs: dict[int, np.ndarray]
    output: np.ndarray
    cotangent: np.ndarray
    gradients: dict[int, np.ndarray]

    @property
    def differentiable(self) -> list[int]:
        return sorted(self.gradients)


def table(name: str) -> list[TableCall]:
    """Read every call of `golden/<name>.npz`."""
    stored = np.load(GOLDEN / f"{name}.npz")
    return [_call(name, stored, k, call) for k, call in enumerate(json.loads(str(stored["calls"])))]


def _call(name: str, stored: Any, k: int, call: dict[str, Any]) -> TableCall:
    arguments = tuple(tuple(a["inputs"]) if "stoch" in a else (a["input"],) for a in call["args"])
    used = sorted({i for indices in arguments for i in indices})
    init = call.get("init")
    return TableCall(
        label=f"{name}-{k}-{call['fn']}",
        fn=call["fn"],
        init=None if init is None else {key: build_config(value) for key, value in init.items()},
        method=call.get("method", "__call__"),
        kwargs=call.get("kwargs", {}),
        stochs=tuple(a.get("stoch") for a in call["args"]),
        arguments=arguments,
        inputs={i: stored[f"input/{i}"] for i in used},
        output=stored[f"output/{k}"],
        cotangent=stored[f"cotangent/{k}"],
        gradients={i: stored[g] for i in used if (g := f"grad_input/{k}/{i}") in stored.files},
    )


def _bound(call: TableCall, library: ModuleType) -> Callable[..., Any]:
    """Return the recorded function of the arrays by their index."""
    target = getattr(library, call.fn)
    if call.init is not None:
        target = target(**call.init)
    function = target if call.method == "__call__" else getattr(target, call.method)

    def run(arrays: dict[int, Any]) -> Any:
        positional = [
            getattr(library, stoch)(*(arrays[i] for i in indices)) if stoch else arrays[indices[0]]
            for stoch, indices in zip(call.stochs, call.arguments, strict=True)
        ]
        return function(*positional, **call.kwargs)

    return run


def replay_torch(call: TableCall) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Run a call in torch; return its output and gradients."""
    import models.networks.torch as library

    tensors = {i: torch.from_numpy(array.copy()) for i, array in call.inputs.items()}
    wanted = [tensors[i].requires_grad_() for i in call.differentiable]
    with torch_float64():
        output = _bound(call, library)(tensors)
    found = torch.autograd.grad(output, wanted, torch.from_numpy(call.cotangent), allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]
    return output.detach().numpy(), {i: g.numpy() for i, g in zip(call.differentiable, gradients, strict=True)}


def replay_jax(call: TableCall) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Run a call in JAX, in float64; return its output and gradients."""
    import models.networks.jax as library

    with jax.enable_x64(True):
        arrays = {i: jax.numpy.asarray(array) for i, array in call.inputs.items()}
        run = _bound(call, library)
        concrete = np.asarray(run(arrays))  # once without a transformation, so that value checks run too
        output, pull = jax.vjp(lambda wanted: run({**arrays, **wanted}), {i: arrays[i] for i in call.differentiable})
        np.testing.assert_allclose(np.asarray(output), concrete, rtol=1e-12)
        (gradients,) = pull(jax.numpy.asarray(call.cotangent))
        return concrete, {i: np.asarray(g) for i, g in gradients.items()}


def relative_error(found: np.ndarray, expected: np.ndarray, scale: float | None = None) -> float:
    """Return the largest difference relative to the largest entry, or to `scale`."""
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    assert found.dtype == expected.dtype, f"dtype {found.dtype}, expected {expected.dtype}"
    largest = float(np.abs(expected).max()) if scale is None else scale
    return float(np.abs(found - expected).max()) / (largest or 1.0)


def gradient_errors(found: dict[int, np.ndarray], expected: dict[int, np.ndarray]) -> dict[int, float]:
    """Return each gradient's error relative to the largest gradient of the call."""
    largest = max((float(np.abs(g).max()) for g in expected.values()), default=0.0)
    return {i: relative_error(found[i], g, largest) for i, g in expected.items()}
