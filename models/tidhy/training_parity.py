"""A few outer training steps on both sides from the same weights, parameters compared after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import torch
from flax import nnx as flax_nnx
from flax import traverse_util

from models.tidhy import training_linen, training_nnx, training_torch
from models.tidhy.training_config import TrainingConfig
from models.tidhy.training_jax import optimiser
from parity.comparison import compare_all
from parity.judgement import Judgement
from parity.report import Result
from parity.tolerance import bound
from parity.worst import Worst

if TYPE_CHECKING:
    import weight_bridge
    from models.tidhy.torch import TiDHy

Arrays = dict[str, np.ndarray]


def train_alike(reference: TiDHy, candidate: Any, plan: weight_bridge.Plan, batches: list[np.ndarray]) -> Result:
    """Trains both sides in float64 and compares every parameter after every step.

    Args:
      reference: float64 torch model; it is trained.
      candidate: an NNX module, or a linen one.
      plan: carries the reference's state over, at the start and for each comparison.
      batches: (B, T, D) each.

    Returns:
      The worst parameter over all steps.
    """
    trained = _nnx_steps if isinstance(candidate, flax_nnx.Module) else _linen_steps
    state = {name: value.numpy().copy() for name, value in reference.state_dict().items()}
    judgements: list[Judgement] = []
    both = zip(_torch_steps(reference, batches), trained(candidate, plan.apply(state), batches), strict=True)
    for step, (names, leaves) in enumerate(both, 1):
        carried = {f"step {step}: {path}": value for path, value in plan.apply(names).items()}
        found = {f"step {step}: {path}": value for path, value in leaves.items()}
        for comparison in compare_all(carried, found, "float64", measure=False):
            limit = bound("trajectory", "float64", name=comparison.name)
            ok = comparison.problem is None and comparison.error <= limit.limit
            judgements.append(Judgement("trajectory", "train", comparison, limit, "parity" if ok else "bug", ok))
    return Worst.of("trajectory", judgements).result()


def _torch_steps(model: TiDHy, batches: list[np.ndarray]) -> Iterator[Arrays]:
    """Parameters by name after each step."""
    training = TrainingConfig()
    steps = training_torch.optimiser(model, training)
    for batch in batches:
        training_torch.training_step(model, steps, None, torch.from_numpy(batch), training)
        yield {name: value.numpy().copy() for name, value in model.state_dict().items()}


def _nnx_steps(model: Any, leaves: Arrays, batches: list[np.ndarray]) -> Iterator[Arrays]:
    """Parameters by path after each step."""
    training = TrainingConfig()
    with jax.enable_x64(True):
        state = flax_nnx.state(model, flax_nnx.Param)
        filled = [
            (path, variable.replace(jax.numpy.asarray(leaves["/".join(map(str, path))])))
            for path, variable in flax_nnx.to_flat_state(state)
        ]
        flax_nnx.update(model, flax_nnx.from_flat_state(filled))
        steps = training_nnx.optimiser(model, training)
        step: Callable[..., Any] = flax_nnx.jit(training_nnx.training_step, static_argnums=3)
        for batch in batches:
            step(model, steps, jax.numpy.asarray(batch), training)
            flat = flax_nnx.to_flat_state(flax_nnx.state(model, flax_nnx.Param))
            yield {"/".join(map(str, path)): np.asarray(variable.get_value()) for path, variable in flat}


def _linen_steps(model: Any, leaves: Arrays, batches: list[np.ndarray]) -> Iterator[Arrays]:
    """Parameters by path after each step."""
    training = TrainingConfig()
    with jax.enable_x64(True):
        variables: Any = traverse_util.unflatten_dict(jax.tree.map(jax.numpy.asarray, leaves), sep="/")
        state = optimiser(model.config, training).init(variables["params"])
        step: Callable[..., Any] = jax.jit(training_linen.training_step, static_argnums=(0, 4))
        for batch in batches:
            variables, state, _ = step(model, variables, state, jax.numpy.asarray(batch), training)
            yield {path: np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()}
