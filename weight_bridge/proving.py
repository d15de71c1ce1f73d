"""Plans proved by running both models: what cannot be known from names, gradients tell.

The models are run by a prover that another package declares in the entry-point group `weight_bridge.provers`; nothing
here knows how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np

from weight_bridge import tree
from weight_bridge._dtypes import kind
from weight_bridge._errors import UsageError, VerificationError
from weight_bridge.plan import Plan, Step
from weight_bridge.source import source_module

GROUP = "weight_bridge.provers"


@dataclass(frozen=True)
class Evidence:
    """What running both models says of one leaf.

    Args:
      path: the leaf.
      error: relative error between the gradient in torch and that in JAX, carried back; None where no gradient
        reaches the leaf, which proves nothing.
      problem: why the plan is wrong there, or None.
    """

    path: str
    error: float | None
    problem: str | None = None


class Prover(Protocol):
    """What an entry point of the group offers."""

    def __call__(
        self, decided: Plan, source: Any, target: Any, inputs: tuple[Any, ...], *, layout: Any = None
    ) -> Sequence[Evidence]:
        """Runs both models in float64 with weights carried by the plan.

        Args:
          decided: the plan.
          source: a live `torch.nn.Module`.
          target: a live model of a JAX library.
          inputs: positional arguments, in the torch model's layout.
          layout: how the target's axes of inputs and outputs differ, such as `"NCHW->NHWC"`.

        Returns:
          Evidence for each leaf of the plan; a model that gives other outputs is a problem of its own.
        """
        ...


def prove(
    decided: Plan, source: Any, target: Any, *, inputs: Any = None, layout: str | Mapping[str, str] | None = None
) -> Plan:
    """Proves a plan by gradients: both models run in float64, and each leaf's gradient must be its tensors' own.

    Two leaves of one shape that a plan exchanges pass every check of shapes. Their gradients are those of each other as
    soon as both hold the same values, which is how the exchange is named.

    Args:
      decided: the plan.
      source: a `torch.nn.Module`, or a callable or `"package.module:callable"` that returns one.
      target: a live model, or a callable or `"package.module:callable"` that returns one; see `plan`.
      inputs: positional arguments in the torch model's layout: an array, a tuple of them, or a callable or
        `"package.module:callable"` that returns such. None takes the shapes of a linen or Haiku target's own example.
      layout: how the target's axes of inputs and outputs differ, such as `"NCHW->NHWC"`.

    Returns:
      The plan, its leaves `proved` where a gradient reached them.

    Raises:
      VerificationError: outputs or gradients differ; every wrong leaf is named.
      UsageError: no prover is installed, or nothing that can be run was given.
    """
    module, model = source_module(source, meta=False), _live(target)
    lacking = sorted({name for step in decided.steps for name in step.sources} - set(module.state_dict()))
    if lacking:
        raise UsageError(f"source {type(module).__name__} has no tensors of these names, the plan has", lacking)
    found = {one.path: one for one in prover()(decided, module, model, _inputs(inputs, model), layout=layout)}
    if problems := [f"{one.path}: {one.problem}" for one in found.values() if one.problem]:
        raise VerificationError(f"{decided.origin[1]} is not what {decided.origin[0]} maps to", problems)
    steps = tuple(_proved(step, found) for step in decided.steps)
    silent = [path for step in steps for path in step.targets if path not in found or found[path].error is None]
    notes = (f"{', '.join(silent)}: no gradient reaches it, so gradients prove nothing",) if silent else ()
    return replace(decided, steps=steps, notes=(*decided.notes, *notes))


def prover() -> Prover:
    """Returns the prover that is installed.

    Raises:
      UsageError: there is none.
    """
    found = [*entry_points(group=GROUP)]
    if not found:
        raise UsageError(f"no installed package declares a prover ({GROUP}): pip install 'crossparity[torch,jax]'")
    return found[0].load()


def _proved(step: Step, found: Mapping[str, Evidence]) -> Step:
    errors = [found[path].error for path in step.targets if path in found]
    known = [error for error in errors if error is not None]
    if not known or len(known) < len(step.targets):
        return step
    return replace(step, verdict="proved", why=f"proved by gradients, {max(known):.0e} apart; {step.why}")


def _live(target: Any) -> Any:
    """The model itself, which has to run."""
    if isinstance(target, str) and not target.endswith(".json"):
        target = tree.resolve(target, "target")
    if tree.library(target) is None and callable(target):
        target = target()
    if tree.library(target) is None:
        raise UsageError(f"target {target!r:.80}: shapes alone cannot be run; expected a model or a callable of one")
    return target


def _inputs(given: Any, model: Any) -> tuple[Any, ...]:
    """Arguments for both models."""
    found: Any = tree.resolve(given, "inputs") if isinstance(given, str) else given
    found = found() if callable(found) else found
    if found is None:
        if not isinstance(model, tuple) or len(model) != 2 or isinstance(model[1], Mapping):
            raise UsageError(
                "inputs: this target tells no example inputs; say --inputs package.module:callable, which returns an "
                "array as torch takes it, or a tuple of them"
            )
        found = model[1]
        found = tuple(_drawn(one, number) for number, one in enumerate(found if isinstance(found, tuple) else (found,)))
    return found if isinstance(found, tuple) else (found,)


def _drawn(example: Any, seed: int) -> Any:
    """Numbers of an example's shape, because the example itself may be zeros or only a shape."""
    if not hasattr(example, "shape") or kind(np.dtype(example.dtype).name) != "float":
        return example
    return np.random.default_rng(seed).normal(size=example.shape)
