"""Image patches as tokens, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.networks.sizes import check_patches

if TYPE_CHECKING:
    from jaxtyping import Float


class PatchEmbed(nn.Module):
    """Map each patch to a token; patches run row by row.

    Args:
        emb_dim: Width of a token.
        patch_size: Side of a patch.
        obs_shape: (C, H, W).

    Raises:
        AssertionError: The patches do not tile the image.

    Example:
        >>> import torch
        >>> PatchEmbed(5, 2, (3, 4, 6))(torch.ones(2, 3, 4, 6)).shape
        torch.Size([2, 6, 5])
    """

    def __init__(self, emb_dim: int, patch_size: int, obs_shape: tuple[int, int, int]) -> None:
        super().__init__()
        check_patches("PatchEmbed", obs_shape, patch_size)
        self.patch_emb_layer = nn.Conv2d(obs_shape[0], emb_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N D"]:
        return self.patch_emb_layer(x).flatten(2).transpose(1, 2)
