"""Refusals of shapes that losses cannot take, the same in both frameworks; no framework."""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple[int, ...]


def refuse_axes(name: str, axes: int | Sequence[int], ndim: int) -> None:
    """Refuse axes to sum over that an array has not.

    Args:
        name: Who refuses.
        axes: One or several.
        ndim: Number of axes of the array.

    Raises:
        ValueError: There is no such axis.
    """
    wrong = [axis for axis in ([axes] if isinstance(axes, int) else axes) if not -ndim <= axis < ndim]
    if wrong:
        raise ValueError(f"{name}: sum_dim must lie in {-ndim} … {ndim - 1}, got {wrong[0]}")


def refuse_unlike(name: str, prediction: Shape, target: Shape) -> None:
    """Refuse a target that does not broadcast against the prediction.

    Args:
        name: Who refuses.
        prediction: Its shape.
        target: Its shape.

    Raises:
        ValueError: Sizes differ, and neither is 1.

    Example:
        >>> refuse_unlike("charbonnier", (2, 3), (2, 5))
        Traceback (most recent call last):
        ...
        ValueError: charbonnier: a target of shape (2, 5) does not fit a prediction of shape (2, 3)
    """
    pairs = zip(reversed(prediction), reversed(target), strict=False)
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        raise ValueError(f"{name}: a target of shape {target} does not fit a prediction of shape {prediction}")


def refuse_images(name: str, shape: Shape, result: Shape | None = None) -> None:
    """Refuse what is no batch of images, and results that are not one per image.

    Args:
        name: Who refuses.
        shape: Of the images.
        result: Shape of what is to be brought to the images' two leading axes, if anything is.

    Raises:
        ValueError: There are fewer than four axes, or another number of results.
    """
    if len(shape) < 4:
        raise ValueError(f"{name}: expected images (N, C, H, W) or (B, T, C, H, W), got shape {shape}")
    if result is not None and math.prod(result) != math.prod(shape[:-3]):
        raise ValueError(
            f"{name}: mean_batch=False gives one loss per image of shape {shape} only with patch_factor=1 and "
            f"ave_spectrum=False, got losses of shape {result}"
        )


def refuse_features(name: str, shapes: tuple[Shape, Shape], widths: tuple[int, int]) -> None:
    """Refuse features that are not as many rows of the networks' widths.

    Args:
        name: Who refuses.
        shapes: Of the first and second features.
        widths: That their networks take.

    Raises:
        ValueError: A width is another, or the numbers of rows differ.
    """
    rows = [math.prod(shape[:-1]) for shape in shapes]
    if tuple(shape[-1] for shape in shapes) != widths or rows[0] != rows[1]:
        raise ValueError(
            f"{name}: expected features (*, dim_input1={widths[0]}) and as many (*, dim_input2={widths[1]}), "
            f"got shapes {shapes[0]} and {shapes[1]}"
        )
