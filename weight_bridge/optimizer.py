"""A torch optimizer's state as the Optax state of the same parameters, so that training goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from weight_bridge import tree
from weight_bridge._errors import UsageError
from weight_bridge.bridge import WrittenMapping, plan
from weight_bridge.checkpoint import PICKLES, Checkpoint, open_checkpoint
from weight_bridge.descent import parameter_names, remembered
from weight_bridge.plan import Plan
from weight_bridge.readers import live, pickle_file
from weight_bridge.source import source_module
from weight_bridge.structure import Target

# Under what trainers put the two parts of a checkpoint.
MODELS = ("model", "model_state_dict", "state_dict")
OPTIMIZERS = ("optimizer", "optimizer_state_dict")


def convert_optimizer(
    checkpoint: Any,
    target: Any,
    *,
    optimizer: Any = None,
    transformation: Any = None,
    parameters: Sequence[str] | None = None,
    mapping: WrittenMapping = None,
    source: Any = None,
    key: str | None = None,
    drop: Sequence[str] = (),
) -> tuple[Any, Any]:
    """Carries the state of `torch.optim.SGD`, `Adam` or `AdamW` over: the next step in JAX is the next step in torch.

    Step counts and moments are carried, moments in the layout of their leaves. Each of torch's groups keeps its
    settings; a parameter that the optimizer does not hold stays as it is. Torch's current learning rates are taken as
    constants: a schedule belongs into a transformation of the caller's.

    Args:
      checkpoint: see `plan`; or a trainer's checkpoint, a path or a dict, with `model` and `optimizer` (or
        `model_state_dict` or `state_dict`, and `optimizer_state_dict`) in it.
      target: see `plan`.
      optimizer: the torch optimizer, its `state_dict()`, or a path of one; None takes it from the checkpoint.
      transformation: an Optax transformation whose state is wanted; None builds the one that torch's settings say.
        Of the caller's, settings are not compared, but state that has no counterpart on the other side is refused.
      parameters: names in the optimizer's order, where neither the optimizer, nor `source`, nor a single group in the
        model's own order tells them.
      mapping: see `plan`.
      source: see `plan`; the order of its parameters is taken for the optimizer's.
      key: dotted place of the model's state dict inside the checkpoint.
      drop: see `plan`.

    Returns:
      The Optax transformation, and its state for the tree that `convert` fills: `nnx.state(model, nnx.Param)` of NNX,
      `variables["params"]` of linen, the parameters of Haiku, the inexact arrays of Equinox.

    Raises:
      ConversionError: another optimizer, AMSGrad, a leaf that folds several parameters, counts that differ within a
        leaf, or a transformation that remembers something else; all are listed.
      UsageError: no optimizer's state, or an order of parameters that cannot be known.
      PlanError: as `plan`.
    """
    weights, saved = _parts(checkpoint, optimizer, key)
    opened, described = open_checkpoint(weights, key=key), tree.open_target(target)
    decided = plan(opened, described, mapping=mapping, source=source, drop=drop)
    module = weights if live.is_module(weights) else source_module(source) if source is not None else None
    found = _trained(opened, decided, described)
    names = parameter_names(saved, given=parameters, found=found, optimizer=optimizer, module=module)
    if missing := sorted(set(names) - set(opened.tensors)):
        raise UsageError(f"the optimizer's parameters are not in {opened.origin}: {', '.join(missing)}")
    paths = tuple(leaf.path for leaf in described.leaves if not leaf.buffer)
    memory = remembered(saved, names, decided, paths)
    from weight_bridge.tree_optax import resumed

    return resumed(described, memory, paths, transformation)


def _parts(checkpoint: Any, optimizer: Any, key: str | None) -> tuple[Any, Mapping[str, Any]]:
    """The model's checkpoint, and the optimizer's state dict."""
    pickled = isinstance(checkpoint, str | Path) and Path(checkpoint).suffix in PICKLES and Path(checkpoint).is_file()
    content: Any = pickle_file.load(Path(checkpoint)) if pickled else checkpoint
    if isinstance(content, Mapping):
        entries = cast("Mapping[str, Any]", content)
        optimizer = entries[_one(entries, OPTIMIZERS)] if optimizer is None else optimizer
        nested = key is None and any(isinstance(entries.get(name), Mapping) for name in MODELS)
        content = entries[_one(entries, MODELS)] if nested else content
    if isinstance(optimizer, str | Path):
        optimizer = pickle_file.load(Path(optimizer))
    saved = optimizer.state_dict() if hasattr(optimizer, "state_dict") else optimizer
    if not isinstance(saved, Mapping) or not {"state", "param_groups"} <= set(cast("Mapping[str, Any]", saved)):
        raise UsageError(
            f"optimizer: expected a torch optimizer, or its state_dict() with state and param_groups, got "
            f"{type(optimizer).__name__}"
        )
    return content, cast("Mapping[str, Any]", saved)


def _one(entries: Mapping[str, Any], known: Sequence[str]) -> str:
    """The one of the known names that a trainer's checkpoint has."""
    found = [name for name in known if name in entries]
    if len(found) != 1:
        raise UsageError(
            f"the checkpoint has {' and '.join(found) or 'none'} of {', '.join(known)}; say optimizer= and key="
        )
    return found[0]


def _trained(checkpoint: Checkpoint, decided: Plan, target: Target) -> list[str]:
    """Names of the parameters in the checkpoint's order, tied ones once: all that do not fill buffers."""
    buffers = {leaf.path for leaf in target.leaves if leaf.buffer}
    used = {name for step in decided.steps for name in step.sources if not set(step.targets) <= buffers}
    later = {name for names in checkpoint.ties() for name in names[1:]}
    return [name for name in checkpoint.tensors if name in used and name not in later]
