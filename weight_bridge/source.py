"""The torch side's layer types, from a module built without memory where that can be done."""

from __future__ import annotations

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


def source_module(source: Any) -> Any:
    """Returns the module itself, on the meta device where its constructor allows that."""
    built: Any = resolve(source, "source") if isinstance(source, str) else source
    if callable(built) and not live.is_module(built):
        built = _on_meta(built, str(source))
    if not live.is_module(built):
        raise UsageError(
            f"source {source!r}: expected a torch.nn.Module or a callable that returns one, got {type(built).__name__}"
        )
    return built


def _on_meta(build: Any, origin: str) -> Any:
    import torch

    try:
        with torch.device("meta"):
            return build()
    except Exception:  # a constructor that computes with values cannot run on the meta device
        pass
    try:
        return build()
    except Exception as error:
        raise UsageError(f"source {origin}: cannot be built: {type(error).__name__}: {error}") from error
