"""What a torch optimizer remembers, by the target's paths: settings of groups, steps, moments laid out as leaves are.

A moment is carried like the parameter it belongs to, which is right only where the plan moves elements and does no more
with them: of two biases that are summed, torch moves each, so that their sum moves twice as fast as one bias does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from weight_bridge._dtypes import numpy_dtype
from weight_bridge._errors import ConversionError, UsageError
from weight_bridge.joint import rearranges
from weight_bridge.plan import Plan, Step
from weight_bridge.readers import live
from weight_bridge.spec import Array

# Torch's name of what it remembers → Optax's.
MOMENTS = {"exp_avg": "mu", "exp_avg_sq": "nu", "momentum_buffer": "trace"}
KNOWN = "torch.optim.SGD, Adam and AdamW"


@dataclass(frozen=True)
class Settings:
    """How one group of parameters moves; the names are those of `torch.optim`.

    Args:
      lr: learning rate.
      weight_decay: its factor.
      decoupled: whether decay acts on the parameter itself (AdamW) and not on its gradient.
      maximize: whether the parameters climb.
      betas: of Adam; None for descent with momentum.
      eps: of Adam.
      momentum: of SGD.
      dampening: of SGD.
      nesterov: of SGD.
    """

    lr: float
    weight_decay: float = 0.0
    decoupled: bool = False
    maximize: bool = False
    betas: tuple[float, float] | None = None
    eps: float = 0.0
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    @property
    def remembers(self) -> tuple[str, ...]:
        """What torch keeps of each parameter."""
        return ("exp_avg", "exp_avg_sq") if self.betas else ("momentum_buffer",) if self.momentum else ()


@dataclass(frozen=True)
class Kept:
    """What torch keeps of one parameter: the number of its group, steps (None where none are counted), moments."""

    group: int
    steps: int | None
    moments: Mapping[str, Array]


@dataclass(frozen=True)
class Memory:
    """What a torch optimizer remembers, by the target's paths.

    Args:
      groups: settings of each of torch's groups.
      group: path → number of its group; a leaf that the optimizer does not move is absent.
      steps: path → steps made; absent where torch counts none.
      moments: Optax's name (`mu`, `nu`, `trace`) → path → array.
    """

    groups: tuple[Settings, ...]
    group: Mapping[str, int] = field(default_factory=dict[str, int])
    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    moments: Mapping[str, Mapping[str, Array]] = field(default_factory=dict[str, Mapping[str, Array]])


def remembered(saved: Mapping[str, Any], names: Sequence[str], decided: Plan, wanted: Sequence[str]) -> Memory:
    """Carries what a torch optimizer remembers to the target's paths.

    Args:
      saved: its `state_dict()`.
      names: the parameters' names in the optimizer's order.
      decided: the plan that carries the parameters.
      wanted: paths of the target's parameters.

    Returns:
      The memory, its moments in the leaves' layout.

    Raises:
      ConversionError: an optimizer, a setting or a step of the plan that Optax cannot follow; all are listed.
    """
    problems: list[str] = []
    settings = tuple(_settings(group, f"group {i}", problems) for i, group in enumerate(saved["param_groups"]))
    kept = dict(_kept(saved, names, settings, problems)) if not problems else {}
    memory = Memory(settings, {}, {}, {name: {} for name in MOMENTS.values()})
    parameters = set(wanted)
    for step in decided.steps:
        paths = [path for path in step.targets if path in parameters]
        if kept and paths and (fault := _fault(step, kept)):
            problems += [f"{path} from {' + '.join(step.sources) or 'nothing'}: {fault}" for path in paths]
        elif kept and paths and step.sources[0] in kept:
            _carry(step, kept, memory)
    problems += _trained_apart(decided, kept, parameters)
    problems += [f"{entry.path}: unfilled, so no torch parameter remembers for it" for entry in decided.unfilled]
    if problems:
        raise ConversionError("the optimizer's state cannot be carried over", problems)
    return memory


def _settings(group: Mapping[str, Any], who: str, problems: list[str]) -> Settings:
    """One group's settings; what Optax has no counterpart of is added to the problems."""
    lr, decay = float(group["lr"]), float(group.get("weight_decay", 0.0))
    maximize = bool(group.get("maximize", False))
    if "amsgrad" in group and "betas" in group:
        if group["amsgrad"]:
            problems.append(f"{who}: amsgrad takes its maximum before bias correction, Optax after; train without it")
        decoupled = group.get("decoupled_weight_decay")
        if decoupled is None and decay:
            problems.append(
                f"{who}: weight_decay without decoupled_weight_decay may be Adam's or AdamW's: "
                "load it into the optimizer of a newer torch and save it again"
            )
        first, second = map(float, group["betas"])
        return Settings(lr, decay, bool(decoupled), maximize, (first, second), float(group["eps"]))
    if "dampening" in group and "nesterov" in group:
        momentum, dampening = float(group["momentum"]), float(group["dampening"])
        return Settings(
            lr, decay, maximize=maximize, momentum=momentum, dampening=dampening, nesterov=bool(group["nesterov"])
        )
    problems.append(f"{who}: an optimizer with {', '.join(sorted(set(group) - {'params'}))}; expected {KNOWN}")
    return Settings(lr)


def _kept(
    saved: Mapping[str, Any], names: Sequence[str], groups: Sequence[Settings], problems: list[str]
) -> Iterator[tuple[str, Kept]]:
    """Name → what torch keeps of it, each complete or refused."""
    order = [index for group in saved["param_groups"] for index in group["params"]]
    by_index = dict(zip(order, names, strict=True))
    started = bool(saved["state"])
    for number, (group, settings) in enumerate(zip(saved["param_groups"], groups, strict=True)):
        for index in group["params"]:
            name, state = by_index[index], saved["state"].get(index, {})
            moments = {
                key: live.to_numpy(value) for key, value in state.items() if key in MOMENTS and value is not None
            }
            strange = sorted(set(state) - {*MOMENTS, "step"})
            if strange:
                problems.append(f"{name}: torch also keeps {', '.join(strange)}, for which Optax has no place")
            if started and settings.betas and len(moments) < 2:
                problems.append(
                    f"{name}: has no state while others have; leave it out of the optimizer if it is frozen"
                )
            elif not moments and settings.momentum and settings.dampening:
                problems.append(f"{name}: torch does not dampen the first step, Optax does; convert after one step")
            steps = (int(state["step"]) if "step" in state else 0) if settings.betas else None
            yield name, Kept(number, steps, {key: moments[key] for key in settings.remembers if key in moments})


def _fault(step: Step, kept: Mapping[str, Kept]) -> str | None:
    """Why the moments of a step's tensors cannot fill its leaves, if so."""
    mine = [kept.get(name) for name in step.sources]
    if step.sources and not any(mine):
        return None  # frozen: the optimizer does not know it
    if not step.sources:
        return "the leaf is made up, torch trains no such parameter; drop it from the target"
    if not rearranges(step.transform):
        return f"{step.transform} does more than move elements, so torch and Optax would train it differently"
    if any(one is None for one in mine):
        return "the optimizer moves only a part of it; put all of it into torch's optimizer, or none"
    found = [one for one in mine if one]
    if len({one.group for one in found}) > 1 or len({one.steps for one in found}) > 1:
        return "its parts are in several groups or made different numbers of steps; a target with separate leaves can"
    shapes = [value.shape for one in found for value in one.moments.values()]
    wanted = [spec.shape for spec, one in zip(step.source_specs, found, strict=True) for _ in one.moments]
    if shapes != wanted:
        return f"moments of shape {shapes[0]}, expected {wanted[0]}; name the parameters in the optimizer's order"
    return None


def _carry(step: Step, kept: Mapping[str, Kept], memory: Memory) -> None:
    """Adds the moments of a step's tensors under its leaves."""
    first = kept[step.sources[0]]
    cast("dict[str, int]", memory.group).update(dict.fromkeys(step.targets, first.group))
    if first.steps is not None:
        cast("dict[str, int]", memory.steps).update(dict.fromkeys(step.targets, first.steps))
    specs = dict(zip(step.sources, step.source_specs, strict=True))
    for key in memory.groups[first.group].remembers:
        zeros = {
            name: np.zeros(spec.shape, numpy_dtype(spec.dtype))
            for name, spec in specs.items()
            if key not in kept[name].moments
        }
        given = {name: kept[name].moments[key] for name in specs if name not in zeros}
        place = cast("dict[str, Array]", memory.moments[MOMENTS[key]])
        place.update(zip(step.targets, step.apply(given | zeros), strict=True))


def _trained_apart(decided: Plan, kept: Mapping[str, Kept], parameters: set[str]) -> list[str]:
    """One line per parameter that fills several leaves: those would no longer move as one."""
    places: dict[str, list[str]] = {}
    groups = {name: names[0] for names in decided.ties for name in names}
    for step in decided.steps:
        for name in {groups.get(name, name) for name in step.sources}:
            places.setdefault(name, []).extend(path for path in step.targets if path in parameters)
    several = {name: paths for name, paths in places.items() if name in kept and len(paths) > 1}
    splits = {name for step in decided.steps for name in step.sources if len(step.targets) > 1}
    return [
        f"{name}: one parameter in torch, apart in {', '.join(paths)}; share the leaf in the target"
        for name, paths in several.items()
        if name not in splits
    ]


def parameter_names(
    saved: Mapping[str, Any], *, given: Sequence[str] | None, found: Sequence[str], optimizer: Any, module: Any
) -> tuple[str, ...]:
    """Returns the names of an optimizer's parameters in its order; nothing but names and identity decides.

    Args:
      saved: its `state_dict()`.
      given: names that the caller states.
      found: the model's parameters in its own order.
      optimizer: the live optimizer, if there is one.
      module: the live torch module, if there is one.

    Raises:
      UsageError: the order cannot be known.
    """
    groups = saved["param_groups"]
    count = sum(len(group["params"]) for group in groups)
    named = [name for group in groups for name in group.get("param_names", ())]
    if given is None and module is not None:
        own = {id(value): name for name, value in module.named_parameters()}
        live_order = [
            own.get(id(value)) for group in getattr(optimizer, "param_groups", ()) for value in group["params"]
        ]
        if live_order and all(live_order):
            return tuple(name for name in live_order if name)
        found = tuple(own.values())
    names = list(given) if given is not None else named if len(named) == count else list(found)
    if given is None and len(named) != count and len(groups) > 1:
        raise UsageError(
            f"the optimizer has {len(groups)} groups and no names: say parameters=[names in the optimizer's order], "
            "or build it with torch's named_parameters()"
        )
    if len(names) != count or len(set(names)) != count:
        raise UsageError(
            f"the optimizer has {count} parameters, {len(set(names))} names were found: say parameters=[names in the "
            "optimizer's order], or source=the torch module"
        )
    return tuple(names)
