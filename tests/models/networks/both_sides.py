"""Calls one function of both frameworks in float64 and compares values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from jax import numpy as jnp

import models.networks.jax
import models.networks.torch

SIDES = (models.networks.torch, models.networks.jax)


def array(library: Any, values: Any, dtype: Any = None) -> Any:
    """Make an array of that library's framework, floats in float32."""
    values = np.asarray(values, dtype)
    values = values.astype(np.float32) if values.dtype == np.float64 else values
    return torch.tensor(values) if library is models.networks.torch else jnp.asarray(values)


def worst_error(function: Callable[..., Any], *inputs: np.ndarray) -> float:
    """Return the worst error of `function(library, *arrays)` between the sides, of its value and gradients.

    Values are relative to their largest entry, gradients to the largest gradient.
    """
    tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    value = function(models.networks.torch, *tensors)
    floats = [x for x in tensors if x.requires_grad]
    cotangent = np.random.default_rng(11).standard_normal(tuple(value.shape))
    reference = torch.autograd.grad(value, floats, torch.tensor(cotangent))
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in inputs]
        places = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]

        def of_floats(*changed: Any) -> Any:
            full = dict(enumerate(arrays)) | dict(zip(places, changed, strict=True))
            return function(models.networks.jax, *full.values())

        found, pullback = jax.vjp(of_floats, *(arrays[i] for i in places))
        candidate = [np.asarray(g) for g in pullback(jnp.asarray(cotangent))]
        found = np.asarray(found)
    expected = value.detach().numpy()
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == np.float64
    scale = max(float(g.abs().max()) for g in reference)
    errors = [np.abs(found - expected).max() / np.abs(expected).max()]
    errors += [np.abs(c - r.numpy()).max() / scale for c, r in zip(candidate, reference, strict=True)]
    assert np.isfinite(errors).all(), errors
    return float(max(errors))
