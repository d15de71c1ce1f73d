"""Leaves that a library keeps beside the layer they belong to, put back among that layer's tensors.

Haiku keeps a batch normalisation's averages in modules of their own, Equinox in entries of a `State`; a wrapper for
weight or spectral normalisation keeps lengths or singular vectors apart from the weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from weight_bridge.units import Member, Owner, Tensors

# Last part of an owner and label → role in the module above.
_HELD = {
    ("mean_ema", "average"): "mean",
    ("mean_ema", "hidden"): "mean_hidden",
    ("mean_ema", "counter"): "mean_counter",
    ("var_ema", "average"): "var",
    ("var_ema", "hidden"): "var_hidden",
    ("var_ema", "counter"): "var_counter",
    ("ema_state_index", "0"): "mean",
    ("ema_state_index", "1"): "var",
    ("ema_first_time_index", "0"): "first_time",
    ("batch_state_index", "0"): "mean",
    ("batch_state_index", "1"): "var",
    ("batch_counter", "0"): "counter",
    ("uv_index", "0"): "left",
    ("uv_index", "1"): "right",
}


def regrouped(tensors: Tensors) -> Tensors:
    """Returns a target's leaves with those kept apart among the tensors of the layer they belong to."""
    owners: dict[Owner, dict[str, Member]] = {}
    present = frozenset(tensors.owners)
    for owner, members in tensors.owners.items():
        for label, member in members.items():
            for way in _WAYS:
                if (found := way(owner, label, present)) is not None:
                    home, role = found
                    owners.setdefault(home, {})[role] = replace(member, label=role, role=role)
                    break
            else:
                owners.setdefault(owner, {})[label] = member
    return Tensors(tensors.side, owners, tensors.layer)


Place = tuple[Owner, str] | None


def _stateful(owner: Owner, label: str, present: frozenset[Owner]) -> Place:
    """An entry of a state, in the module above."""
    role = _HELD.get((owner[-1], label)) if owner else None
    if role is None:
        return None
    above = owner[:-1]
    return ((*above, "layer") if role in {"left", "right"} and (*above, "layer") in present else above), role


def _linen_length(owner: Owner, label: str, present: frozenset[Owner]) -> Place:
    """`WeightNorm_0` holds `Dense_0/kernel/scale`, beside the `Dense_0` that it wraps."""
    place = (*owner, *label.split("/"))
    for at, part in enumerate(place):
        if re.fullmatch(r"WeightNorm_\d+", part) and place[-2:] == ("kernel", "scale"):
            home = (*place[:at], *place[at + 1 : -2])
            return (home, "gain") if home in present else None
    return None


def _equinox_length(owner: Owner, label: str, present: frozenset[Owner]) -> Place:
    """`g`, beside the `layer` that is wrapped."""
    home = (*owner, "layer")
    return (home, "gain") if label == "g" and home in present else None


_WAYS: tuple[Callable[[Owner, str, frozenset[Owner]], Place], ...] = (
    _stateful,
    _linen_length,
    _equinox_length,
)
