"""A call with arguments of its own as a torch module, so that a claim can be made on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Calling(nn.Module):
    """Calls a function of a module and the inputs.

    Args:
        module: What is called, or None.
        call: `call(module, *inputs)`.

    Example:
        >>> import torch
        >>> Calling(None, lambda module, x: x + 1)(torch.zeros(2))
        tensor([1., 1.])
    """

    def __init__(self, module: nn.Module | None, call: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, *inputs: Tensor) -> Any:
        return self.call(self.module, *inputs)
