"""The torch side's layer types, from a module built without memory where that can be done."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from weight_bridge._errors import UsageError
from weight_bridge.readers import live
from weight_bridge.structure import Layer
from weight_bridge.tree import resolve


def source_layers(source: Any) -> Mapping[str, Layer]:
    """Returns torch module name → layer.

    Args:
      source: a `torch.nn.Module`, a callable or `"package.module:callable"` that returns one, or None.

    Raises:
      UsageError: it is none of these, or cannot be built.
    """
    if source is None:
        return {}
    return live.module_layers(source_module(source))


def source_module(source: Any, *, meta: bool = True) -> Any:
    """Returns the module itself; on the meta device, where its constructor allows that, unless values are wanted."""
    built: Any = resolve(source, "source") if isinstance(source, str) else source
    if callable(built) and not live.is_module(built):
        built = _built(built, str(source), meta=meta)
    if not live.is_module(built):
        raise UsageError(
            f"source {source!r}: expected a torch.nn.Module or a callable that returns one, got {type(built).__name__}"
        )
    return built


def _built(build: Any, origin: str, *, meta: bool) -> Any:
    import torch

    if meta:
        with (
            contextlib.suppress(Exception),
            torch.device("meta"),
        ):  # some compute with values
            return build()
    try:
        return build()
    except Exception as error:
        raise UsageError(f"source {origin}: cannot be built: {type(error).__name__}: {error}") from error
