"""Directional derivatives of outputs and gradients: forward mode over reverse mode in JAX, reverse twice in torch."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from parity import structure
from parity.backends.base import Candidate, Reference
from parity.backends.jax_program import JaxProgram, Leaves, as_dtype, filled, floating, is_smooth, isolated
from parity.backends.torch import DTYPES, TorchProgram, to_numpy, to_torch
from parity.backends.torch import isolated as torch_isolated
from parity.backends.torch_noise import Recorder
from parity.cotangents import cotangent
from parity.formats import FORMATS, Precision
from parity.noise import Draw
from parity.record import Arrays, Record


def curvature_of_reference(
    program: Reference,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    direction: Arrays,
    *,
    precision: Precision,
    train: bool,
    seed: int,
) -> Record:
    """How outputs and gradients of the torch side change along a direction.

    Args:
      program: the torch side.
      state: every weight and buffer.
      inputs: positional arguments.
      direction: change of every parameter by name, and of every floating input by `input[i]`.
      precision: of the run.
      train: training mode.
      seed: of the example.

    Returns:
      `outputs`: the Jacobian times the direction. `input_grads` and `param_grads`: the Hessian of the outputs' product
      with their cotangents, times the direction.
    """
    assert isinstance(program, TorchProgram)
    module = program.ready(precision, state, train=train)
    dtype = DTYPES[precision]
    # The fused attention kernel has no second derivative; the plain one computes the same.
    with torch_isolated(dtype, seed), sdpa_kernel(SDPBackend.MATH):
        arguments = [to_torch(value, dtype) for value in inputs]
        wanted = {f"input[{i}]": a.requires_grad_() for i, a in enumerate(arguments) if a.is_floating_point()}
        names = list(wanted)
        with Recorder(seed) as recorder:
            result = program.call.of(module)(*(a.clone() if a.requires_grad else a for a in arguments))
        outputs = {name: torch.as_tensor(leaf) for name, leaf in structure.leaves(program.call.select(result))}
        wanted |= {n: p for n, p in module.named_parameters() if p.requires_grad and p.is_floating_point()}
        along = [to_torch(direction[name], dtype) for name in wanted]
        smooth = {name: value for name, value in outputs.items() if value.requires_grad}
        still = {n: np.zeros(tuple(v.shape)) for n, v in outputs.items() if v.is_floating_point() and n not in smooth}
        tangents = _tangents(smooth, list(wanted.values()), along)
        weights = [to_torch(cotangent(n, tuple(v.shape), seed), v.dtype).reshape(v.shape) for n, v in smooth.items()]
        bent = _bent(list(smooth.values()), list(wanted.values()), weights, along)
    found = {name: to_numpy(value) for name, value in zip(wanted, bent, strict=True)}
    return Record(
        outputs={**still, **{name: to_numpy(value) for name, value in zip(smooth, tangents, strict=True)}},
        input_grads={name: found[name] for name in names},
        param_grads={name: value for name, value in found.items() if name not in names},
        draws=tuple(recorder.draws),
    )


def _tangents(
    outputs: dict[str, torch.Tensor], wanted: list[torch.Tensor], along: list[torch.Tensor]
) -> list[torch.Tensor]:
    """The Jacobian times a direction: the derivative of the reverse mode by its cotangent."""
    if not outputs:
        return []
    zeros = [torch.zeros_like(value, requires_grad=True) for value in outputs.values()]
    pulled = _grad(list(outputs.values()), wanted, zeros)
    return [value.detach() for value in _grad(pulled, zeros, along)]


def _bent(
    outputs: list[torch.Tensor], wanted: list[torch.Tensor], weights: list[torch.Tensor], along: list[torch.Tensor]
) -> list[torch.Tensor]:
    """The Hessian times a direction: the gradient of the gradient's product with it."""
    if not outputs:
        return [torch.zeros_like(value) for value in wanted]
    return [value.detach() for value in _grad(_grad(outputs, wanted, weights), wanted, along)]


def _grad(outputs: list[torch.Tensor], inputs: list[torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """`torch.autograd.grad` for any outputs; zeros where nothing depends on an input."""
    used = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not used:
        return [torch.zeros_like(value) for value in inputs]
    targets, given = [o for o, _ in used], [w for _, w in used]
    return list(torch.autograd.grad(targets, inputs, given, create_graph=True, materialize_grads=True))


def curvature_of_candidate(
    program: Candidate,
    state: Arrays,
    inputs: tuple[np.ndarray, ...],
    direction: tuple[Arrays, Arrays],
    *,
    precision: Precision,
    train: bool,
    cotangents: Arrays,
    seed: int,
    draws: tuple[Draw, ...],
) -> Record:
    """How outputs and gradients of the JAX side change along a direction, in forward mode.

    Args:
      program: the JAX side.
      state: every weight and buffer, by path.
      inputs: positional arguments, in the candidate's layout.
      direction: change of every parameter by path, and of every floating input by `input[i]`.
      precision: of the run.
      train: training mode.
      cotangents: of the floating outputs.
      seed: of the example.
      draws: of the reference.

    Returns:
      As `curvature_of_reference`, in this side's names.

    Raises:
      TypeError: something in the candidate has no forward mode.
    """
    assert isinstance(program, JaxProgram)
    dtype = FORMATS[precision]
    with isolated(precision):
        arguments = program.arguments(state, inputs, precision, cotangents=cotangents, seed=seed, draws=draws)
        along = [{name: as_dtype(value, dtype) for name, value in part.items()} for part in direction]
        tangents = (
            {path: along[0][path] for path in arguments[0]},
            {name: along[1][name] for name in floating(arguments[2])},
        )
        compiled = program.compiled("curvature", train, precision, lambda train: _curvature(program, train))
        found = compiled(*arguments[:6], tangents, draws)
        outputs, input_grads, param_grads = jax.tree.map(np.asarray, found)
    return Record(outputs, input_grads, param_grads, draws=draws)


def _curvature(program: JaxProgram, train: bool) -> Any:
    """Forward mode over `step`: one pass gives the outputs' tangents and the gradients' too."""
    step = program.step(train)

    def curvature(
        parameters: Leaves,
        buffers: Leaves,
        inputs: tuple[Any, ...],
        weights: Leaves,
        seed: Any,
        numbers: tuple[Any, ...],
        tangents: tuple[Leaves, Leaves],
        draws: tuple[Draw, ...],
    ) -> tuple[Leaves, Leaves, Leaves]:
        def both(parameters: Leaves, smooth: Leaves) -> tuple[Leaves, Leaves, Leaves]:
            arguments = parameters, buffers, filled(inputs, smooth), weights, seed, numbers, draws
            outputs, input_grads, param_grads, _ = step(*arguments)
            return {n: v for n, v in outputs.items() if is_smooth(v)}, input_grads, param_grads

        _, found = jax.jvp(both, (dict(parameters), floating(inputs)), tangents)
        return found

    return curvature
