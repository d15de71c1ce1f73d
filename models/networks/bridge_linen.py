"""Any network as a linen module, through `nnx.bridge`: the NNX twin inside, its variables in linen's collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flax import linen, nnx

Variables = Mapping[Any, Any]


class Bridged(nnx.bridge.ToLinen):
    """Flax's bridge, with text for the keys of lists and the mode as an argument.

    NNX keeps the mode in the module, which the bridge builds anew at each call; and it keeps lists under integers,
    where linen joins paths and writes files: `layers/0/kernel`.
    """

    @property
    def variables(self) -> Variables:
        """The variables as NNX names them."""
        return _renamed(super().variables, lambda key: int(key) if isinstance(key, str) and key.isdecimal() else key)

    def put_variable(self, col: str, name: Any, value: Any) -> None:
        """Store what the NNX module holds, as linen names it."""
        super().put_variable(col, str(name), _renamed(value, str) if isinstance(value, Mapping) else value)

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # callers choose the mode and not the method
        self, *inputs: Any, train: bool = False
    ) -> Any:
        """Call the NNX module in training or evaluation mode."""

        def moded(module: Any, *inputs: Any) -> Any:
            (module.train if train else module.eval)()
            return module(*inputs)

        return super().__call__(*inputs, nnx_method=moded)


def as_linen(build: Callable[..., nnx.Module], *arguments: Any, **keywords: Any) -> linen.Module:
    """Make a linen module of an NNX class.

    Args:
        build: NNX class, or a function that takes `rngs` and returns a module.
        *arguments: Of it.
        **keywords: Of it, `rngs` excepted: linen gives the streams.

    Returns:
        A module whose call takes the inputs and `train`. Parameters are in `params`, statistics and tables in
        collections of their own.

    Example:
        >>> import jax
        >>> from models.networks import LinearConfig, MLPConfig
        >>> from models.networks.jax import MLPLayer
        >>> mlp = as_linen(MLPLayer, 3, 5, MLPConfig(7, 1, "Tanh", LinearConfig("ReLU")))
        >>> x = jax.numpy.ones((2, 3))
        >>> variables = mlp.init(jax.random.key(0), x, train=False)
        >>> variables["params"]["dense"]["0"]["linear"]["kernel"].shape
        (3, 7)
        >>> mlp.apply(variables, x, train=False).shape
        (2, 5)
    """
    return Bridged(build, arguments, keywords)


def _renamed(variables: Variables, rename: Callable[[Any], Any]) -> dict[Any, Any]:
    return {
        rename(key): _renamed(value, rename) if isinstance(value, Mapping) else value
        for key, value in variables.items()
    }
