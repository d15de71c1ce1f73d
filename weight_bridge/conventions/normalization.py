"""Normalisations: gain, offset and statistics are stored alike everywhere, under each library's names.

Torch's momentum weighs the new batch, Flax's, Haiku's and Equinox's the old statistics; torch averages unbiased batch
variances, the others biased ones. Neither shows in the tensors, so a plan notes it. Haiku and Equinox correct their
averages for a start at zero by a counter of steps; torch does not, so the counter is set where the correction is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from weight_bridge._errors import Misfit
from weight_bridge.conventions.family import AS_IT_IS, Draft, Family, Layout, LayoutFamily
from weight_bridge.joint import Copy
from weight_bridge.structure import Layer
from weight_bridge.transforms import chain
from weight_bridge.units import Member, Unit
from weight_bridge.values import Fill

_LIBRARIES = ("torch", "nnx", "linen", "equinox", "haiku")
_PER_SAMPLE = ("LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm")
_INSTANCE = frozenset(f"torch.InstanceNorm{rank}" for rank in ("1d", "2d", "3d"))
# Steps after which no decay of an average's start is left, with as many to come before an int32 overflows.
SETTLED = 2**30
_CONSTANTS = {"counter": SETTLED, "mean_counter": SETTLED, "var_counter": SETTLED, "first_time": 0}


def layouts(unit: Unit, role: str) -> tuple[Layout, ...]:
    """Returns the one layout there is."""
    del unit, role
    return (AS_IT_IS,)


def _statistics_have_a_place(source: Unit, target: Unit) -> None:
    """An instance normalisation that tracks statistics needs a target that does; only torch's can."""
    if "mean" in source.members and "mean" not in target.members:
        raise Misfit(
            f"{source.members['mean'].key}: {source.layer} keeps running statistics (track_running_stats=True); "
            f"{target.layer or target.where} keeps none"
        )


def _epsilon_notes(source: Unit, target: Unit) -> tuple[str, ...]:
    """Tells of epsilons that differ."""
    if source.layer is None or target.layer is None:
        return ()
    ours, theirs = source.layer.options.get("eps"), _option(target.layer, "epsilon", "eps")
    if ours is None or theirs is None or ours == theirs:
        return ()
    return (f"{source.layer} has eps={ours}, {target.layer} {theirs}",)


def _batch_notes(source: Unit, target: Unit) -> tuple[str, ...]:
    """Tells what training on needs heeded: momentum and the kind of variance."""
    library = target.layer or "the target"
    found = list(_epsilon_notes(source, target))
    if "var" in target.members:
        ours = source.layer.options.get("momentum") if source.layer is not None else None
        theirs = _option(target.layer, "momentum", "decay_rate", "decay") if target.layer is not None else None
        here = f" (momentum={ours} is {round(1 - ours, 12)} there)" if isinstance(ours, float) else ""
        there = f", {theirs} as built" if isinstance(theirs, float) else ""
        found.append(f"torch's momentum weighs the new batch{here}, that of {library} the old statistics{there}")
        found.append(f"torch averages unbiased batch variances, {library} biased ones: they part once training goes on")
    return tuple(found)


def _option(layer: Layer, *names: str) -> object:
    return next((layer.options[name] for name in names if name in layer.options), None)


@dataclass(frozen=True)
class StatisticsFamily(Family):
    """Normalisations with running statistics, and what a library keeps beside those."""

    name: str
    kinds: frozenset[str]
    plain: LayoutFamily

    def draft(self, source: Unit, target: Unit) -> tuple[Draft, ...]:
        """Returns the drafts of the tensors, and of what has to be made up."""
        drafts = [self._kept_twice(draft, target) for draft in self.plain.draft(source, target)]
        constants = [(target.members[role], value) for role, value in _CONSTANTS.items() if role in target.members]
        return (*drafts, *(_constant(member, value) for member, value in constants))

    @staticmethod
    def _kept_twice(draft: Draft, target: Unit) -> Draft:
        """Haiku keeps each average with and without the correction for its start."""
        for role in ("mean", "var"):
            hidden = target.members.get(f"{role}_hidden")
            if hidden is not None and draft.targets == (target.members[role].key,):
                twice = chain(draft.transform, Copy(2))
                return replace(draft, targets=(*draft.targets, hidden.key), transform=twice)
        return draft


def _constant(member: Member, value: int) -> Draft:
    made = Fill(value, member.spec.shape, member.spec.dtype)
    return Draft((), (member.key,), made, proved=True, why="no correction of the averages for a start at zero")


NORMALIZATION = LayoutFamily(
    "normalisation",
    frozenset(f"{library}.{name}" for library in _LIBRARIES for name in _PER_SAMPLE) | _INSTANCE,
    layouts,
    _statistics_have_a_place,
    _epsilon_notes,
)
_BATCH = frozenset(
    {"torch.BatchNorm1d", "torch.BatchNorm2d", "torch.BatchNorm3d", "torch.SyncBatchNorm"}
    | {"nnx.BatchNorm", "linen.BatchNorm", "haiku.BatchNorm", "equinox.BatchNorm"}
)
BATCH_NORMALIZATION = StatisticsFamily(
    "batch normalisation",
    _BATCH,
    LayoutFamily("batch normalisation", _BATCH, layouts, notes=_batch_notes),
)
