"""Process-wide numerical settings, read without importing the library that owns them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# What a library is set to when it has just been imported, for a test that is the first to import it.
DEFAULTS: Mapping[str, object] = {
    "numpy.geterr()": {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    "torch.get_default_dtype()": "torch.float32",
    "torch.is_grad_enabled()": True,
    "torch.are_deterministic_algorithms_enabled()": False,
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
    "jax_debug_nans": False,
    "jax_disable_jit": False,
}


def process_state() -> dict[str, object]:
    """Settings by name, for those of numpy, torch and JAX that are loaded."""
    state: dict[str, object] = {}
    if numpy := sys.modules.get("numpy"):
        state["numpy.geterr()"] = numpy.geterr()
    if torch := sys.modules.get("torch"):
        state["torch.get_default_dtype()"] = str(torch.get_default_dtype())
        state["torch.is_grad_enabled()"] = torch.is_grad_enabled()
        state["torch.are_deterministic_algorithms_enabled()"] = torch.are_deterministic_algorithms_enabled()
    if jax := sys.modules.get("jax"):
        for name in DEFAULTS:
            if name.startswith("jax_"):
                state[name] = getattr(jax.config, name)
    return state


def state_changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """One line per setting that is not as it was; where its library was not loaded, that is its default."""
    expected = {name: before.get(name, DEFAULTS[name]) for name in after}
    return [f"{name} was {expected[name]}, is {now}" for name, now in after.items() if now != expected[name]]
