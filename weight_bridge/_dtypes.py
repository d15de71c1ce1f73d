"""One name per dtype, and what torch, numpy and safetensors call it."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

# name → code in a safetensors header. A name without a code cannot be stored in that format.
SAFETENSORS: dict[str, str] = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
}
FROM_SAFETENSORS: dict[str, str] = {code: name for name, code in SAFETENSORS.items()}

# What numpy lacks and `ml_dtypes` has, bit for bit.
EXTENSIONS: dict[str, Any] = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
}
NATIVE = frozenset({*SAFETENSORS, "complex128"} - set(EXTENSIONS))


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns the little-endian numpy dtype of a name.

    Args:
      name: for example `"float32"` or `"bfloat16"`.

    Returns:
      The numpy dtype; those numpy lacks come from `ml_dtypes`, bit for bit.

    Raises:
      KeyError: no dtype has that name.

    Example:
      >>> numpy_dtype("bfloat16").itemsize
      2
    """
    if name in EXTENSIONS:
        return np.dtype(EXTENSIONS[name])
    if name not in NATIVE:
        raise KeyError(name)
    return np.dtype(name).newbyteorder("<")


def dtype_name(dtype: object) -> str:
    """Returns the one name of a numpy, JAX or torch dtype.

    Args:
      dtype: a dtype object, or a name.

    Returns:
      The name, without `torch.` in front.

    Example:
      >>> dtype_name(np.dtype("float32")), dtype_name("torch.bfloat16"), dtype_name(np.float16)
      ('float32', 'bfloat16', 'float16')
    """
    if isinstance(dtype, str):
        return dtype.removeprefix("torch.")
    if type(dtype).__module__.split(".")[0] == "torch":
        return str(dtype).removeprefix("torch.")
    try:
        return np.dtype(dtype).name  # pyright: ignore[reportCallIssue, reportArgumentType]  # refused just below
    except TypeError:
        return str(dtype)


def kind(name: str) -> str:
    """Returns `float`, `complex`, `integer` or `bool`: the boundary that no implicit conversion crosses.

    Example:
      >>> kind("bfloat16"), kind("int64"), kind("bool")
      ('float', 'integer', 'bool')
    """
    if name == "bool":
        return "bool"
    if name.startswith("complex"):
        return "complex"
    return "float" if "float" in name else "integer"


def holds(wide: str, narrow: str) -> bool:
    """Returns whether every value of `narrow` is a value of `wide`.

    Example:
      >>> holds("float32", "bfloat16"), holds("float16", "bfloat16"), holds("float64", "int32")
      (True, False, True)
    """
    if wide == narrow:
        return True
    if kind(wide) == "float" and kind(narrow) == "float":
        inner, outer = ml_dtypes.finfo(numpy_dtype(narrow)), ml_dtypes.finfo(numpy_dtype(wide))
        return bool(
            outer.nmant >= inner.nmant
            and float(outer.max) >= float(inner.max)
            and float(outer.smallest_subnormal) <= float(inner.smallest_subnormal)
        )
    if {wide, narrow} & set(EXTENSIONS):
        return False
    return bool(np.can_cast(numpy_dtype(narrow), numpy_dtype(wide), casting="safe"))
