"""A layout that applies to nothing, or that was forgotten: mistakes in a claim that look like the candidate's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from parity._errors import ReferenceRefuses, UsageError
from parity.layout import Layouts

if TYPE_CHECKING:
    from parity.trial import Trial

CHANNELS_LAST: Mapping[str, str] = MappingProxyType({"1d": "NCL->NLC", "2d": "NCHW->NHWC", "3d": "NCDHW->NDHWC"})
"""The usual layout of a candidate, by the end of the name of torch's convolution."""


class Fit:
    """What of a layout has applied to no input or output of the trials seen so far."""

    def __init__(self) -> None:
        self._idle: dict[str, str] | None = None

    def see(self, trial: Trial) -> None:
        """Looks where the layout applies in one trial; a pair of several calls names leaves of all of them."""
        pair = trial.session.pair
        if self._idle == {} or (pair is not None and pair.sequence is not None):
            return
        idle = idle_parts(trial.session.layouts, _shapes(trial))
        self._idle = idle if self._idle is None else {part: self._idle[part] for part in self._idle if part in idle}

    def require_applied(self) -> None:
        """Refuses a layout of which some part applied nowhere.

        Raises:
          UsageError: with the part, and the leaves that there are.
        """
        if self._idle:
            raise UsageError("; ".join(self._idle.values()))


def idle_parts(layouts: Layouts, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """What of a layout applies to none of these leaves, with a line for each."""
    there = ", ".join(f"{name} of shape {list(shape)}" for name, shape in shapes.items())
    lines = {
        name: f"layout for {name!r}: there is no such input or output; there are {there}"
        for name in layouts.named
        if name not in shapes
    }
    everywhere = layouts.everywhere
    if everywhere is not None and everywhere.rank not in map(len, shapes.values()):
        lines[everywhere.text] = (
            f"layout {everywhere.text!r}: it has {everywhere.rank} axes, and no input or output has; there are {there}"
        )
    return lines


def forgotten(reference: Any, layouts: Layouts) -> str:
    """What to try where a candidate refuses inputs as they are; empty where no torch convolution speaks for it."""
    if layouts.everywhere is not None or layouts.named:
        return ""
    kinds = (kind.__name__ for module in reference.modules() for kind in type(module).__mro__)
    ranks = (name[-2:] for name in kinds if name.startswith("Conv"))
    text = next((CHANNELS_LAST[rank] for rank in ranks if rank in CHANNELS_LAST), None)
    return f"; if the candidate has channels last, say layout={text!r}" if text else ""


def _shapes(trial: Trial) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs, and of what the reference returns in every mode that is compared."""
    shapes = {f"input[{i}]": value.shape for i, value in enumerate(trial.inputs)}
    for mode in trial.session.modes:
        with suppress(ReferenceRefuses):
            shapes |= {name: value.shape for name, value in trial.forward_reference(mode).outputs.items()}
    return shapes
