"""Claims on functions, and on modules that are called with keywords: which call, with what, on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

import parity


@dataclass(frozen=True)
class MethodCall:
    """One call of a module's method.

    Args:
      module: name of the class, the same in `models.networks.torch` and `models.networks.jax`.
      arguments: of its constructor, but for `rngs`.
      inputs: of the call.
      method: which one.
      keywords: of the call, the same on both sides.
      named: names under which the last inputs are passed.
    """

    module: str
    arguments: dict[str, Any]
    inputs: tuple[parity.Input, ...]
    method: str = "__call__"
    keywords: dict[str, Any] = field(default_factory=dict[str, Any])
    named: tuple[str, ...] = ()

    def __call__(self, module: Any, *inputs: Any) -> Any:
        """Call the built module."""
        first = len(inputs) - len(self.named)
        given = dict(zip(self.named, inputs[first:], strict=True))
        return getattr(module, self.method)(*inputs[:first], **self.keywords, **given)


@dataclass(frozen=True)
class FunctionCall:
    """One call of a function.

    Args:
      keywords: of the call, the same on both sides.
      inputs: of the call.
    """

    keywords: dict[str, Any]
    inputs: tuple[parity.Input, ...]


Function = Callable[..., Any]


def method_claim(name: str, calls: st.SearchStrategy[MethodCall], **parts: Any) -> parity.Pair:
    """Claim that both frameworks' modules agree in drawn calls.

    Args:
      name: of the pair.
      calls: what is drawn.
      **parts: further fields of the pair, or others in place of the usual ones.
    """
    return _pair(name, calls, _torch_module, _nnx_module, parts)


def function_claim(name: str, calls: st.SearchStrategy[FunctionCall], function: Function, **parts: Any) -> parity.Pair:
    """Claim that both frameworks' functions agree; there are no weights, and no modes.

    Args:
      name: of the pair.
      calls: what is drawn.
      function: `function(library, *inputs, **keywords)`, with `models.networks.torch` or `models.networks.jax`.
      **parts: further fields of the pair, or others in place of the usual ones.
    """

    def reference(call: FunctionCall) -> Any:
        import models.networks.torch
        from models.networks.calling_torch import Calling

        return Calling(None, lambda _, *inputs: function(models.networks.torch, *inputs, **call.keywords))

    def candidate(call: FunctionCall) -> Any:
        import models.networks.jax
        from models.networks.calling_nnx import Calling

        return Calling(None, lambda _, *inputs: function(models.networks.jax, *inputs, **call.keywords))

    return _pair(name, calls, reference, candidate, {"modes": ("eval",), "checks": ("forward", "input_grad"), **parts})


def _torch_module(call: MethodCall) -> Any:
    import models.networks.torch
    from models.networks.calling_torch import Calling

    return Calling(getattr(models.networks.torch, call.module)(**call.arguments), call)


def _nnx_module(call: MethodCall) -> Any:
    import models.networks.jax
    from models.networks.calling_nnx import Calling

    return Calling(getattr(models.networks.jax, call.module)(**call.arguments, rngs=0), call)


def _pair(name: str, calls: Any, reference: Any, candidate: Any, parts: dict[str, Any]) -> parity.Pair:
    usual: dict[str, Any] = {
        "name": f"networks {name}",
        "reference": reference,
        "candidates": {"nnx": candidate},
        "configs": calls,
        "inputs": lambda call: st.just(call.inputs),
    }
    return parity.Pair(**{**usual, **parts})
