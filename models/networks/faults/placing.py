"""Putting a mistake of the catalogue into a network."""

from __future__ import annotations

from functools import partial
from typing import Any

import parity
from parity.faults import Edit, Fault, around, at, deriving


def put(
    pair: parity.Pair,
    where: str,
    name: str,
    title: str,
    edit: Edit,
    *,
    checks: tuple[str, ...] = ("forward",),
    causes: tuple[str, ...] = (),
    **claim: Any,
) -> Fault:
    """Declare a fault whose right name is that of the known mistake.

    Args:
      pair: the small network.
      where: path of the module.
      name: of the mistake; the fault's id has "network-" in front.
      title: what is wrong, in a phrase.
      edit: of the module.
      checks: that are expected to catch it.
      causes: further right names.
      **claim: a change of the pair, as in `parity.faults.at`.
    """
    return at(pair, where, f"network-{name}", title, edit, checks=checks, causes=(name, *causes), **claim)


def called(change: Any) -> Edit:
    """Another call of a function or method: `change(original, module, *inputs)`."""
    return deriving(call=lambda calling: partial(change, calling.call))


def computing(function: Any) -> Edit:
    """A module that computes a function of its input in place of its own."""
    return around("__call__", lambda original, *inputs: function(*inputs))


def inside(edit: Edit) -> Edit:
    """An edit of the module that a call is made on; to the checks, that call is the model."""
    return lambda calling: edit(calling.module)
