"""Cases that torch computes on the spot, for configurations that were not recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import models.networks.torch
from tests.models.networks.cases import Case
from tests.models.networks.replay import leaves, run_torch, torch_float64


def live_case(
    module: str,
    arguments: dict[str, Any],
    *inputs: np.ndarray,
    call: Callable[..., Any] | None = None,
    method: str = "__call__",
    call_kwargs: dict[str, Any] | None = None,
    train: bool = True,
    scale: float = 1.0,
) -> Case:
    """Run a torch module with random weights, cotangents and those inputs, and record what it gives.

    `scale` multiplies the weights: networks that make networks blow up at their first weights.
    """
    rng = np.random.default_rng(7)
    case = Case(
        name=f"live {module}",
        module=module,
        configs={},
        kwargs=arguments,
        train=train,
        method=method,
        call_kwargs=call_kwargs or {},
        inputs=list(inputs),
        state={},
        outputs=[],
        cotangents=[],
        grad_inputs={},
        grads={},
        buffers_after={},
        noise={},
        aliases={},
        no_grad=[],
    )
    with torch_float64():
        built = getattr(models.networks.torch, module)(**arguments).train(train)
        state = {name: _drawn(rng, name, tensor.numpy(), scale) for name, tensor in built.state_dict().items()}
        aliases = _aliases(built)
        state |= {alias: state[name] for alias, name in aliases.items()}
        tensors = [torch.tensor(x) for x in inputs]
        run = call or (lambda m, *xs: (m if method == "__call__" else getattr(m, method))(*xs, **case.call_kwargs))
        outputs = [out.detach().numpy() for out in leaves(run(built, *tensors))]
    cotangents = [rng.standard_normal(out.shape) for out in outputs]
    case = replace(case, state=state, aliases=aliases, cotangents=cotangents)
    done = run_torch(case, call)
    after = {name: array for name, array in done.buffers.items() if name in state}
    return replace(case, outputs=done.outputs, grad_inputs=done.grad_inputs, grads=done.grads, buffers_after=after)


def _drawn(rng: np.random.Generator, name: str, array: np.ndarray, scale: float) -> np.ndarray:
    """Move a parameter away from 0 and 1, so that none of them is inert; counters and variances stay."""
    moving = array.dtype.kind == "f" and not name.endswith("running_var")
    return scale * (array + 0.1 * rng.standard_normal(array.shape)) if moving else array


def _aliases(module: torch.nn.Module) -> dict[str, str]:
    first: dict[int, str] = {}
    aliases = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            aliases[name] = first[id(parameter)]
        first.setdefault(id(parameter), name)
    return aliases
