"""Torch pickles, unpickled weights-only and memory-mapped: no code of the file ever runs."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, cast

from weight_bridge._errors import CheckpointError, UsageError
from weight_bridge.readers import live
from weight_bridge.spec import Array, Spec

Entry = tuple[Spec, Callable[[], Array], Hashable]


def tensors(path: Path, key: str | None) -> dict[str, Entry]:
    """Returns the tensors of a torch pickle.

    Args:
      path: `.pt`, `.pth` or `.bin`.
      key: dotted place of the state dict inside.

    Returns:
      Name → (spec, read, storage); tied tensors share their storage.

    Raises:
      UsageError: torch is not installed, or the key leads nowhere.
      CheckpointError: truncated, not a state dict, or it would run code.
    """
    content = load(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a state dict")
    try:
        return live.state_tensors(live.descend(cast("Mapping[str, Any]", content), key))
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{path}: {error.headline}", error.problems) from None


def load(path: Path) -> Any:
    """Returns the content of a torch pickle, weights only; raises `CheckpointError` where that is not all there is."""
    try:
        import torch
    except ModuleNotFoundError:
        raise UsageError(
            f"{path}: a torch pickle needs torch: pip install 'crossparity[torch]', or save safetensors"
        ) from None
    try:
        with warnings.catch_warnings():
            # it says that a newer protocol may hold unknown instructions: those raise
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused, {_refused(str(error))}; only plain tensors are unpickled") from None
    except (
        Exception
    ) as error:  # a damaged file makes torch's unpickler raise anything: struct.error, AssertionError, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: truncated or not a torch checkpoint: {reason}") from None


def _refused(said: str) -> str:
    """Why torch would not unpickle something, from what it said."""
    if found := re.search(r"(?:GLOBAL|global|class) ([\w.]+)", said):
        return f"reading it would run code: it refers to {found[1]}"
    return "not a pickle of tensors: " + said.split("WeightsUnpickler error: ")[-1].strip().splitlines()[0]
