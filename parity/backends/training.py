"""Optimizers of both frameworks behind one interface: numpy gradients in, numpy parameters out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
import torch

from parity.backends import torch as torch_side
from parity.backends.jax_program import isolated
from parity.optimizers import Optimizers
from parity.record import Arrays


class TorchDescent:
    """Parameters under a torch optimizer, in float64.

    Args:
      optimizers: whose torch side is used.
      parameters: by any name.
      rate: learning rate.
    """

    def __init__(self, optimizers: Optimizers, parameters: Arrays, rate: float) -> None:
        self._parameters = {n: torch.nn.Parameter(torch.from_numpy(np.array(v))) for n, v in parameters.items()}
        self._optimizer = optimizers.reference(list(self._parameters.values()), rate)
        self._schedule = optimizers.schedule(self._optimizer) if optimizers.schedule else None
        self._settings = optimizers

    def step(self, gradients: Arrays) -> dict[str, np.ndarray]:
        """One step; a parameter without gradient gets zeros."""
        for name, parameter in self._parameters.items():
            given = gradients.get(name)
            parameter.grad = torch.zeros_like(parameter) if given is None else torch.from_numpy(np.array(given))
        if self._settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), self._settings.clip)
        with torch_side.isolated(torch.float64, 0):  # what an optimizer remembers may be of the default dtype
            self._optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        return {name: parameter.detach().numpy().copy() for name, parameter in self._parameters.items()}

    def state(self) -> dict[str, dict[str, np.ndarray]]:
        """What the optimizer remembers of each parameter, under Optax's names: `{"mu": {name: array}}`."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                if key in self._settings.state and isinstance(value, torch.Tensor):
                    found.setdefault(self._settings.state[key], {})[name] = value.numpy().copy()
        return found


class OptaxRule:
    """An Optax transformation at one learning rate; its update is compiled once for all descents."""

    def __init__(self, optimizers: Optimizers, rate: float) -> None:
        transformation = optimizers.candidate(rate)

        def update(gradients: Any, state: Any, parameters: Any) -> Any:
            updates, state = transformation.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state

        self.initial: Any = transformation.init
        self.update: Any = jax.jit(update)


class OptaxDescent:
    """Parameters under an Optax transformation, in float64.

    Args:
      rule: how they move.
      parameters: by path.
    """

    def __init__(self, rule: OptaxRule, parameters: Arrays) -> None:
        self._update = rule.update
        with isolated("float64"):
            self._parameters: Any = jax.tree.map(jax.numpy.asarray, dict(parameters))
            self._state = rule.initial(self._parameters)

    def step(self, gradients: Arrays) -> dict[str, np.ndarray]:
        """One step."""
        with isolated("float64"):
            given = {path: np.asarray(gradients[path], np.float64) for path in self._parameters}
            self._parameters, self._state = self._update(given, self._state, self._parameters)
            return {path: np.asarray(value) for path, value in self._parameters.items()}

    def state(self) -> dict[str, dict[str, np.ndarray]]:
        """What the optimizer remembers of each leaf, by Optax's names: `{"mu": {path: array}}`."""
        return {
            name: {path: np.asarray(value) for path, value in leaves.items()}
            for name, leaves in _remembered(self._state)
            if set(leaves) == set(self._parameters)
        }


def _remembered(state: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Fields of named tuples that hold one array per leaf, at any depth."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        for name in state._fields:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]  # a named tuple
            value = getattr(state, name)
            if isinstance(value, Mapping):
                yield name, value
            else:
                yield from _remembered(value)
    elif isinstance(state, tuple | list):
        for part in state:
            yield from _remembered(part)
