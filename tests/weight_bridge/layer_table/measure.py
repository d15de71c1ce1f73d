"""What a row shows for one library: errors of forward pass and gradients, tensors that come back bit for bit."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import weight_bridge
from tests.weight_bridge.layer_table.row import Port, Row
from weight_bridge.tree import open_target

Array = np.ndarray
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Measured:
    """Errors relative to the largest element; tensors that came back bit for bit; those that fold."""

    forward: float
    gradient: float
    returned: frozenset[str]
    folded: frozenset[str]
    ignored: frozenset[str]
    refolded: float


@dataclass(frozen=True)
class Reference:
    """The torch side of a row: weights, inputs, output and gradients for a cotangent."""

    layer: torch.nn.Module
    state: dict[str, torch.Tensor]
    inputs: tuple[Array, ...]
    output: Array
    cotangent: Array
    gradients: Arrays


def reference(row: Row) -> Reference:
    """Runs torch in float64 with no parameter at its initial constant."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    layer = row.torch().double().eval()
    with torch.no_grad():
        for name, tensor in layer.named_parameters():
            tensor.copy_(torch.zeros(()) if name in row.zero else 0.4 * torch.from_numpy(_normal(rng, tensor.shape)))
        for name, tensor in layer.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                tensor.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, tensor.shape)))
    draw = (lambda shape: rng.integers(0, row.integers, shape)) if row.integers else rng.standard_normal
    inputs = tuple(np.asarray(draw(shape)) for shape in row.inputs)
    output = row.call(layer, *map(torch.from_numpy, inputs))
    cotangent = rng.standard_normal(output.shape)
    if output.requires_grad:  # a normalisation without gain has nothing to learn
        output.backward(torch.from_numpy(cotangent))
    gradients = {n: p.grad.numpy() for n, p in layer.named_parameters(remove_duplicate=False) if p.grad is not None}
    state = {name: tensor.detach() for name, tensor in layer.state_dict().items()}
    return Reference(layer, state, inputs, output.detach().numpy(), cotangent, gradients)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.standard_normal(shape))


def measure(row: Row, port: Port) -> Measured:
    """Converts a row's layer, runs it, pulls its gradients back, and reverts it."""
    given = reference(row)
    options: dict[str, Any] = {"source": given.layer, "mapping": port.mapping}
    with jax.enable_x64(True):
        target = open_target(port.target())
        plan = weight_bridge.plan(given.state, target, strict=port.strict, **options)
        converted = weight_bridge.convert(given.state, port.target, **options)
        inputs = tuple(map(jnp.asarray, given.inputs))
        output = np.asarray(port.run(converted, *inputs))
        leaves = plan.apply(given.state)
        buffers = {leaf.path for leaf in target.leaves if leaf.buffer}
        trained = {path: jnp.asarray(leaf) for path, leaf in leaves.items() if path not in buffers}
        kept = {path: leaf for path, leaf in leaves.items() if path in buffers}
        slopes = jax.grad(lambda some: (port.run(target.assemble(some | kept), *inputs) * given.cotangent).sum())(
            trained
        )
    assert output.dtype == np.float64
    assert output.shape == given.output.shape
    primal = {name: tensor.numpy() for name, tensor in given.state.items()}
    pulled = plan.pullback({path: np.asarray(slope) for path, slope in slopes.items()}, primal)
    wanted = {name: slope for name, slope in given.gradients.items() if name not in port.ungraded}
    assert set(wanted) <= set(pulled), f"no gradient for {sorted(set(wanted) - set(pulled))}"
    steepest = max((float(np.abs(slope).max()) for slope in wanted.values()), default=1.0)
    scales = {name: steepest if name in row.flat else None for name in wanted}
    gradient = max((error(pulled[name], slope, scales[name]) for name, slope in wanted.items()), default=0.0)
    return Measured(error(output, given.output), gradient, *returned(plan, leaves, primal))


def returned(
    plan: weight_bridge.Plan, leaves: Arrays, state: Arrays
) -> tuple[frozenset[str], frozenset[str], frozenset[str], float]:
    """Names that came back with the same hash, that fold, that stay unused; how far the leaves come again."""
    back = plan.inverse(leaves)
    named = {*back, *(entry.name for entry in plan.ignored)}
    assert named == set(state), f"neither used nor ignored: {sorted(set(state) - named)}"
    folded = frozenset(name for step in plan.steps if step.information != "exact" for name in step.sources)
    same = frozenset(name for name in back if digest(back[name]) == digest(state[name]))
    unused = frozenset(entry.name for entry in plan.ignored if entry.same_as is None)
    again = plan.apply(state | back)
    return same, folded, unused, max((error(again[path], leaf) for path, leaf in leaves.items()), default=0.0)


def digest(array: Array) -> str:
    """A hash of shape, dtype and bytes."""
    whole = np.ascontiguousarray(array)
    return hashlib.sha256(f"{whole.shape}{whole.dtype}".encode() + whole.tobytes()).hexdigest()


def error(found: Array, wanted: Array, scale: float | None = None) -> float:
    """The largest difference, relative to the largest element or a given scale; NaN anywhere is an infinite one."""
    if found.shape != wanted.shape:
        return math.inf
    if wanted.dtype == bool:
        return float((found != wanted).any())
    largest = scale or np.abs(wanted).max(initial=0.0) or 1.0
    apart = float(np.abs(found - wanted).max(initial=0.0) / largest)
    return math.inf if math.isnan(apart) else apart
