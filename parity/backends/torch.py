"""The reference's side: a `torch.nn.Module` behind the common protocol."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import torch

from parity import structure
from parity._errors import UsageError
from parity.backends.base import Call
from parity.backends.torch_noise import Recorder
from parity.cotangents import cotangent
from parity.formats import Precision
from parity.noise import Draw
from parity.record import Arrays, Record

DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TorchProgram:
    """A torch module, copied once per precision, fed and differentiated through numpy arrays."""

    framework = "torch"

    def __init__(self, model: Any, call: Call) -> None:
        if not isinstance(model, torch.nn.Module):
            raise UsageError(
                f"reference of type {type(model).__module__}.{type(model).__qualname__}: expected a torch.nn.Module"
            )
        unreal = [name for name, parameter in model.named_parameters() if parameter.is_complex()]
        if unreal:
            raise UsageError(
                f"parameter {unreal[0]} of {type(model).__qualname__} is complex: its gradient is not compared; "
                "hold a real one with a last axis of two, and make it complex with torch.view_as_complex"
            )
        call.require_of(model)
        self.model = model
        self.call = call
        self._at: dict[str, torch.nn.Module] = {}
        self._unsaved = {name: to_numpy(buffer) for name, buffer in unsaved(model).items()}
        self._quiet: set[tuple[bool, tuple[torch.Size, ...]]] = set()

    def state(self) -> dict[str, np.ndarray]:
        """Names and values of `state_dict()`, in its order."""
        return {name: to_numpy(value) for name, value in self.model.state_dict().items()}

    def parameter_names(self) -> dict[str, tuple[str, ...]]:
        """First name of every trainable parameter, with all names that share it."""
        names: dict[int, list[str]] = {}
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            if parameter.requires_grad:
                names.setdefault(id(parameter), []).append(name)
        return {aliases[0]: tuple(aliases) for aliases in names.values()}

    def at(self, precision: Precision) -> torch.nn.Module:
        """The module in one precision; the caller's module is never changed."""
        if precision not in self._at:
            self._at[precision] = self.copied(precision)
        return self._at[precision]

    def copied(self, precision: Precision) -> torch.nn.Module:
        """A new copy in one precision, as it was at first."""
        return _converted(copy.deepcopy(self.model), DTYPES[precision])

    def ready(self, precision: Precision, state: Arrays, *, train: bool) -> torch.nn.Module:
        """The copy with these values; what the state leaves out is as it was at first."""
        module = self.at(precision)
        load(module, {**self._unsaved, **state})
        return module.train(train)

    def run(
        self,
        state: Arrays,
        inputs: tuple[np.ndarray, ...],
        *,
        precision: Precision,
        train: bool,
        cotangents: Arrays | None,
        seed: int,
        draws: tuple[Draw, ...] = (),
        gradients: bool = True,
    ) -> Record:
        """See `Program.run`; names are those of `state_dict`, and the draws are those that were made."""
        module = self.ready(precision, state, train=train)
        with isolated(DTYPES[precision], seed):
            arguments = [to_torch(value, DTYPES[precision]) for value in inputs]
            floating = {f"input[{i}]": a.requires_grad_() for i, a in enumerate(arguments) if a.is_floating_point()}
            with self._drawing(train, arguments, seed) as made:
                result = self.call.of(module)(*(a.clone() if a.requires_grad else a for a in arguments))
            outputs = {name: torch.as_tensor(leaf) for name, leaf in structure.leaves(self.call.select(result))}
            parameters = {n: p for n, p in module.named_parameters() if p.requires_grad and p.is_floating_point()}
            wanted = {**floating, **parameters}
            found = vector_jacobian(outputs, wanted, cotangents, seed) if gradients else {}
        return Record(
            outputs={name: to_numpy(value) for name, value in outputs.items()},
            input_grads={name: found[name] for name in floating if gradients},
            param_grads={name: found[name] for name in parameters if gradients},
            buffers={name: to_numpy(value) for name, value in held(module).items() if name not in parameters},
            draws=tuple(made),
        )

    @contextmanager
    def _drawing(self, train: bool, arguments: list[torch.Tensor], seed: int) -> Generator[list[Draw]]:
        """Gives every draw its numbers and lists them; a mode and sizes that drew nothing are not watched again."""
        kind = train, tuple(argument.shape for argument in arguments)
        if kind in self._quiet:
            yield []
            return
        with Recorder(seed) as recorder:
            yield recorder.draws
        if not recorder.draws:
            self._quiet.add(kind)


def _converted(module: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """The module in a real format; its complex buffers, of which `Module.to` keeps the real parts, in the nearest."""
    nearest = torch.complex128 if dtype == torch.float64 else torch.complex64
    unreal = {name: buffer.to(nearest) for name, buffer in module.named_buffers() if buffer.is_complex()}
    with warnings.catch_warnings():
        # The buffers that this drops the imaginary parts of are put back below.
        warnings.filterwarnings("ignore", "Complex modules are a new feature|Casting complex values to real")
        module.to(dtype)
    for name, buffer in unreal.items():
        _put(module, name, buffer)
    return module


def _put(module: torch.nn.Module, name: str, buffer: torch.Tensor) -> None:
    """Puts a tensor in the place of a buffer, by its name in the whole module."""
    owner, _, last = name.rpartition(".")
    setattr(module.get_submodule(owner), last, buffer)


def vector_jacobian(
    outputs: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], cotangents: Arrays | None, seed: int
) -> dict[str, np.ndarray]:
    """Vector-Jacobian product of all outputs.

    Args:
      outputs: by leaf name.
      wanted: what to differentiate by; a tensor that no output depends on gets zeros.
      cotangents: by leaf name of the outputs, zero where absent; None draws them from `seed`.
      seed: of the example.

    Returns:
      Gradients under the names of `wanted`.
    """
    smooth = {name: value for name, value in outputs.items() if value.requires_grad}
    if not smooth or not wanted:
        return {name: np.zeros(tuple(value.shape)) for name, value in wanted.items()}
    weights = [_weight(name, value, cotangents, seed) for name, value in smooth.items()]
    targets, tensors = list(smooth.values()), list(wanted.values())
    found = torch.autograd.grad(targets, tensors, weights, materialize_grads=True)
    return {name: to_numpy(gradient) for name, gradient in zip(wanted, found, strict=True)}


def _weight(name: str, value: torch.Tensor, cotangents: Arrays | None, seed: int) -> torch.Tensor:
    """The cotangent of one output."""
    if cotangents is not None and name not in cotangents:
        return torch.zeros_like(value)
    weight = cotangent(name, tuple(value.shape), seed) if cotangents is None else cotangents[name]
    return to_torch(weight, value.dtype).reshape(value.shape)


def unsaved(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that `state_dict` leaves out: tables, and what a model remembers from call to call."""
    saved = module.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in module.named_buffers() if name not in saved}


def held(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All that a module holds: `state_dict`, and the buffers that it leaves out."""
    return {**module.state_dict(keep_vars=True), **unsaved(module)}


def load(module: torch.nn.Module, state: Arrays) -> None:
    """Copies values into a module's own tensors, in its dtypes; buffers forget what they were computed from."""
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.grad_fn is not None:
                setattr(part, name, buffer.detach().clone())
    own = held(module)
    with torch.no_grad():
        for name, value in state.items():
            tensor = torch.from_numpy(np.array(_plain(value)))
            if own[name].numel() == tensor.numel():
                own[name].copy_(tensor.reshape(own[name].shape))
            else:  # a buffer that grows
                _put(module, name, tensor.to(own[name].dtype))


@contextmanager
def isolated(dtype: torch.dtype, seed: int) -> Generator[None]:
    """Default dtype, gradient mode and random state of one run; all restored afterwards."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` asks every device, each time
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Torch's generator at a seed, and back where it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def to_torch(value: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of its own memory; floating values in `dtype`."""
    tensor = torch.from_numpy(np.array(_plain(value)))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """An array of its own memory; bfloat16 stays bfloat16."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16).copy()
    return np.array(tensor.numpy())


def _plain(value: np.ndarray) -> np.ndarray:
    """An array whose dtype torch can take."""
    return value.astype(np.float32) if value.dtype == ml_dtypes.bfloat16 else np.asarray(value)
