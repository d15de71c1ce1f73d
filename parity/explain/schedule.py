"""Schedules of learning rates that a module runs: horizons, boundaries, starts, steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import optim

from parity.explain.scene import Scene
from parity.explain.suspect import Edit, Hypothesis, Setting, Suspect


def other_schedules(scene: Scene, schedule: Any) -> Iterator[Hypothesis]:
    """Other horizons, boundaries and starts of a schedule.

    Args:
      scene: where a module builds it.
      schedule: one that was built, as an example of its class.

    Yields:
      Mistakes in it, those with a name of their own first.
    """
    kind = type(schedule)
    if hasattr(schedule, "T_max"):
        for factor in (10, 100, 2, 0.5):
            horizon = int(schedule.T_max * factor)
            setting = Setting("T_max", schedule.T_max, horizon)
            yield Suspect(
                "schedule-horizon", scene.name, "", setting=setting, around=_attribute(kind, "T_max", horizon)
            )
        floor = schedule.eta_min * schedule.base_lrs[0]
        yield Suspect(
            "cosine-eta-alpha",
            scene.name,
            "the floor is a share of the rate",
            around=_attribute(kind, "eta_min", floor),
        )
    if hasattr(schedule, "milestones"):
        for shift in (1, -1):
            yield Suspect("milestone-off-by-one", scene.name, f"milestones later by {shift}", around=_milestones(shift))
    if hasattr(schedule, "lr_lambdas"):
        for shift in (-1, 1):
            yield Suspect(
                "warmup-start", scene.name, f"factors of the step {shift:+d}", around=_lambdas(lambda n, s=shift: n + s)
            )
        for epoch in (2, 3, 4, 5):
            detail = f"stepped {epoch} times as often"
            yield Suspect("schedule-per-epoch", scene.name, detail, around=_lambdas(lambda n, e=epoch: n * e))
    if hasattr(schedule, "patience"):
        for patience in (schedule.patience - 1, schedule.patience + 1):
            setting = Setting("patience", schedule.patience, patience)
            yield Suspect(
                "plateau-patience", scene.name, "", setting=setting, around=_attribute(kind, "patience", patience)
            )
    for shift in (1, -1):
        edit = _shifted(kind, shift)
        yield Suspect("schedule-off-by-one", scene.name, f"shifted by {shift} step", around=edit)


def _attribute(cls: Any, name: str, value: Any) -> Edit:
    """Every schedule of a class with another value of an attribute from the start."""
    own: Any = cls.__init__
    base: Any = optim.lr_scheduler.LRScheduler

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        parameters = own.__code__.co_varnames[1 : own.__code__.co_argcount]
        given = {**dict(zip(parameters, args, strict=False)), **kwargs, name: value}
        own(self, **given)

    del base
    return lambda: patch.object(cls, "__init__", init)


def _shifted(cls: Any, shift: int) -> Edit:
    """Every schedule ahead or behind by a step."""
    own: Any = cls.__init__

    def init(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        own(self, optimizer, *args, **kwargs)
        if shift > 0:
            self.step()
        else:
            self._skip = True

    step: Any = cls.step

    def later(self: Any, *args: Any) -> None:
        if vars(self).pop("_skip", False):
            return
        step(self, *args)

    @contextmanager
    def edit() -> Generator[None]:
        with patch.object(cls, "__init__", init), patch.object(cls, "step", later):
            yield

    return edit


def _milestones(shift: int) -> Edit:
    own: Any = optim.lr_scheduler.MultiStepLR.__init__

    def init(self: Any, optimizer: Any, milestones: Any, *args: Any, **kwargs: Any) -> None:
        own(self, optimizer, [m + shift for m in milestones], *args, **kwargs)

    return lambda: patch.object(optim.lr_scheduler.MultiStepLR, "__init__", init)


def _lambdas(change: Callable[[int], int]) -> Edit:
    own: Any = optim.lr_scheduler.LambdaLR.__init__

    def init(self: Any, optimizer: Any, lr_lambda: Any, *args: Any, **kwargs: Any) -> None:
        own(self, optimizer, lambda step: lr_lambda(change(step)), *args, **kwargs)

    return lambda: patch.object(optim.lr_scheduler.LambdaLR, "__init__", init)
