"""A few outer training steps on both sides from the same weights; parameters, loss and balance compared after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import torch
from flax import nnx as flax_nnx
from flax import traverse_util

from models.tidhy import training_linen, training_nnx, training_torch
from models.tidhy.training_config import TrainingConfig
from parity.comparison import compare_all
from parity.judgement import Judgement
from parity.report import Result
from parity.tolerance import bound
from parity.worst import Worst

if TYPE_CHECKING:
    import weight_bridge
    from models.tidhy.balance_jax import Balance
    from models.tidhy.torch import TiDHy

Arrays = dict[str, np.ndarray]


class _Step(NamedTuple):
    """After one step: the parameters, the loss before it, and the weights of the balanced losses, if any."""

    parameters: Arrays
    loss: np.ndarray
    balance: np.ndarray | None


def train_alike(
    reference: TiDHy,
    candidate: Any,
    plan: weight_bridge.Plan,
    batches: list[np.ndarray],
    training: TrainingConfig | None = None,
) -> Result:
    """Trains both sides in float64 and compares every parameter, the loss and the balance after every step.

    Args:
      reference: float64 torch model; it is trained.
      candidate: an NNX module, or a linen one.
      plan: carries the reference's state over, at the start and for each comparison.
      batches: (B, T, D) each.
      training: the options of training; None for the defaults.

    Returns:
      The worst of them over all steps.
    """
    training = training or TrainingConfig()
    trained = _nnx_steps if isinstance(candidate, flax_nnx.Module) else _linen_steps
    state = {name: value.numpy().copy() for name, value in reference.state_dict().items()}
    judgements: list[Judgement] = []
    expected = _torch_steps(reference, batches, training)
    both = zip(expected, trained(candidate, plan.apply(state), batches, training), strict=True)
    for number, (theirs, ours) in enumerate(both, 1):
        carried = _labelled(number, theirs._replace(parameters=plan.apply(theirs.parameters)))
        found = _labelled(number, ours)
        for comparison in compare_all(carried, found, "float64", measure=False):
            limit = bound("trajectory", "float64", name=comparison.name)
            ok = comparison.problem is None and comparison.error <= limit.limit
            judgements.append(Judgement("trajectory", "train", comparison, limit, "parity" if ok else "bug", ok))
    return Worst.of("trajectory", judgements).result()


def _labelled(number: int, step: _Step) -> Arrays:
    """All arrays of a step under one name each."""
    arrays = step.parameters | {"the loss before": step.loss}
    if step.balance is not None:
        arrays["the balance's weights"] = step.balance
    return {f"step {number}: {name}": value for name, value in arrays.items()}


def _torch_steps(model: TiDHy, batches: list[np.ndarray], training: TrainingConfig) -> Iterator[_Step]:
    """Each step, parameters by name."""
    updates = training_torch.optimiser(model, training)
    for batch in batches:
        loss = training_torch.training_step(model, updates, torch.from_numpy(batch), training)
        state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
        yield _Step(state, loss.numpy(), None if updates.balance is None else updates.balance.weights.numpy())


def _nnx_steps(model: Any, leaves: Arrays, batches: list[np.ndarray], training: TrainingConfig) -> Iterator[_Step]:
    """Each step, parameters by path."""
    with jax.enable_x64(True):
        state = flax_nnx.state(model, flax_nnx.Param)
        filled = [
            (path, variable.replace(jax.numpy.asarray(leaves["/".join(map(str, path))])))
            for path, variable in flax_nnx.to_flat_state(state)
        ]
        flax_nnx.update(model, flax_nnx.from_flat_state(filled))
        updates = training_nnx.Optimiser(model, training)
        step: Callable[..., Any] = flax_nnx.jit(training_nnx.training_step, static_argnums=3)
        for batch in batches:
            loss = step(model, updates, jax.numpy.asarray(batch), training)
            flat = flax_nnx.to_flat_state(flax_nnx.state(model, flax_nnx.Param))
            found = {"/".join(map(str, path)): np.asarray(variable.get_value()) for path, variable in flat}
            yield _Step(found, np.asarray(loss), _weights(updates.balance))


def _linen_steps(model: Any, leaves: Arrays, batches: list[np.ndarray], training: TrainingConfig) -> Iterator[_Step]:
    """Each step, parameters by path."""
    with jax.enable_x64(True):
        variables: Any = traverse_util.unflatten_dict(jax.tree.map(jax.numpy.asarray, leaves), sep="/")
        state = training_linen.optimiser_state(model, variables, training)
        step: Callable[..., Any] = jax.jit(training_linen.training_step, static_argnums=(0, 4))
        for batch in batches:
            variables, state, loss = step(model, variables, state, jax.numpy.asarray(batch), training)
            flat = traverse_util.flatten_dict(variables, sep="/")
            found = {path: np.asarray(leaf) for path, leaf in flat.items()}
            yield _Step(found, np.asarray(loss), _weights(state.balance))


def _weights(balance: Balance | None) -> np.ndarray | None:
    return None if balance is None else np.asarray(balance.weights)
