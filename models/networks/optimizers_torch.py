"""Optimizers by name, torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_SOURCES = ("schedulefree", "torch.optim", "pytorch_optimizer")


def get_optimizer(params: Iterable[Tensor], name: str, **kwargs: Any) -> torch.optim.Optimizer:
    """Build an optimizer by the name of its class.

    Args:
        params: What to optimize.
        name: A class of `schedulefree`, else of `torch.optim`, else of `pytorch_optimizer`; case-sensitive.
            The first and the last are searched if they are installed.
        **kwargs: Its arguments.

    Returns:
        The optimizer.

    Raises:
        NotImplementedError: No library has such an optimizer.

    Example:
        >>> get_optimizer([torch.zeros(3, requires_grad=True)], "Adam", lr=1e-2).defaults["lr"]
        0.01
    """
    for source in _SOURCES:
        try:
            library = importlib.import_module(source)
        except ModuleNotFoundError:
            continue
        cls = getattr(library, name, None)
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer):
            return cls(params, **kwargs)
    raise NotImplementedError(
        f"get_optimizer: {name!r} is no optimizer of {', '.join(_SOURCES)} (those that are installed); "
        "names are case-sensitive"
    )
