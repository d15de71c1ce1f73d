"""Freezing weights or biases, Flax NNX."""

from __future__ import annotations

from flax import nnx

_PARTS = {"kernel": "weight", "scale": "weight"}  # leaves that torch calls otherwise


class Frozen(nnx.Variable):
    """A parameter that is left as it is while training: filters for `nnx.Param` pass over it."""


class Freezable(nnx.Module):
    """Gives a module methods that turn parameters into `Frozen` ones and back, by torch's names of them."""

    def freeze_weights(self) -> None:
        """Leave parameters whose names contain "weight" (kernels and scales too) as they are while training."""
        self._exchange("weight", nnx.Param, Frozen)

    def freeze_biases(self) -> None:
        """Leave parameters whose names contain "bias" as they are while training."""
        self._exchange("bias", nnx.Param, Frozen)

    def unfreeze_weights(self) -> None:
        """Undo `freeze_weights`."""
        self._exchange("weight", Frozen, nnx.Param)

    def unfreeze_biases(self) -> None:
        """Undo `freeze_biases`."""
        self._exchange("bias", Frozen, nnx.Param)

    def _exchange(self, part: str, old: type[nnx.Variable], new: type[nnx.Variable]) -> None:
        for _, module in list(nnx.iter_modules(self)):
            for name, value in list(vars(module).items()):
                if isinstance(value, old) and part in _PARTS.get(name, name):
                    setattr(module, name, new(value[...]))
