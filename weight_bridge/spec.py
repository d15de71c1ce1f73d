"""What is known of an array before it is read: shape and dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from weight_bridge._dtypes import dtype_name, numpy_dtype

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of one array.

    Args:
      shape: extents, outermost first.
      dtype: a name of `weight_bridge._dtypes`.

    Example:
      >>> print(Spec((3, 5), "bfloat16"), Spec((3, 5), "bfloat16").nbytes)
      bfloat16[3, 5] 30
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Number of bytes when stored without gaps."""
        return self.size * numpy_dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def spec_of(array: Array) -> Spec:
    """Returns the spec of an array.

    Example:
      >>> import numpy as np
      >>> print(spec_of(np.zeros((2, 3), np.float32)))
      float32[2, 3]
    """
    return Spec(tuple(array.shape), dtype_name(array.dtype))
