"""Binary spherical codes, torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BSQCodebook(nn.Module):
    """The corners of a cube, projected to the unit sphere and numbered by their bits.

    Args:
        codebook_dim: Number of bits d; the codebook holds 2^d codes in memory.

    Example:
        >>> BSQCodebook(2).indices_to_codes(torch.tensor([2, 3]))
        tensor([[ 0.7071, -0.7071],
                [ 0.7071,  0.7071]])

    References:
        Zhao et al., 2024: Image and video tokenization with binary spherical quantization.
    """

    mask: Tensor
    codebook: Tensor

    def __init__(self, codebook_dim: int) -> None:
        super().__init__()
        self.codebook_dim = codebook_dim
        self.register_buffer("mask", 2 ** torch.arange(codebook_dim - 1, -1, -1))  # most significant bit first
        codes = self.indices_to_codes(torch.arange(2**codebook_dim)[:, None])
        self.register_buffer("codebook", codes, persistent=False)

    @staticmethod
    def bits_to_codes(bits: Tensor) -> Tensor:
        """Return unit vectors with the signs of bits: normalised 2·bits − 1, over the last axis."""
        return F.normalize(bits * 2 - 1, dim=-1)

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """Return the codes of indices.

        Args:
            indices: (*, 1) or (*), integer.

        Returns:
            (*, d), float32.
        """
        indices = indices.squeeze(-1) if indices.shape[-1:] == (1,) else indices
        return self.bits_to_codes(((indices[..., None] & self.mask) != 0).to(torch.float32))
