"""One file per framework behind one protocol; chosen by what the model is, imported when needed."""

from __future__ import annotations

import sys
from typing import Any

from parity._errors import UsageError
from parity.backends.base import Call, Candidate, Reference

__all__ = ["Call", "Candidate", "Reference", "candidate_program", "reference_program"]


def reference_program(model: Any, call: Call) -> Reference:
    """Readies the torch side.

    Raises:
      UsageError: `model` is no `torch.nn.Module`.
    """
    from parity.backends.torch import TorchProgram

    return TorchProgram(model, call)


def candidate_program(model: Any, inputs: tuple[Any, ...], call: Call) -> Candidate:
    """Readies the JAX side.

    Args:
      model: an NNX module; a linen module, `(linen module, variables)` or `(linen module, inputs)`; an Equinox
        module; a transformed Haiku function or `(transformed, parameters)`; a function of the inputs; or
        `(function, params)`, called as `function(params, *inputs)`.
      inputs: example arguments in the candidate's layout, for models that get their shapes from data.
      call: method and selection of the outputs.

    Raises:
      UsageError: nothing here knows such a model, or it has no such method.
    """
    head: Any = model[0] if isinstance(model, tuple) and model else model
    if any(_is(head, module, "Module") for module in ("flax.nnx", "flax.linen", "equinox")):
        call.require_of(head)
    if _is(head, "flax.nnx", "Module"):
        from parity.backends.nnx import NnxProgram

        return NnxProgram(head, call)
    if _is(head, "flax.linen", "Module"):
        from parity.backends.linen import LinenProgram

        return LinenProgram(head, inputs, call, given=model[1] if isinstance(model, tuple) else None)
    if _is(head, "equinox", "Module"):
        from parity.backends.function import of_equinox

        return of_equinox(head, call)
    if _is(head, "haiku", "Transformed"):
        from parity.backends.function import of_haiku

        return of_haiku(head, model[1] if isinstance(model, tuple) and len(model) == 2 else None, inputs, call)
    if callable(head) and not _is(head, "torch.nn", "Module"):
        from parity.backends.function import of_function

        return of_function(head, model[1] if isinstance(model, tuple) else None, call)
    raise UsageError(
        f"candidate of type {type(head).__module__}.{type(head).__qualname__}: expected an NNX, linen or Equinox "
        "module, (linen module, variables), (haiku transformed, parameters), a function, or (function, params)"
    )


def _is(value: Any, module: str, name: str) -> bool:
    """Whether `value` is an instance of a class of a framework that has been imported at all."""
    framework = sys.modules.get(module)
    return framework is not None and isinstance(value, getattr(framework, name))
