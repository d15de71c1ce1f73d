"""Size arithmetic: widths of layers, sizes that convolutions make; no framework.

In all of these n is a size, p padding, k kernel size, s stride, d dilation and op output padding.
"""

from __future__ import annotations


def conv_out(n: int, p: int, k: int, s: int, d: int = 1) -> int:
    """Return the size that a convolution makes of n.

    Example:
        >>> conv_out(64, p=1, k=3, s=2)
        32
    """
    return int((n + 2 * p - d * (k - 1) - 1) / s + 1)


def conv_transpose_out(n: int, p: int, k: int, s: int, d: int = 1, op: int = 0) -> int:
    """Return the size that a transposed convolution makes of n.

    Example:
        >>> conv_transpose_out(32, p=1, k=3, s=2), conv_transpose_out(32, p=1, k=3, s=2, op=1)
        (63, 64)
    """
    return (n - 1) * s - 2 * p + d * (k - 1) + op + 1


def conv_transpose_in(n: int, p: int, k: int, s: int, d: int = 1, op: int = 0) -> int:
    """Return the size from which a transposed convolution makes n.

    Example:
        >>> conv_transpose_in(64, p=1, k=3, s=2)
        32
    """
    return int((n - op - 1 + 2 * p - d * (k - 1)) / s + 1)


def output_padding(a: int, b: int, p: int, k: int, s: int, d: int = 1) -> int:
    """Return the output padding with which a transposed convolution makes a of b.

    Example:
        >>> output_padding(64, 32, p=1, k=3, s=2)
        1
    """
    return a - (b - 1) * s + 2 * p - d * (k - 1) - 1


def conv_out_shape(shape: tuple[int, ...], p: int, k: int, s: int, d: int = 1) -> tuple[int, ...]:
    """Apply `conv_out` to every axis."""
    return tuple(conv_out(n, p, k, s, d) for n in shape)


def conv_transpose_out_shape(
    shape: tuple[int, ...], p: int, k: int, s: int, d: int = 1, op: int = 0
) -> tuple[int, ...]:
    """Apply `conv_transpose_out` to every axis."""
    return tuple(conv_transpose_out(n, p, k, s, d, op) for n in shape)


def conv_transpose_in_shape(shape: tuple[int, ...], p: int, k: int, s: int, d: int = 1, op: int = 0) -> tuple[int, ...]:
    """Apply `conv_transpose_in` to every axis."""
    return tuple(conv_transpose_in(n, p, k, s, d, op) for n in shape)


def output_padding_shape(a: tuple[int, ...], b: tuple[int, ...], p: int, k: int, s: int, d: int = 1) -> tuple[int, ...]:
    """Apply `output_padding` to every axis."""
    return tuple(output_padding(x, y, p, k, s, d) for x, y in zip(a, b, strict=True))


def is_glu_like(activation: str) -> bool:
    """Say whether the activation halves its axis, so that the layer in front has to be twice as wide."""
    return "glu" in activation.lower()


def scaled_width(width: int, scale_factor: int, axes: int) -> int:
    """Return the convolution's channels, so that `width` are left after shuffling `axes` axes."""
    if scale_factor >= 0:
        return width * max(scale_factor, 1) ** axes
    return width // (-scale_factor) ** axes


def check_patches(name: str, obs_shape: tuple[int, ...], patch_size: int) -> None:
    """Assert that patches tile the image.

    Args:
        name: Who asks.
        obs_shape: (C, H, W).
        patch_size: Side of a patch.
    """
    assert all(size % patch_size == 0 for size in obs_shape[1:]), (
        f"{name}: patches of {patch_size} × {patch_size} do not tile an image of {obs_shape[1]} × {obs_shape[2]}"
    )
