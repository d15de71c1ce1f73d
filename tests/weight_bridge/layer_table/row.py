"""What a row of the layer table says: a torch layer, and its version in each library or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from weight_bridge import Mapping as Rules

Array = np.ndarray
Run = Callable[..., Any]
F64: dict[str, Any] = {"param_dtype": jnp.float64}
LIBRARIES = ("nnx", "linen", "equinox", "haiku")


@dataclass(frozen=True)
class Port:
    """A layer in one JAX library.

    Args:
      target: builds what `weight_bridge` takes.
      run: what `weight_bridge.convert` returns, inputs as torch has them → output as torch has it.
      folds: names of tensors that the library keeps no place of their own for.
      strict: whether layer types prove every step.
      ungraded: names whose gradient the library cannot tell, having no place for the tensor.
      mapping: rules for what inference leaves open.
    """

    target: Callable[[], Any]
    run: Run
    folds: frozenset[str] = frozenset()
    strict: bool = True
    ungraded: frozenset[str] = frozenset()
    mapping: Rules | None = None


@dataclass(frozen=True)
class Refused:
    """A target that cannot hold the layer, and the line that says so."""

    target: Callable[[], Any]
    line: str


@dataclass(frozen=True)
class Absent:
    """No such layer in a library."""

    reason: str


@dataclass(frozen=True)
class Row:
    """A torch layer and its versions.

    Args:
      torch: builds the layer.
      inputs: extents of each input; integers below `integers` where that is given.
      ports: library → version.
      integers: upper bound of integer inputs; 0 for floating ones.
      call: how torch calls the layer.
      zero: names whose tensors are zero.
      flat: names whose gradient is zero in theory, so that what is computed is rounding: compared with the layer's
        largest gradient instead of their own.
    """

    torch: Callable[[], torch.nn.Module]
    inputs: Sequence[tuple[int, ...]]
    ports: Mapping[str, Port | Refused | Absent]
    integers: int = 0
    call: Callable[..., torch.Tensor] = lambda layer, *inputs: layer(*inputs)
    zero: frozenset[str] = field(default_factory=frozenset)
    flat: frozenset[str] = field(default_factory=frozenset)


def nnx_port(build: Callable[[nnx.Rngs], Any], call: Run = lambda m, *xs: m(*xs), **options: Any) -> Port:
    """A version in Flax NNX; `call` takes the module and inputs as torch has them."""

    def run(state: Any, *inputs: Any) -> Any:
        model = build(nnx.Rngs(0))
        nnx.update(model, state)
        return call(model, *inputs)

    return Port(lambda: build(nnx.Rngs(0)), run, **options)


def linen_port(module: Callable[[], Any], example: Any, call: Run = lambda f, *xs: f(*xs), **options: Any) -> Port:
    """A version in Flax linen; `call` takes the bound `apply` and inputs as torch has them."""

    def run(variables: Any, *inputs: Any) -> Any:
        return call(lambda *xs, **kw: module().apply(variables, *xs, **kw), *inputs)

    return Port(lambda: (module(), example()), run, **options)


def equinox_port(build: Callable[[jax.Array], Any], call: Run | None = None, **options: Any) -> Port:
    """A version in Equinox; without a `call` the module is mapped over the batch."""

    def run(module: Any, *inputs: Any) -> Any:
        return call(module, *inputs) if call is not None else jax.vmap(module)(*inputs)

    return Port(lambda: build(jax.random.key(0)), run, **options)


def haiku_port(function: Callable[..., Any], example: Any, *, state: bool = False, **options: Any) -> Port:
    """A version in Haiku; `function` takes inputs as torch has them."""
    transformed = (hk.transform_with_state if state else hk.transform)(function)

    def run(variables: Any, *inputs: Any) -> Any:
        if state:
            return transformed.apply(*variables, None, *inputs)[0]
        return transformed.apply(variables, None, *inputs)

    return Port(lambda: (transformed, example()), run, **options)


def zeros(*shape: int) -> Callable[[], Any]:
    """Example inputs of one array, or of several shapes."""
    return lambda: jnp.zeros(shape)


def last(x: Any) -> Any:
    """(N, C, ...) → (N, ..., C)."""
    return jnp.moveaxis(x, 1, -1)


def first(x: Any) -> Any:
    """(N, ..., C) → (N, C, ...)."""
    return jnp.moveaxis(x, -1, 1)


def channels_last(model: Any, x: Any) -> Any:
    """Calls a model that has channels last on an input that has them first."""
    return first(model(last(x)))


def linear(sizes: tuple[int, int], key: jax.Array, **options: Any) -> eqx.nn.Linear:
    """An Equinox linear layer."""
    return eqx.nn.Linear(*sizes, key=key, **options)
