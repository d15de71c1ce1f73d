"""Where the candidate runs: the CPU unless asked otherwise, also on a machine that has more."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from parity._errors import UsageError


@contextmanager
def placed(device: str) -> Generator[str]:
    """Makes a device JAX's default for a while.

    Args:
      device: `cpu` or `gpu`; the first of its kind is taken.

    Yields:
      The device's name for the report.

    Raises:
      UsageError: JAX finds no such device.
    """
    import jax

    try:
        found = jax.devices(device)[0]
    except RuntimeError as error:
        platforms = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise UsageError(f"no device {device!r}: JAX finds {platforms}; install the matching jax build") from error
    with jax.default_device(found):
        yield device if found.platform == "cpu" else f"{device} ({found.device_kind})"
