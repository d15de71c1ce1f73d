"""Freezing weights or biases, torch."""

from __future__ import annotations

from torch import nn


class Freezable(nn.Module):
    """Gives a module methods that switch `requires_grad` of parameters by their names."""

    def freeze_weights(self) -> None:
        """Leave parameters whose names contain "weight" as they are while training."""
        self._require_grad("weight", False)

    def freeze_biases(self) -> None:
        """Leave parameters whose names contain "bias" as they are while training."""
        self._require_grad("bias", False)

    def unfreeze_weights(self) -> None:
        """Undo `freeze_weights`."""
        self._require_grad("weight", True)

    def unfreeze_biases(self) -> None:
        """Undo `freeze_biases`."""
        self._require_grad("bias", True)

    def _require_grad(self, part: str, wanted: bool) -> None:
        for name, parameter in self.named_parameters():
            if part in name:
                parameter.requires_grad = wanted
