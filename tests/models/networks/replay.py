"""Runs a recorded case through a torch module or its NNX twin, and measures how far the results are off."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
from flax import nnx
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch
from tests.models.networks.carry import by_path, carry
from tests.models.networks.cases import Case


@dataclass(frozen=True)
class Run:
    """What a module made of a case, under torch's names; `buffers` may hold the parameters too."""

    outputs: list[np.ndarray]
    grad_inputs: dict[int, np.ndarray]
    grads: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]


@contextmanager
def torch_float64() -> Iterator[None]:
    """Create torch tensors in float64 meanwhile."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def leaves(value: Any) -> list[Any]:
    """Flatten what a call returns: dataclass fields, dict values and sequences, in order."""
    if dataclasses.is_dataclass(value):
        return [leaf for field in dataclasses.fields(value) for leaf in leaves(getattr(value, field.name))]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def run_torch(case: Case, call: Callable[..., Any] | None = None) -> Run:
    """Build the torch module, load its state strictly, call it and differentiate.

    Args:
        case: The case.
        call: Called as `call(module, *inputs)` instead of the recorded method, for instance to pass noise.
    """
    with torch_float64():
        module = getattr(models.networks.torch, case.module)(**case.arguments)
        if isinstance(module, torch.nn.Module):
            assert list(module.state_dict()) == list(case.state), "state-dict keys or their order differ"
            module.double()  # CRReLU's parameter is created in float32 whatever the default
            module.load_state_dict({k: torch.tensor(v) for k, v in case.state.items()}, strict=True)
            module.train(case.train)
        inputs = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in case.inputs]
        floats = {i: x for i, x in enumerate(inputs) if x.requires_grad}
        outputs = leaves(_called(case, call, module, inputs))
        params = dict(module.named_parameters())
        total = sum((out * torch.tensor(cot)).sum() for out, cot in zip(outputs, case.cotangents, strict=True))
        sources = [*floats.values(), *params.values()]
        grads = torch.autograd.grad(total, sources, allow_unused=True)
    arrays = [(torch.zeros_like(x) if g is None else g).numpy() for x, g in zip(sources, grads, strict=True)]
    return Run(
        outputs=[out.detach().numpy() for out in outputs],
        grad_inputs=dict(zip(floats, arrays, strict=False)),
        grads=dict(zip(params, arrays[len(floats) :], strict=True)),
        buffers={name: buffer.numpy() for name, buffer in module.named_buffers()},
    )


def run_nnx(case: Case, call: Callable[..., Any] | None = None) -> Run:
    """Build the NNX twin under x64, carry the state over, call it and differentiate.

    Args:
        case: The case.
        call: Called as `call(module, *inputs)` instead of the recorded method, for instance to pass noise.
    """
    with jax.enable_x64(True):
        twin = getattr(models.networks.jax, case.module)
        module = nnx.eval_shape(lambda: twin(**case.arguments, rngs=0))
        plan = carry(module, case.state, case.aliases)
        module.train() if case.train else module.eval()
        graph, params, rest = nnx.split(module, nnx.Param, ...)
        inputs = [jnp.asarray(x) for x in case.inputs]
        floats = {i: x for i, x in enumerate(inputs) if x.dtype.kind == "f"}
        cotangents = [jnp.asarray(cot) for cot in case.cotangents]

        def forward(params: Any, floats: dict[int, Any]) -> tuple[list[Any], Any]:
            merged = nnx.merge(graph, params, rest, copy=True)
            outputs = leaves(_called(case, call, merged, [floats.get(i, x) for i, x in enumerate(inputs)]))
            return outputs, nnx.state(merged, nnx.Not(nnx.RngState))

        @jax.jit  # one compilation instead of one per operation
        def differentiated(params: Any, floats: dict[int, Any], cotangents: list[Any]) -> Any:
            outputs, pullback, after = jax.vjp(jax.jit(forward), params, floats, has_aux=True)
            return outputs, pullback(cotangents), after

        outputs, (grad_params, grad_floats), after = differentiated(params, floats, cotangents)
    return Run(
        outputs=[np.asarray(out) for out in outputs],
        grad_inputs={i: np.asarray(grad) for i, grad in grad_floats.items()},
        grads=plan.pullback(by_path(grad_params), case.state),
        buffers=plan.inverse(by_path(after)),
    )


def _called(case: Case, call: Callable[..., Any] | None, module: Any, inputs: list[Any]) -> Any:
    if call is not None:
        return call(module, *inputs)
    return (module if case.method == "__call__" else getattr(module, case.method))(*inputs, **case.call_kwargs)


def worst_errors(case: Case, run: Run) -> dict[str, float]:
    """Return the worst error per kind of result; the recorded names and shapes have to be there.

    Outputs and buffers are relative to the array's largest entry, gradients to the case's largest gradient.
    """
    largest = max((np.abs(g).max(initial=0) for g in (*case.grad_inputs.values(), *case.grads.values())), default=0)
    return {
        "outputs": _worst(dict(enumerate(case.outputs)), dict(enumerate(run.outputs)), None),
        "grad_inputs": _worst(case.grad_inputs, run.grad_inputs, largest),
        "grads": _worst(case.grads, {k: v for k, v in run.grads.items() if k in case.grads}, largest),
        "silent": _worst({k: np.zeros_like(case.state[k]) for k in case.no_grad}, run.grads, None),
        "buffers": _worst(case.buffers_after, run.buffers, None),
    }


def _worst(expected: dict[Any, np.ndarray], got: dict[Any, np.ndarray], scale: float | None) -> float:
    missing = [key for key in expected if key not in got]
    assert not missing, f"no result for {missing}"
    worst = 0.0
    for key, array in expected.items():
        assert got[key].shape == array.shape, f"{key}: expected shape {array.shape}, got {got[key].shape}"
        top = np.abs(array).max(initial=0) if scale is None else scale
        off = np.abs(got[key].astype(np.float64) - array.astype(np.float64)).max(initial=0)
        assert np.isfinite(off), f"{key}: not finite"
        worst = max(worst, float(off / top) if top else float(off))
    return worst
