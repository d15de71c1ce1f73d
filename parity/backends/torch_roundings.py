"""Roundings on the way: torch's float64 operators, each inexact result moved by one unit in the last place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class Roundings(TorchDispatchMode):
    """While active, every float64 result of an operator below autograd goes up or down by one unit, as chance has it.

    How far a quantity then moves is how far roundings alone may take two right implementations apart. A result that
    float32 holds exactly counts as exact and stays, so that small integers, masks and halves are what they were; and
    so does one that an operand holds, since what is chosen, sorted or copied is not rounded: the largest element equals
    itself. Operators that write into a tensor, or only look at it in another way, are left alone.

    References:
      Parker, 1997, Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if any(value.alias_info is not None for value in func._schema.returns):
            return found
        given = [v.ravel() for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor) and v.dtype == torch.float64]
        operands = torch.cat(given) if given else torch.empty(0, dtype=torch.float64)
        return tree_map_only(Tensor, lambda value: self._moved(value, operands), found)

    def _moved(self, value: Tensor, operands: Tensor) -> Tensor:
        if value.dtype != torch.float64:
            return value
        up = torch.randint(0, 2, value.shape, generator=self._chance, dtype=torch.bool)
        neighbour = torch.nextafter(value, torch.where(up, torch.inf, -torch.inf).to(value.dtype))
        exact = (value == value.float().double()) | torch.isin(value.abs(), operands.abs())
        return torch.where(exact, value, neighbour)
