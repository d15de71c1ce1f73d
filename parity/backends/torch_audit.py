"""Formats that a torch model computes in, watched below autograd while it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from parity.audit import Audit, Narrowing, coarse, narrower, wider
from parity.formats import Precision

FAMILY_OF: Mapping[str, str] = MappingProxyType(
    {"exp": "exponential", "exp2": "exponential", "_softmax": "exponential", "_log_softmax": "exponential"}
    | {"log": "logarithm", "log1p": "logarithm", "logsumexp": "exponential"}
    | {"sqrt": "root", "rsqrt": "root", "native_layer_norm": "root", "native_group_norm": "root"}
    | {"native_batch_norm": "root", "_native_batch_norm_legit": "root", "_fused_rms_norm": "root"}
)

EXACT = frozenset(
    """
    _to_copy _unsafe_view abs alias amax amin arange argmax argmin as_strided bernoulli bernoulli_ cat clamp clamp_min
    clone constant_pad_nd copy_ detach diagonal embedding empty empty_like expand fill_ flip full full_like gather index
    index_select lift_fresh masked_fill max max_pool2d_with_indices maximum min minimum neg new_empty new_full new_ones
    new_zeros ones ones_like permute relu repeat reshape resize_ roll scatter select set_ sign slice sort split
    split_with_sizes squeeze stack t topk transpose tril triu unbind unsqueeze view where zero_ zeros zeros_like
    """.split()  # noqa: SIM905  # a paragraph is easier to keep sorted than eighty quoted lines
)
"""Operators that move or choose numbers; running them in a narrow format loses nothing more."""


class Auditor(TorchDispatchMode):
    """While active, notes the formats of every operator.

    Args:
      precision: that everything is asked to be in.
      owner: name of the module that is at work.
    """

    def __init__(self, precision: Precision, owner: Callable[[], str]) -> None:
        super().__init__()
        self._precision: Precision = precision
        self._owner = owner
        self._widening: dict[str, dict[str, None]] = {}
        self._found: set[Narrowing] = set()
        self._families: dict[str, set[str]] = {}
        self._made: dict[int, torch.Tensor] = {}

    @property
    def audit(self) -> Audit:
        """What was noted so far."""
        families = {name: frozenset(kinds) for name, kinds in self._families.items()}
        return Audit(tuple(sorted(self._found)), families, {name: tuple(by) for name, by in self._widening.items()})

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        outputs = [tensor for tensor in _tensors(result) if tensor.is_floating_point()]
        self._made.update({id(tensor): tensor for tensor in outputs})  # kept, so that no identity is used twice
        if family := FAMILY_OF.get(name):
            self._families.setdefault(family, set()).update(_format(tensor) for tensor in outputs)
            if any(wider(_format(tensor), self._precision) for tensor in outputs):
                self._widening.setdefault(family, {})[self._owner()] = None
        for tensor in outputs:
            if narrower(_format(tensor), self._precision) and self._loses(name, tensor, args):
                self._found.add(
                    Narrowing(_format(tensor), "conversion" if name == "_to_copy" else name.strip("_"), _place())
                )
        for tensor in _tensors(args):
            self._note_constant(tensor)
        return result

    def _loses(self, name: str, tensor: torch.Tensor, args: tuple[Any, ...]) -> bool:
        """Whether an operator with a narrow result loses digits."""
        if name == "lift_fresh":
            return coarse(tensor.detach().double().numpy())
        if name == "_to_copy":
            return args[0].is_floating_point() and not narrower(_format(args[0]), self._precision)
        return name not in EXACT

    def _note_constant(self, tensor: torch.Tensor) -> None:
        """A narrow tensor that no operator of the run made is a constant of the model."""
        if id(tensor) in self._made or not narrower(_format(tensor), self._precision):
            return
        self._made[id(tensor)] = tensor
        if tensor.is_floating_point() and coarse(tensor.detach().double().numpy()):
            self._found.add(Narrowing(_format(tensor), f"constant of shape {list(tensor.shape)}", _place()))


def _format(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Tensors among arguments or results."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _tensors(part)


def _place() -> str:
    """The innermost line of the model's own code, or of torch's layers where the model is one."""
    frame, layer = inspect.currentframe(), ""
    while frame is not None:
        file = frame.f_code.co_filename
        place = f"{file}:{frame.f_lineno} ({frame.f_code.co_name})"
        if file.startswith(_TORCH):
            layer = layer or (place if "/nn/modules/" in file else "")
        elif not file.startswith(_OWN):
            return place
        frame = frame.f_back
    return layer


_TORCH = str(Path(torch.__file__).parent)
_OWN = str(Path(__file__).parent.parent)
