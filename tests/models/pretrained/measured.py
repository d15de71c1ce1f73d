"""One pretrained network on real inputs: outputs and parameter gradients of torch and NNX, by torch name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

import weight_bridge

Arrays = dict[str, np.ndarray]


def cotangents(outputs: Mapping[str, np.ndarray]) -> Arrays:
    """One direction per output in which gradients are taken."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(value.shape) for name, value in outputs.items()}


def of_torch(module: torch.nn.Module, call: Callable[..., Any], inputs: Any, dtype: torch.dtype) -> Arrays:
    """Outputs, and gradients under the parameters' names."""
    model = copy.deepcopy(module).to(dtype).eval()
    found = call(
        model, *(torch.from_numpy(x).to(dtype) if x.dtype.kind == "f" else torch.from_numpy(x) for x in inputs)
    )
    outputs = {name: value.detach().numpy() for name, value in found.items()}
    directions = {name: torch.from_numpy(value).to(dtype) for name, value in cotangents(outputs).items()}
    sum((found[name] * directions[name]).sum() for name in found).backward()
    return outputs | {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}


def of_nnx(graph: Any, state: Any, call: Callable[..., Any], inputs: Any, back: Callable[[Arrays], Arrays]) -> Arrays:
    """Outputs, and gradients carried back to torch's names."""
    dtype = jax.tree.leaves(state)[0].dtype
    given = [jnp.asarray(x, dtype if x.dtype.kind == "f" else None) for x in inputs]
    shapes = jax.eval_shape(lambda state: call(nnx.merge(graph, state), *given), state)
    directions = {name: value.astype(dtype) for name, value in cotangents(shapes).items()}

    @jax.jit
    def outputs_and_slopes(state: Any) -> Any:
        outputs, pull = jax.vjp(lambda s: call(nnx.merge(graph, s), *given), state)
        return outputs, pull(directions)[0]

    outputs, slopes = outputs_and_slopes(state)
    leaves = {"/".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(slopes)}
    return {name: np.asarray(value) for name, value in outputs.items()} | back(leaves)


def errors(found: Arrays, wanted: Arrays, scales: Mapping[str, str]) -> dict[str, float]:
    """The largest difference of each array, relative to its own largest element, or to that of the one named for it."""
    assert set(wanted) <= set(found)
    return {
        name: float(np.abs(found[name] - value).max() / np.abs(wanted[scales.get(name, name)]).max())
        for name, value in wanted.items()
    }


def compared(
    module: torch.nn.Module,
    build: Callable[[], Any],
    converted: Path,
    call: Callable[..., Any],
    inputs: Any,
    scales: Mapping[str, str],
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Errors in float64; of the converted float32 file against torch's float64; torch's own float32 against that."""
    wide = copy.deepcopy(module).double().state_dict()
    plan = weight_bridge.plan(module, build)
    primals = {name: value.numpy() for name, value in wide.items()}
    wanted = of_torch(module, call, inputs, torch.float64)
    narrow = of_torch(module, call, inputs, torch.float32)
    back = partial(plan.pullback, primal=primals)
    with jax.enable_x64(True):
        graph = nnx.graphdef(nnx.eval_shape(build))
        exact = of_nnx(graph, weight_bridge.convert(wide, build), call, inputs, back)
    graph = nnx.graphdef(nnx.eval_shape(build))
    single = of_nnx(graph, weight_bridge.convert(converted, build), call, inputs, back)
    return errors(exact, wanted, scales), errors(single, wanted, scales), errors(narrow, wanted, scales)
