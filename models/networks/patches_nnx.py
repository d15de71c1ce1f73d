"""Image patches as tokens, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from models.networks.kernels_nnx import Conv2d
from models.networks.modules_nnx import RngsLike, as_rngs
from models.networks.sizes import check_patches

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float


class PatchEmbed(nnx.Module):
    """Map each patch to a token; patches run row by row.

    Args:
        emb_dim: Width of a token.
        patch_size: Side of a patch.
        obs_shape: (C, H, W).
        rngs: Streams.

    Raises:
        AssertionError: The patches do not tile the image.

    Example:
        >>> import jax.numpy as jnp
        >>> PatchEmbed(5, 2, (3, 4, 6), rngs=0)(jnp.ones((2, 3, 4, 6))).shape
        (2, 6, 5)
    """

    def __init__(self, emb_dim: int, patch_size: int, obs_shape: tuple[int, int, int], *, rngs: RngsLike) -> None:
        check_patches("PatchEmbed", obs_shape, patch_size)
        self.patch_emb_layer = Conv2d(
            obs_shape[0], emb_dim, kernel_size=patch_size, stride=patch_size, rngs=as_rngs(rngs)
        )

    def __call__(self, x: Float[Array, "B C H W"]) -> Float[Array, "B N D"]:
        tokens = self.patch_emb_layer(x)
        return tokens.reshape(*tokens.shape[:2], -1).swapaxes(1, 2)
