"""Faults by the modules that declare them: `FAULTS` of every module called `faults` in a package."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator

from parity._errors import UsageError
from parity.discovery import load_pair, require_pairs
from parity.faults.fault import Fault
from parity.faults.generic import GENERIC
from parity.pair import Pair


def pairs_and_faults(target: str, *, generic: bool = True) -> tuple[list[Pair], list[Fault]]:
    """What a command line names.

    Args:
      target: a package or module of pairs, or `package.module:PAIR`.
      generic: also the faults that any model may have.

    Returns:
      The pairs, those of single faults included, each once, and every fault that could go into one of them: those
      declared beside them, and the generic ones.

    Raises:
      UsageError: no such module or pair, or two faults of one id.
    """
    module, colon, _ = target.partition(":")
    pairs = [load_pair(target)] if colon else [pair for _, _, pair in require_pairs(target)]
    within = module.rpartition(".")[0] or module  # a module on top is a package of its own
    package = within if colon or module.endswith((".pair", ".pairs")) else module
    found = [fault for name in _modules(package) for fault in getattr(importlib.import_module(name), "FAULTS")]  # noqa: B009  # checked when found
    own = [] if colon else [pair for fault in found for pair in fault.pairs]  # which may be made for it alone
    kept = list({id(pair): pair for pair in (*pairs, *own)}.values())
    faults = [*found, *(GENERIC if generic else ())]
    _refuse_twins(faults)
    return kept, faults


def _modules(package: str) -> Iterator[str]:
    """Modules called `faults` in a package."""
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"no module named {package!r}; run where it can be imported")
    parent = importlib.import_module(package)
    for found in pkgutil.walk_packages(getattr(parent, "__path__", []), f"{package}."):
        if found.name.rsplit(".", 1)[-1] == "faults":
            yield found.name


def _refuse_twins(faults: list[Fault]) -> None:
    """An id stands for one fault."""
    seen: dict[str, Fault] = {}
    for fault in faults:
        if fault.id in seen:
            raise UsageError(f"two faults are called {fault.id!r}: {seen[fault.id].title}; {fault.title}")
        seen[fault.id] = fault
