"""Optimizers of torch and Optax with settings that mean the same, by name.

The settings are written out on both sides, because defaults differ: torch's AdamW decays by 1e-2 and Optax's by 1e-4,
torch's RMSprop remembers 0.99 and Optax's 0.9 with ε inside the root. Some have no counterpart at all: torch's AMSGrad
takes the maximum before bias correction and Optax's after, its Adagrad has ε outside the root and Optax's inside, its
RAdam adds ε before bias correction (9.8e-9 apart after 30 steps), its NAdam has a momentum schedule, and dampening is
torch's alone.

References:
  https://docs.pytorch.org/docs/stable/optim.html, https://optax.readthedocs.io/en/latest/api/optimizers.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

STATE: Mapping[str, str] = MappingProxyType(
    {"momentum_buffer": "trace", "exp_avg": "mu", "exp_avg_sq": "nu", "square_avg": "nu", "exp_inf": "nu"}
)
"""Names of the same quantity in torch's per-parameter state and in Optax's named tuples."""


@dataclass(frozen=True)
class Optimizers:
    """One optimizer on both sides.

    Attributes:
      name: in reports.
      reference: (parameters, learning rate) → a `torch.optim.Optimizer`.
      candidate: learning rate → an `optax.GradientTransformation`; it sees trainable leaves as `{path: array}`.
      schedule: torch optimizer → its learning-rate scheduler, stepped after every step; None for a constant rate.
      clip: gradients of all parameters together are clipped to this norm on the torch side before each step.
      state: torch's names of per-parameter state to Optax's, for what both keep.
    """

    name: str
    reference: Callable[[Any, float], Any]
    candidate: Callable[[float], Any]
    schedule: Callable[[Any], Any] | None = None
    clip: float | None = None
    state: Mapping[str, str] = field(default_factory=lambda: STATE)


def _torch(name: str, **settings: Any) -> Callable[[Any, float], Any]:
    def build(parameters: Any, rate: float) -> Any:
        import torch

        return getattr(torch.optim, name)(parameters, lr=rate, **settings)

    return build


def _optax(name: str, *, l2: float = 0.0, **settings: Any) -> Callable[[float], Any]:
    def build(rate: float) -> Any:
        import optax

        optimizer = getattr(optax, name)(rate, **settings)
        return optax.chain(optax.add_decayed_weights(l2), optimizer) if l2 else optimizer

    return build


SGD = Optimizers("SGD", _torch("SGD"), _optax("sgd"))
MOMENTUM = Optimizers("SGD with momentum", _torch("SGD", momentum=0.9), _optax("sgd", momentum=0.9))
NESTEROV = Optimizers(
    "SGD with Nesterov momentum",
    _torch("SGD", momentum=0.9, nesterov=True),
    _optax("sgd", momentum=0.9, nesterov=True),
)
SGD_L2 = Optimizers(
    "SGD with momentum and weight decay",
    _torch("SGD", momentum=0.9, weight_decay=1e-2),
    _optax("sgd", l2=1e-2, momentum=0.9),
)
ADAM = Optimizers(
    "Adam", _torch("Adam", betas=(0.9, 0.999), eps=1e-8), _optax("adam", b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)
)
ADAM_L2 = Optimizers(
    "Adam with weight decay in the gradient",
    _torch("Adam", betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2),
    _optax("adam", l2=1e-2, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0),
)
ADAMW = Optimizers(
    "AdamW",
    _torch("AdamW", betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2),
    _optax("adamw", b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, weight_decay=1e-2),
)
ADAMAX = Optimizers(
    "Adamax", _torch("Adamax", betas=(0.9, 0.999), eps=1e-8), _optax("adamax", b1=0.9, b2=0.999, eps=1e-8)
)
RMSPROP = Optimizers(
    "RMSprop",
    _torch("RMSprop", alpha=0.99, eps=1e-8),
    _optax("rmsprop", decay=0.99, eps=1e-8, eps_in_sqrt=False, initial_scale=0.0),
)
RMSPROP_CENTERED = Optimizers(
    "centered RMSprop with momentum",
    _torch("RMSprop", alpha=0.99, eps=1e-8, centered=True, momentum=0.9),
    _optax("rmsprop", decay=0.99, eps=1e-8, eps_in_sqrt=False, initial_scale=0.0, centered=True, momentum=0.9),
    state=MappingProxyType({"square_avg": "nu", "grad_avg": "mu"}),
)
ADADELTA = Optimizers(
    "Adadelta",
    _torch("Adadelta", rho=0.9, eps=1e-6),
    _optax("adadelta", rho=0.9, eps=1e-6),
    state=MappingProxyType({"square_avg": "e_g", "acc_delta": "e_x"}),
)
MATCHED: tuple[Optimizers, ...] = (
    *(SGD, MOMENTUM, NESTEROV, SGD_L2, ADAM, ADAM_L2, ADAMW),
    *(ADAMAX, RMSPROP, RMSPROP_CENTERED, ADADELTA),
)
"""Every optimizer whose settings are known to mean the same on both sides."""

DEFAULT_OPTIMIZERS: tuple[Optimizers, ...] = (MOMENTUM, ADAMW)
"""What a pair is trained with unless it says otherwise: Adam's kind hides constant factors, plain descent does not."""
