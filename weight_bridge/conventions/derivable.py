"""Torch buffers that follow from the configuration or are never read: they may stay unused, the reason told."""

from __future__ import annotations

from weight_bridge._dtypes import kind
from weight_bridge.spec import Spec


def derivable(name: str, spec: Spec) -> str | None:
    """Returns why a tensor that no leaf takes may be left out, or None where it may not.

    Args:
      name: the tensor's name.
      spec: its shape and dtype; a name alone does not excuse a tensor that looks like a weight.

    Example:
      >>> derivable("bn.num_batches_tracked", Spec((), "int64"))
      'a counter that inference never reads and training reads only without momentum'
      >>> derivable("bn.num_batches_tracked", Spec((3, 5), "float32")) is None
      True
    """
    label = name.rsplit(".", 1)[-1]
    whole = kind(spec.dtype) == "integer"
    if label == "num_batches_tracked" and whole and not spec.shape:
        return "a counter that inference never reads and training reads only without momentum"
    if label in {"position_ids", "token_type_ids"} and whole and len(spec.shape) <= 2:
        return "a table of consecutive or constant numbers, made anew from the configuration"
    if label in {"inv_freq", "original_inv_freq"} and len(spec.shape) == 1 and kind(spec.dtype) == "float":
        return "rotary frequencies, made anew from the configuration"
    if label in {"cos_cached", "sin_cached"} and kind(spec.dtype) == "float":
        return "a cache of rotary angles, made anew from the configuration"
    if label == "masked_bias" and not spec.shape:
        return "the constant that masks attention logits"
    return None
