"""A torch module traced call by call through forward hooks, with the cotangents of everything that was traced."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F

from parity import structure
from parity.backends.base import Call
from parity.backends.torch import isolated, to_numpy, to_torch, vector_jacobian
from parity.backends.torch_noise import Recorder as Noise
from parity.noise import Draw
from parity.record import Arrays, Record
from parity.trace import ModuleCall, Trace, is_array, numbers

Tensors = dict[str, torch.Tensor]

Edit = Callable[[], AbstractContextManager[Any]]
"""Opens what makes the reference compute with a mistake."""


@dataclass(frozen=True)
class TorchRun:
    """One module of the traced copy, ready to run alone on other inputs.

    Attributes:
      module: loaded, in the mode and precision of the trace.
      call: applied to the arguments.
      select: what is compared of the raw result.
      args: traced positional arguments.
      kwargs: traced keyword arguments.
      prefix: torch name of the module.
      dtype: of floating inputs.
      seed: of what is drawn inside.
      drawn: what the model drew before this call.
    """

    module: torch.nn.Module
    call: Callable[..., Any]
    select: Callable[[Any], Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    prefix: str
    dtype: torch.dtype
    seed: int
    drawn: tuple[Draw, ...]

    def __call__(self, inputs: Arrays, cotangents: Arrays | None = None, within: Edit = nullcontext) -> Record:
        """See `Rerun`; its tensors are put back afterwards; `within` surrounds the call."""
        with isolated(self.dtype, self.seed), put_back(self.module):
            given = {name: to_torch(value, self.dtype) for name, value in inputs.items()}
            floating = {n: v.requires_grad_() for n, v in given.items() if v.is_floating_point() or v.is_complex()}
            arguments = {n: v.clone() if n in floating else v for n, v in given.items()}
            args = structure.replaced(self.args, arguments, "input")
            kwargs = structure.replaced(self.kwargs, arguments, "input")
            with drawing(self.seed, self.drawn), within():
                outputs = _tensors(self.select(self.call(*args, **kwargs)), "output")
            parameters = {
                self._full(name): parameter
                for name, parameter in self.module.named_parameters()
                if parameter.requires_grad and parameter.is_floating_point()
            }
            gradients: Arrays = {}
            if cotangents is not None:
                gradients = vector_jacobian(outputs, {**floating, **parameters}, cotangents, self.seed)
            buffers = {self._full(name): to_numpy(value) for name, value in self.module.named_buffers()}
        return Record(
            outputs={name: to_numpy(value) for name, value in outputs.items()},
            input_grads={name: gradients[name] for name in floating if name in gradients},
            param_grads={name: gradients[name] for name in parameters if name in gradients},
            buffers=buffers,
        )

    def set_buffers(self, values: Arrays) -> None:
        """Puts values into the module's buffers, by the names under which a call records them."""
        with torch.no_grad():
            for name, buffer in self.module.named_buffers():
                buffer.copy_(torch.as_tensor(values[self._full(name)]))

    def _full(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name


@dataclass
class _Open:
    """A call that has begun."""

    name: str
    nth: int
    order: int
    parent: int | None
    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: Arrays
    sources: Tensors
    drawn: tuple[Draw, ...]
    outputs: Arrays = field(default_factory=dict[str, np.ndarray])
    results: Tensors = field(default_factory=dict[str, torch.Tensor])


class _Recorder:
    """Forward hooks that note every call, and cut the graph at its inputs and outputs with copies.

    A linear layer whose weights another module hands to `linear` itself, as fused attention does with its last
    projection, is called in its place, so that it has a call of its own as it has in the candidate.
    """

    def __init__(self, model: torch.nn.Module, draws: list[Draw]) -> None:
        self._draws = draws
        self.calls: list[_Open] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._counts: Counter[str] = Counter()
        self._stack: list[_Open] = []

    def begin(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Notes the arguments; a copy of each goes on, so that its cotangent is that of this call alone."""
        name = self._names[module]
        given = {**_tensors(args, "input"), **_tensors(kwargs, "input")}
        parent = self._stack[-1].order if self._stack else None
        noted = {leaf: to_numpy(value) for leaf, value in given.items()}
        copied = (
            {} if getattr(module, "inplace", False) else {n: v.clone() for n, v in given.items() if v.requires_grad}
        )
        args, kwargs = structure.replaced(args, copied, "input"), structure.replaced(kwargs, copied, "input")
        place = (name, self._counts[name], len(self.calls), parent)
        opened = _Open(*place, module, args, kwargs, noted, copied, tuple(self._draws))
        self._counts[name] += 1
        self.calls.append(opened)
        self._stack.append(opened)
        return args, kwargs

    def end(self, module: torch.nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        """Notes the result; a copy of it goes on, which may be changed in place.

        What is noted is a copy as well, so that the cotangent of one output does not count what another is made of.
        """
        opened = self._stack.pop()
        results = _tensors(result, "output")
        opened.outputs = {leaf: to_numpy(value) for leaf, value in results.items()}
        opened.results = {leaf: value.clone() for leaf, value in results.items() if value.requires_grad}
        return structure.replaced(result, {leaf: value.clone() for leaf, value in opened.results.items()})

    @contextmanager
    def hooked(self, model: torch.nn.Module) -> Generator[None]:
        """Hooks on every module below the model; removed afterwards."""
        handles: list[Any] = []
        below = [module for module in self._names if module is not model]
        layers = {id(module.weight): module for module in below if isinstance(module, torch.nn.Linear)}
        try:
            for module in below:
                handles.append(module.register_forward_pre_hook(self.begin, with_kwargs=True))
                handles.append(module.register_forward_hook(self.end, with_kwargs=True))
            with patch.object(F, "linear", functools.partial(self._linear, F.linear, layers)):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _linear(
        self, original: Any, layers: Mapping[int, torch.nn.Linear], x: Any, weight: Any, bias: Any = None
    ) -> Any:
        """`linear` by the layer that these are the weights of, where it is not that layer itself which computes."""
        layer = layers.get(id(weight))
        itself = getattr(self._stack[-1].module, "weight", None) is weight
        return original(x, weight, bias) if layer is None or itself or bias is not layer.bias else layer(x)


def trace(
    model: torch.nn.Module, call: Call, inputs: tuple[np.ndarray, ...], *, dtype: torch.dtype, seed: int
) -> Trace:
    """Runs a model once and notes every call of every module in it, with cotangents.

    Args:
      model: loaded and in its mode; it belongs to the trace from now on.
      call: method and selection of the outputs.
      inputs: positional arguments.
      dtype: of floating inputs.
      seed: draws the cotangents, and what the model draws.

    Returns:
      The trace; the model itself is its first call.
    """
    with isolated(dtype, seed), put_back(model):
        given = [to_torch(value, dtype) for value in inputs]
        with drawing(seed, ()) as draws:
            recorder = _Recorder(model, draws)
            recorder.begin(model, tuple(a.requires_grad_() if a.is_floating_point() else a for a in given), {})
            with recorder.hooked(model):
                result = call.select(call.of(model)(*recorder.calls[0].args))
        recorder.end(model, (), {}, result)
        cotangents, param_grads = _cotangents(recorder.calls, model, seed)
    calls: list[ModuleCall] = []
    for opened, (ins, outs) in zip(recorder.calls, cotangents, strict=True):
        target, select = (call.of(model), call.select) if not opened.order else (opened.module, lambda raw: raw)
        detached = _detached(opened)
        rerun = TorchRun(opened.module, target, select, *detached, opened.name, dtype, seed, opened.drawn)
        kind = type(opened.module).__name__
        place = (opened.name, kind, opened.nth, opened.order, opened.parent)
        counted = {**numbers(opened.args, "input"), **numbers(opened.kwargs, "input")}
        calls.append(ModuleCall(*place, opened.inputs, opened.outputs, opened.module, rerun, ins, outs, counted))
    return Trace(tuple(calls), param_grads)


@contextmanager
def drawing(seed: int, before: tuple[Draw, ...]) -> Generator[list[Draw]]:
    """Gives every draw the numbers of its place in the example.

    Args:
      seed: of the example.
      before: what was drawn earlier in the same run.

    Yields:
      All draws so far, growing.
    """
    noise = Noise(seed)
    noise.draws.extend(before)
    with noise:
        yield noise.draws


def _cotangents(calls: list[_Open], model: torch.nn.Module, seed: int) -> tuple[list[tuple[Arrays, Arrays]], Arrays]:
    """Cotangents of all traced tensors and of the parameters, from one backward pass."""
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad and p.is_floating_point()}
    wanted: Tensors = {}
    for opened in calls:
        wanted |= {f"{opened.order} in {leaf}": value for leaf, value in opened.sources.items()}
        wanted |= {f"{opened.order} out {leaf}": value for leaf, value in opened.results.items()}
    found = vector_jacobian(calls[0].results, {**wanted, **parameters}, None, seed)

    def of(opened: _Open, side: str, leaves: Tensors) -> Arrays:
        return {leaf: found[f"{opened.order} {side} {leaf}"] for leaf in leaves}

    cotangents = [(of(opened, "in", opened.sources), of(opened, "out", opened.results)) for opened in calls]
    return cotangents, {name: found[name] for name in parameters}


def _detached(opened: _Open) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The traced arguments without their history, with the values they had when the call began."""
    tensors = {**_tensors(opened.args, "input"), **_tensors(opened.kwargs, "input")}
    values = {leaf: to_torch(opened.inputs[leaf], value.dtype) for leaf, value in tensors.items()}
    return structure.replaced(opened.args, values, "input"), structure.replaced(opened.kwargs, values, "input")


def _tensors(tree: Any, name: str) -> Tensors:
    """Tensors among the leaves of arguments or of a result; numbers in a result become tensors."""
    leaves = structure.leaves(tree, name)
    return {
        leaf: value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
        for leaf, value in leaves
        if is_array(value)
    }


@contextmanager
def put_back(module: torch.nn.Module) -> Generator[None]:
    """Running statistics and counters as they were, and weights that a forward pass changes, as `max_norm` does."""
    held = [*module.buffers(), *(p.data for p in module.parameters())]
    before = [(tensor, tensor.clone()) for tensor in held]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)
