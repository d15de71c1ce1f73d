"""Optimizers by name, optax."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import optax

from models.networks.torch_rules_nnx import TORCH_RULES

_OPTAX_NAMES = {
    "AdaBelief": "adabelief",
    "Adadelta": "adadelta",
    "Adafactor": "adafactor",
    "Adagrad": "adagrad",
    "Adam": "adam",
    "AdamW": "adamw",
    "Adamax": "adamax",
    "LARS": "lars",
    "LBFGS": "lbfgs",
    "Lamb": "lamb",
    "Lars": "lars",
    "Lion": "lion",
    "NAdam": "nadam",
    "NAdamW": "nadamw",
    "NovoGrad": "novograd",
    "RAdam": "radam",
    "RMSprop": "rmsprop",
    "Rprop": "rprop",
    "SGD": "sgd",
    "SM3": "sm3",
    "Yogi": "yogi",
}


def get_optimizer(
    name: str, *, defaults: Literal["optax", "torch"] = "optax", **kwargs: Any
) -> optax.GradientTransformation:
    """Build an optax optimizer by torch's name of it, or by optax's.

    By default this is optax's optimizer with optax's defaults, and these differ from torch's. AdamW: weight
    decay 1e-4, in torch 0.01. RMSprop: decay 0.9 and epsilon under the root, in torch 0.99 and outside.
    Adagrad: accumulators start at 0.1 with epsilon 1e-7 under the root, in torch at 0 with 1e-10 outside.
    NAdam and RAdam are other formulas in torch (a momentum schedule; where epsilon stands). Learning rates
    have no default in optax.

    With `defaults="torch"` the arguments and their defaults are torch's (`lr`, `betas`, `weight_decay`, …),
    and in float64 the trajectory is that of `torch.optim` up to rounding.

    Args:
        name: Torch's name such as "Adam", or the name of an optimizer in optax such as "adam".
        defaults: Whose arguments, defaults and formulas.
        **kwargs: Arguments; with optax's, `lr` is taken for `learning_rate`.

    Returns:
        The optimizer.

    Raises:
        NotImplementedError: The name is unknown, or with `defaults="torch"` the formula is not available.
        TypeError: Both `lr` and `learning_rate`.
        ValueError: Another value of `defaults`.

    Example:
        >>> import jax.numpy as jnp
        >>> optimizer = get_optimizer("SGD", lr=0.5)
        >>> updates, _ = optimizer.update(jnp.array(3.0), optimizer.init(jnp.array(0.0)))
        >>> float(updates)
        -1.5
    """
    if defaults == "torch":
        if name not in TORCH_RULES:
            raise NotImplementedError(
                f"get_optimizer: with torch's defaults there are {', '.join(TORCH_RULES)}, got {name!r}"
            )
        return TORCH_RULES[name](**kwargs)
    if defaults != "optax":
        raise ValueError(f'get_optimizer: defaults must be "optax" or "torch", got {defaults!r}')
    build: Callable[..., optax.GradientTransformation] | None = getattr(optax, _OPTAX_NAMES.get(name, name), None)
    if not callable(build) or not any("learning_rate" in p for p in inspect.signature(build).parameters):
        raise NotImplementedError(
            f"get_optimizer: {name!r} is neither an optimizer of optax nor one of {', '.join(_OPTAX_NAMES)}; "
            "names are case-sensitive"
        )
    if "lr" in kwargs:
        if "learning_rate" in kwargs:
            raise TypeError("get_optimizer: lr and learning_rate are one argument; give one of them")
        kwargs["learning_rate"] = kwargs.pop("lr")
    return build(**kwargs)
