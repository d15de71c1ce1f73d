"""Settings that a reference's own modules carry, where the candidate may have other values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from torch import nn

from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.settings import same
from parity.explain.suspect import Hypothesis, Setting, Suspect

MOST_SETTINGS = 16
"""Settings of a module that are tried."""


@dataclass(frozen=True)
class Held:
    """A number or flag that a module holds, itself or in a dataclass.

    Attributes:
      owner: torch name of the module.
      name: of the setting.
      value: its value.
      changed: value → the module with that value, for a while.
    """

    owner: str
    name: str
    value: Any
    changed: Callable[[Any], AbstractContextManager[Any]]


def settings(scene: Scene) -> Iterator[Hypothesis]:
    """Every setting of the modules whose own code is suspected, with other values."""
    yield from _norm_first(scene)
    owners = dict.fromkeys((scene.name, *(op.owner for op in scene.suspected)))
    held = [setting for owner in owners for setting in _held(scene, owner)]
    rotary = {"cos", "sin"} <= {op.name for op in scene.ops}
    for setting in held[:MOST_SETTINGS]:
        for value in _others(scene, setting):
            cause = _cause(setting.name, rotary)
            suspected = Setting(setting.name, setting.value, value)
            edit = _edit(setting, value)
            yield Suspect(cause, setting.owner, "", setting=suspected, around=edit)


def _norm_first(scene: Scene) -> Iterator[Hypothesis]:
    """The norms of a transformer's layer in front of attention and feed-forward, or behind."""
    for name, module in scene.module.named_modules():
        if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
            owner = ".".join(filter(None, (scene.name, name)))
            own, layer = module.norm_first, module
            setting = Setting("norm_first", own, not own)
            detail = "norms behind, not in front" if own else "norms in front, not behind"
            yield Suspect(
                "norm-order", owner, detail, setting=setting, around=lambda m=layer, v=not own: _with_order(m, v)
            )


def _with_order(layer: Any, first: bool) -> AbstractContextManager[Any]:
    return patch.object(layer, "norm_first", first)


CAUSES: Mapping[str, tuple[str, ...]] = {
    "loop-bound": ("steps", "iteration", "rounds"),
    "max-length-semantics": ("longest", "max_len", "max_new", "maxlen"),
}
"""What a setting is called, and what it means to have another value there."""


def _edit(setting: Held, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: setting.changed(value)


def _held(scene: Scene, owner: str) -> Iterator[Held]:
    """The settings of one module of the reference, written by its author."""
    inner = owner.removeprefix(scene.name).removeprefix(".")
    try:
        module = scene.module.get_submodule(inner)
    except AttributeError:
        return
    if type(module).__module__.startswith("torch.nn"):
        return  # these have families of their own
    for name, value in vars(module).items():
        if name.startswith("_") or name in vars(nn.Module()):
            continue
        if _plain(value):
            yield Held(owner, name, value, lambda v, n=name: patch.object(module, n, v))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                if _plain(getattr(value, field.name)):
                    yield Held(
                        owner,
                        field.name,
                        getattr(value, field.name),
                        lambda v, n=name, f=field.name, d=value: patch.object(
                            module, n, dataclasses.replace(d, **{f: v})
                        ),
                    )


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _others(scene: Scene, setting: Held) -> list[Any]:
    """Values that the candidate carries under the same name, then neighbours, halves, doubles, sizes of arguments."""
    value = setting.value
    read = [r.value for r in scene.readings if r.name == setting.name and _plain(r.value)]
    guesses: list[Any] = [not value] if isinstance(value, bool) else []
    if isinstance(value, int) and not isinstance(value, bool):
        sizes = [array.shape[-1] for array in scene.inputs.values() if array.ndim]
        guesses = [value - 1, value + 1, 2 * value, value // 2, *sizes]
    elif isinstance(value, float):
        guesses = [2 * value, value / 2, 0.0, 1.0, -value]
    return [v for v in dict.fromkeys((*read, *guesses)) if not same(v, value)]


def _cause(name: str, rotary: bool) -> str:
    """A name of its own where there is one."""
    words = name.lower()
    for cause, parts in CAUSES.items():
        if any(part in words for part in parts):
            return cause
    if words in ("eps", "epsilon"):
        return "norm-epsilon"
    if rotary:
        if words in ("base", "theta"):
            return "rope-base"
        if any(word in words for word in ("rot", "dim", "size", "part")):
            return "rope-partial-dim"
    return "setting-differs"


FAMILY = Family("attributes", {}, settings)
