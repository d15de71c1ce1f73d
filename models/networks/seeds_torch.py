"""Seeds for torch."""

from __future__ import annotations

import random

import numpy as np
import torch


def torch_fix_seed(seed: int = 42) -> None:
    """Seed `random`, numpy and torch, and make cuDNN deterministic; process-wide.

    Workers of a `DataLoader` are covered: torch seeds them from its own generator. Matrix products in
    float32 may use the "medium" precision afterwards.

    Args:
        seed: Any seed that numpy takes.

    Example:
        >>> precision = torch.get_float32_matmul_precision()
        >>> torch_fix_seed(3)
        >>> a = torch.rand(())
        >>> torch_fix_seed(3)
        >>> bool(a == torch.rand(()))
        True
        >>> torch.set_float32_matmul_precision(precision)
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # CUDA's generators too
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
