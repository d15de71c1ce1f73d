"""State dicts and modules in memory. Torch is never imported here: a torch object proves that it already is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, cast

import numpy as np

from weight_bridge._dtypes import EXTENSIONS, NATIVE, dtype_name, numpy_dtype
from weight_bridge._errors import CheckpointError, UsageError
from weight_bridge.spec import Array, Spec, spec_of
from weight_bridge.structure import Layer, library_kind, simple_options

Entry = tuple[Spec, Callable[[], Array], Hashable]
LIBRARIES = {"torch.nn": "torch", "torch.ao.nn": "torch", "transformers.pytorch_utils": "transformers"}


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, without importing torch to ask."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__)


def is_module(value: object) -> bool:
    """Whether a value is a torch module, without importing torch to ask."""
    return any(base.__module__ == "torch.nn.modules.module" for base in type(value).__mro__)


def state_tensors(state: Mapping[str, Any]) -> dict[str, Entry]:
    """Returns the tensors of a state dict; a value that is no array is refused.

    Args:
      state: name → torch tensor or numpy array, of any shape and dtype.

    Returns:
      Name → (spec, read, storage).

    Raises:
      CheckpointError: values that are neither; all are listed, with the dicts of tensors found among them.
    """
    problems = [f"{name}: {fault}" for name, value in state.items() if (fault := _fault(name, value))]
    if problems:
        nested = _places(state)
        hint = f"; --key {' or --key '.join(nested)} picks the state dict inside" if nested else ""
        raise CheckpointError(f"not a state dict{hint}", problems)
    return {
        name: _tensor_entry(value) if is_tensor(value) else _array_entry(np.asarray(value))
        for name, value in state.items()
    }


def descend(state: Mapping[str, Any], key: str | None) -> Mapping[str, Any]:
    """Returns the mapping at a dotted key inside nested mappings."""
    for part in key.split(".") if key else ():
        found = state.get(part)
        if not isinstance(found, Mapping):
            inside = ", ".join(name for name, value in state.items() if isinstance(value, Mapping)) or "none"
            raise UsageError(f"--key {key}: no mapping at {part!r}; mappings there: {inside}")
        state = cast("Mapping[str, Any]", found)
    return state


def module_tensors(module: Any) -> dict[str, Entry]:
    """Returns the state dict of a live module."""
    return state_tensors(module.state_dict())


def module_layers(module: Any) -> dict[str, Layer]:
    """Returns the layer at each module name; a shared layer shows under all its names."""
    return {name: layer_of(child) for name, child in module.named_modules(remove_duplicate=False)}


def layer_of(module: Any) -> Layer:
    """Returns kind and options of one torch module."""
    return Layer(library_kind(type(module), LIBRARIES), simple_options(vars(module)))


def _fault(name: object, value: Any) -> str | None:
    """Why an entry of a state dict cannot be carried over, if so."""
    if not isinstance(name, str):
        return f"its name is a {type(name).__name__}, expected text"
    if is_tensor(value) and str(value.layout) != "torch.strided":
        return f"{value.layout}, expected a dense tensor"
    if not is_tensor(value) and not isinstance(value, np.ndarray | np.generic):
        return f"{type(value).__name__}, expected a tensor"
    dtype = dtype_name(value.dtype)
    return None if dtype in NATIVE or dtype in EXTENSIONS else f"dtype {dtype} is not known"


def _places(state: Mapping[str, Any], depth: int = 4) -> list[str]:
    """Dotted keys of the mappings that hold nothing but tensors, outermost first."""
    found: list[str] = []
    for name, value in state.items():
        if not isinstance(value, Mapping) or not value or not depth:
            continue
        inside = cast("Mapping[str, Any]", value)
        if all(is_tensor(item) or isinstance(item, np.ndarray) for item in inside.values()):
            found.append(str(name))
        else:
            found += [f"{name}.{place}" for place in _places(inside, depth - 1)]
    return found


def _array_entry(array: Array) -> Entry:
    pointer = array.__array_interface__["data"][0]
    return spec_of(array), lambda: array, (pointer, array.shape, array.strides, array.dtype.str) if array.size else None


def _tensor_entry(tensor: Any) -> Entry:
    spec = Spec(tuple(tensor.shape), dtype_name(tensor.dtype))
    meta = tensor.device.type == "meta"
    shared = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
    return spec, lambda: to_numpy(tensor), shared if spec.size and (meta or tensor.untyped_storage().nbytes()) else None


def to_numpy(tensor: Any) -> Array:
    """Returns a torch tensor's elements as numpy, bit for bit, sharing memory where torch can."""
    flat = tensor.detach().cpu()
    dtype = numpy_dtype(dtype_name(flat.dtype))
    if dtype.name in EXTENSIONS:
        import torch

        as_integers = {1: torch.uint8, 2: torch.int16}[dtype.itemsize]
        return flat.contiguous().view(as_integers).numpy().view(dtype)
    return flat.resolve_conj().resolve_neg().numpy()
