"""Linear layers beside convolutions: torch counts (channel, row, column), channels last counts otherwise.

Behind a flattened image the order of a linear layer's inputs is meant, before an image that is made from a vector the
order of its outputs. The kernel has one shape either way, so that no shape tells; a declaration does. Layers whose
inputs another layer is known to make, or whose outputs another one takes, targets that keep channels first, and widths
that are the channels alone need none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from weight_bridge._errors import Misfit
from weight_bridge.axes import Regroup
from weight_bridge.conventions import Draft
from weight_bridge.conventions.linear import IN_OUT_KINDS
from weight_bridge.pairing import Match, Question
from weight_bridge.transforms import Identity, chain
from weight_bridge.units import Unit

Key = Literal["channels_last", "output_channels_last"]  # of an entry that declares a side

_POOLED = ("BatchNorm2d", "BatchNorm3d", "GroupNorm")
_SIDES: dict[Key, str] = {"channels_last": "inputs", "output_channels_last": "outputs"}
# What torch does with a side, as a question says it.
_DOES: dict[Key, str] = {"channels_last": "flattens", "output_channels_last": "takes apart"}
# Fewer places to a channel are packed projections, gates, a scale beside a shift.
_FEWEST_PLACES = 4
# Names in an order that tells nothing do not tell a network's first convolution from its decoder's.
_IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class _Order:
    """In which order a checkpoint has its layers; `told` where that may be the order in which they run."""

    places: Mapping[str, int]
    told: bool

    def of(self, found: Match) -> int:
        unit = found.source
        return self.places.get(unit.where, self.places.get(unit.main.names[0], -1))

    def before(self, one: Match, other: Match) -> bool:
        """Whether one layer is known to come before another."""
        return self.told and self.of(one) < self.of(other)


def undeclared(known: Sequence[Match], names: Iterable[str], modules: Iterable[str]) -> list[Question]:
    """Returns a question for each side of a layer beside channels that torch has first and the target perhaps last.

    Args:
      known: what a mapping pairs, which declares the sides that it names, or both if it names none; and what was
        inferred.
      names: of the checkpoint's tensors, in its order.
      modules: names of the source's modules, as far as known, in their order.
    """
    places = {name: place for place, name in enumerate(names)}
    if list(places) == sorted(places):  # sorted names tell nothing about what follows what
        places = {name: place for place, name in enumerate(modules)}
    order = _Order(places, told=False)
    order = replace(order, told=all(order.of(found) >= 0 for found in known))
    convolutions = [found for found in known if _turns_channels(found)]
    questions: list[Question] = []
    for found in known if convolutions else []:
        if not _is_linear(found):
            continue
        near = None if _declared(found, "channels_last") else _flattened(found, convolutions, known, order)
        if near is not None:
            questions.append(_question(found, near, _inputs(found.source), _channels(near), "channels_last"))
        if near := _unflattened(found, convolutions, known, order):
            between = [other for other in known if _normalizes(other, found, near, order)]
            width, channels = _outputs(found.source), _channels_taken(near)
            asked = [other for other in (found, *between) if not _declared(other, "output_channels_last")]
            questions += [_question(other, near, width, channels, "output_channels_last") for other in asked]
    return questions


def _declared(found: Match, key: Key) -> bool:
    """Whether a mapping says how a side is counted: an entry with the other side's key alone does not."""
    pairing = found.pairing
    if pairing is None:
        return False
    both = {"channels_last": pairing.channels_last, "output_channels_last": pairing.output_channels_last}
    return both[key] is not None or not any(both.values())


def channels_last(drafts: Sequence[Draft], source: Unit, inputs: int | None, outputs: int | None) -> tuple[Draft, ...]:
    """Returns drafts of a layer whose inputs or outputs are turned from (channel, place) to (place, channel).

    Args:
      drafts: of the layer as it stands.
      source: the layer.
      inputs: channels among the inputs of a linear layer; None or 1 leaves them.
      outputs: channels among the outputs of a linear layer, or the features of a normalisation; None or 1 leaves them.

    Raises:
      Misfit: it is no such layer, or has no multiple of the channels.
    """
    weight = source.members.get("weight")
    shape = weight.spec.shape if weight is not None and source.family is None else ()
    linear = len(shape) == 2
    stored = int(not _stores_inputs_first(source))  # the axis of the inputs
    if inputs is not None:
        width = shape[stored] if linear else 0
        names = weight.names if weight is not None else ()
        drafts = _turned(drafts, source, {names: stored}, (inputs, width), "channels_last", "a linear layer")
    if outputs is not None:
        width = shape[1 - stored] if linear else shape[0] if len(shape) == 1 else 0
        axes = {m.names: 1 - stored if len(m.spec.shape) == 2 else 0 for m in source.members.values()}
        what = "a linear layer or a normalisation"
        drafts = _turned(drafts, source, axes, (outputs, width), "output_channels_last", what)
    return tuple(drafts)


def _turned(
    drafts: Sequence[Draft],
    source: Unit,
    axes: Mapping[tuple[str, ...], int],
    sizes: tuple[int, int],
    key: Key,
    what: str,
) -> tuple[Draft, ...]:
    """Drafts with an axis of each named tensor turned."""
    channels, width = sizes
    if not width or width % channels:
        wide = f" of a multiple of {channels} {_SIDES[key]}" if channels > 1 else ""
        raise Misfit(f"{source.where}: {key} = {channels} goes with {what}{wide}")
    if channels == 1:
        return tuple(
            replace(part, why=f"{part.why}; {_SIDES[key]} as they stand") if part.sources in axes else part
            for part in drafts
        )
    return tuple(
        replace(
            part,
            transform=chain(Regroup(axes[part.sources], (channels, width // channels), (1, 0)), part.transform),
            why=f"{part.why}; {channels} channels turned last",
        )
        if part.sources in axes
        else part
        for part in drafts
    )


def _question(found: Match, near: Match, width: int, channels: int, key: Key) -> Question:
    source, target = found.source, found.target
    more = "" if source.layer else "--source may, with the layers' types and their order. "
    return Question(
        source,
        target,
        f"{target.main.key} from {source.main.key} {list(source.main.spec.shape)}: its {width} {_SIDES[key]} may be "
        f"{channels} channels of {near.source.where} × {width // channels} places, which torch {_DOES[key]} channels "
        f"first and the target perhaps channels last; nothing tells. {more}{_way_out(found, channels, key)}",
    )


def _way_out(found: Match, channels: int, key: Key) -> str:
    """What to write: an entry, or into that which declares the other side."""
    layer = f'source = "{found.source.where}", target = "{found.target.where}"'
    if found.pairing is not None:
        return f"In the [[layer]] that has {layer}, {key} = 1 takes them as they stand, {key} = {channels} turns them"
    return f"A [[layer]] of --mapping with {layer} takes it as it stands, {key} = {channels} beside these turns it"


def _flattened(found: Match, convolutions: Sequence[Match], known: Sequence[Match], order: _Order) -> Match | None:
    """The convolution whose flattened channels may be a linear layer's inputs."""
    behind = [other for other in convolutions if not order.told or order.before(other, found)]
    behind = sorted(behind, key=order.of)[-1:] if order.told else behind
    width = _inputs(found.source)
    near = next((o for o in behind if _channels(o) < width and width % _channels(o) == 0), None)
    made = near is not None and any(_makes(other, found, order) for other in known if other is not found)
    return None if made else near


def _unflattened(found: Match, convolutions: Sequence[Match], known: Sequence[Match], order: _Order) -> Match | None:
    """The convolution that may take a linear layer's outputs as channels of an image."""
    if order.told:
        ahead = sorted((other for other in convolutions if order.before(found, other)), key=order.of)[:1]
    else:
        ahead = [other for other in convolutions if _starts_below(other, found, convolutions)]
    width = _outputs(found.source)
    near = next((other for other in ahead if _makes_image(width, _channels_taken(other))), None)
    taken = near is not None and any(_takes(other, found, order) for other in known if other is not found)
    return None if taken else near


def _makes_image(width: int, channels: int) -> bool:
    return channels > 1 and width % channels == 0 and width // channels >= _FEWEST_PLACES


def _starts_below(convolution: Match, linear: Match, convolutions: Sequence[Match]) -> bool:
    """Whether a convolution lies in the module that holds a linear layer, and no other one there makes its inputs."""
    home = linear.source.tokens[:-1]
    channels = _channels_taken(convolution)
    beside = [other for other in convolutions if other.source.tokens[: len(home)] == home]
    fed = any(_channels(other) == channels for other in beside if other is not convolution)
    return convolution in beside and not fed and channels > _IMAGE_CHANNELS


def _takes(other: Match, found: Match, order: _Order) -> bool:
    """Whether another layer is known to take a linear layer's outputs: all, or half of them behind a gate."""
    unit, width = other.source, _outputs(found.source)
    if _is_linear(other):
        takes = width in {_inputs(unit), 2 * _inputs(unit)}
    elif _rank(other) > 2 and unit.family is None:
        takes = width == _channels_taken(other)
    else:
        takes = unit.family is not None and any(width in member.spec.shape for member in unit.members.values())
    return takes and (_block(unit, found.source) or order.before(found, other))


def _normalizes(other: Match, linear: Match, convolution: Match, order: _Order) -> bool:
    """Whether a normalisation stands between a linear layer and the convolution that takes its outputs."""
    unit = other.source
    if unit.family is not None or "weight" not in unit.members or unit.main.spec.shape != (_outputs(linear.source),):
        return False
    if order.told:
        return order.before(linear, other) and order.before(other, convolution)
    return _block(unit, linear.source)


def _is_linear(found: Match) -> bool:
    """Whether a match is of two linear layers, as far as is known."""
    layers = [unit.layer.kind for unit in (found.source, found.target) if unit.layer is not None]
    labelled = found.target.main.label not in {"embedding", "embeddings"}
    named = all("Embed" not in kind and "Bilinear" not in kind for kind in layers)
    return found.source.family is None and "weight" in found.source.members and _rank(found) == 2 and labelled and named


def _turns_channels(found: Match) -> bool:
    """Whether a match is of convolutions of which the target stores, and so has, channels last."""
    if _rank(found) < 3 or found.source.family is not None or "weight" not in found.source.members:
        return False
    if found.target.layer is not None and found.target.layer.options.get("channels_first") is True:
        return False
    weight = found.source.members["weight"].names
    return any(part.sources == weight and not isinstance(part.transform, Identity) for part in found.drafts)


def _makes(other: Match, found: Match, order: _Order) -> bool:
    """Whether another layer is known to make a linear layer's inputs: as many, or twice as many for a gate."""
    width, unit = _inputs(found.source), other.source
    kind = unit.layer.kind if unit.layer is not None else ""
    if kind.endswith(_POOLED) and math.prod(unit.main.spec.shape) == width:
        return True
    if _rank(other) < 2 or "weight" not in unit.members:
        return unit.family is not None and any(width == member.spec.shape[-1] for member in unit.members.values())
    shape = unit.main.spec.shape
    widths = {_channels(other)} if len(shape) > 2 else set(shape if not _is_linear(other) else {_outputs(unit)})
    if width not in widths and 2 * width not in widths:
        return False
    return _block(unit, found.source) or order.before(other, found)


def _block(one: Unit, other: Unit) -> bool:
    """Whether two layers have one parent, or lie in one numbered part of the model."""
    if one.tokens[:-1] == other.tokens[:-1]:
        return True
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one.tokens, other.tokens, strict=False))
    return any(token.isdigit() for token, _ in pairs)


def _rank(found: Match) -> int:
    return len(found.source.main.spec.shape)


def _stores_inputs_first(unit: Unit) -> bool:
    return unit.layer is not None and unit.layer.kind in IN_OUT_KINDS


def _inputs(unit: Unit) -> int:
    return unit.main.spec.shape[0 if _stores_inputs_first(unit) else 1]


def _outputs(unit: Unit) -> int:
    return unit.main.spec.shape[1 if _stores_inputs_first(unit) else 0]


def _channels(found: Match) -> int:
    """Channels that a convolution gives: its biases', else its kernel's first axis, the second of a transposed one."""
    unit = found.source
    if "bias" in unit.members:
        return max(1, math.prod(unit.members["bias"].spec.shape))
    return unit.main.spec.shape[int(_transposed(found))]


def _channels_taken(found: Match) -> int:
    """Channels that a convolution takes: its kernel's other axis, once for each group."""
    unit = found.source
    groups = unit.layer.options.get("groups") if unit.layer is not None else None
    first, second = unit.main.spec.shape[:2]
    return first if _transposed(found) else second * (groups if isinstance(groups, int) else 1)


def _transposed(found: Match) -> bool:
    layers = [unit.layer.kind for unit in (found.source, found.target) if unit.layer is not None]
    return any("Transpose" in kind for kind in layers)
