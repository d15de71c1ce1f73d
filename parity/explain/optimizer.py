"""Optimizers that a module runs: their settings, and the order of what they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import optim

from parity.explain.family import Family
from parity.explain.scene import Scene
from parity.explain.schedule import other_schedules
from parity.explain.suspect import Edit, Hypothesis, Setting, Suspect

Groups = list[dict[str, Any]]


def optimizers(scene: Scene) -> Iterator[Hypothesis]:
    """Other settings of every optimizer and schedule that a run of the module builds."""
    built, schedules = _built(scene)
    for optimizer in built:
        yield from _settings(scene, optimizer)
        yield from _steps(scene, optimizer)
    for schedule in schedules:
        yield from other_schedules(scene, schedule)
    if built:
        for detail, lost in {"the step count": ("step",), "the moments": ("exp_avg", "exp_avg_sq")}.items():
            edit = _loaded_without(lost)
            yield Suspect("optimizer-state-resume", scene.name, f"{detail} is lost on loading", around=edit)
        yield Suspect("frozen-params-move", scene.name, "frozen tensors take part in the step", around=_thawed(True))
        detail = "frozen tensors decay, as if they were trained"
        yield Suspect("buffers-as-params", scene.name, detail, around=_thawed(False))
        yield Suspect("clip-order", scene.name, "clipped after the update is computed", around=_clipped_late)


def _built(scene: Scene) -> tuple[list[optim.Optimizer], list[Any]]:
    """The optimizers and schedules of one run, one of each class."""
    found: dict[str, Any] = {}

    def noted(cls: Any) -> Any:
        own = cls.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            own(self, *args, **kwargs)
            found.setdefault(type(self).__name__, self)

        return patch.object(cls, "__init__", init)

    @contextmanager
    def watching() -> Generator[None]:
        schedulers = optim.lr_scheduler
        with noted(optim.Optimizer), noted(schedulers.LRScheduler), noted(schedulers.ReduceLROnPlateau):
            yield

    scene.rerun(watching, {})
    return (
        [o for o in found.values() if isinstance(o, optim.Optimizer)],
        [s for s in found.values() if not isinstance(s, optim.Optimizer)],
    )


OTHERS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "weight_decay": (
        ("adamw-default-decay", 1e-4),
        ("weight-decay", 0.0),
        ("weight-decay", 1e-2),
        ("weight-decay", 0.1),
    ),
    "momentum": (("momentum-value", 0.0), ("momentum-value", 0.9), ("momentum-value", 0.99)),
    "dampening": (("sgd-dampening", 0.9), ("sgd-dampening", 0.0)),
    "nesterov": (("nesterov-dropped", False), ("nesterov-dropped", True)),
    "alpha": (("rmsprop-decay-default", 0.9), ("rmsprop-decay-default", 0.99)),
    "eps": (("adam-eps", 1e-8), ("adam-eps", 1e-7), ("adam-eps", 1e-6), ("adam-eps", 1e-5), ("adam-eps", 0.0)),
    "betas": (("adam-betas", (0.9, 0.99)), ("adam-betas", (0.9, 0.98)), ("adam-betas", (0.9, 0.95))),
    "amsgrad": (("amsgrad-dropped", True), ("amsgrad-dropped", False)),
    "momentum_decay": (("nadam-momentum-schedule", 0.0),),
    "lr": (("learning-rate", None),),
}
"""Setting of a torch optimizer → causes and other values."""


def _settings(scene: Scene, optimizer: optim.Optimizer) -> Iterator[Hypothesis]:
    """Every setting with another value, in all groups or in those that have none."""
    defaults = optimizer.param_groups[0]
    for name, others in OTHERS.items():
        for cause, value in others:
            if name in defaults and value is not None and defaults[name] != value:
                row = cause if cause != "adamw-default-decay" or type(optimizer).__name__ == "AdamW" else "weight-decay"
                setting = Setting(name, defaults[name], value)
                yield Suspect(row, scene.name, "", setting=setting, around=_with_settings({name: value}))
    decays = {group.get("weight_decay", 0.0) for group in optimizer.param_groups}
    if len(decays) > 1:
        edit = _with_settings({"weight_decay": max(decays)})
        yield Suspect("decay-mask-missing", scene.name, "weights decay that should not", around=edit)
    if "lr_decay" in defaults:
        for start in (0.1, 1.0, 1e-6):
            yield Suspect("adagrad-initial-accumulator", scene.name, f"starts at {start}", around=_accumulated(start))
        detail = "Optax's defaults: starts at 0.1, epsilon 1e-07 inside the root"
        edit = _rewritten(_adagrad, 1e-7, 0.1)
        yield Suspect("adagrad-initial-accumulator", scene.name, detail, around=edit)
        for eps in (1e-7, 1e-8, 1e-10):
            detail = f"epsilon {eps:g} inside the root"
            yield Suspect("adagrad-eps", scene.name, detail, around=_rewritten(_adagrad, eps))


def _with_settings(changes: Mapping[str, Any]) -> Edit:
    """Every optimizer built with other settings."""
    own: Any = optim.Optimizer.add_param_group

    def add(self: Any, group: dict[str, Any]) -> None:
        own(self, group)
        for name, value in changes.items():
            if name in self.param_groups[-1]:
                self.param_groups[-1][name] = value

    return lambda: patch.object(optim.Optimizer, "add_param_group", add)


def _accumulated(start: float) -> Edit:
    """Adagrad that starts from another sum of squares."""
    own: Any = optim.Adagrad.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        own(self, *args, **{**kwargs, "initial_accumulator_value": start})

    return lambda: patch.object(optim.Adagrad, "__init__", init)


Update = Callable[[torch.Tensor, torch.Tensor, dict[str, Any], dict[str, Any]], torch.Tensor]
"""(parameter, gradient, state, group) → what is added to the parameter."""


def _rewritten(update: Update, *args: Any) -> Edit:
    """Every optimizer stepping by a rule written out here."""

    def step(self: Any, closure: Any = None) -> None:
        del closure
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(update(p, p.grad, self.state[p], {**group, "args": args}))

    @contextmanager
    def edit() -> Generator[None]:
        with ExitStack() as stack:
            for cls in (optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.Adagrad, optim.RMSprop):
                stack.enter_context(patch.object(cls, "step", step))
            yield

    return edit


def _steps(scene: Scene, optimizer: optim.Optimizer) -> Iterator[Hypothesis]:
    """The same settings with the parts of a step in another order."""
    kind, group = type(optimizer).__name__, optimizer.param_groups[0]
    rules: list[tuple[str, str, Update, tuple[Any, ...]]] = []
    if kind == "SGD":
        rules += [
            ("sgd-decay-after-momentum", "decay joins after the momentum", _sgd, ("late",)),
            ("momentum-lr-inside", "momentum of steps in place of gradients", _sgd, ("inside",)),
            ("sgd-dampening", "gradients are averaged, not summed", _sgd, ("averaged",)),
        ]
    if kind in ("Adam", "AdamW", "NAdam"):
        for eps in dict.fromkeys((float(group["eps"]), 1e-8)):
            rules += [
                ("adam-eps-inside-sqrt", f"epsilon {eps:g} inside the root", _adam, ("inside", eps)),
                ("adam-eps-hat", "epsilon before the bias correction", _adam, ("hat", eps)),
                ("adam-no-bias-correction", "moments are not corrected", _adam, ("raw", eps)),
                ("nadam-momentum-schedule", "Nesterov's step without a schedule", _adam, ("nesterov", eps)),
                ("decay-coupled", "decay in the gradient", _adam, ("coupled", eps)),
            ]
    if kind == "RMSprop":
        rules += [
            ("rmsprop-momentum-lr-order", "the rate joins before the momentum", _rmsprop, ("inside",)),
            ("rmsprop-eps-inside-sqrt", "epsilon inside the root", _rmsprop, ("root",)),
            ("rmsprop-decay-default", "Optax's defaults: decay 0.9, epsilon inside the root", _rmsprop, ("root", 0.9)),
        ]
    for cause, detail, rule, args in rules:
        yield Suspect(cause, scene.name, detail, around=_rewritten(rule, *args))


def _sgd(p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> Any:
    (kind,) = group["args"]
    decay, momentum, lr = group["weight_decay"] * p, group["momentum"], group["lr"]
    g = g if kind == "late" else g + decay
    g = (1 - momentum) * g if kind == "averaged" else lr * g if kind == "inside" else g
    state["m"] = momentum * state["m"] + g if "m" in state else g
    move = g + momentum * state["m"] if group["nesterov"] else state["m"]
    return -move if kind == "inside" else -lr * (move + decay if kind == "late" else move)


def _adam(p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> Any:
    kind, eps = group["args"]
    (b1, b2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
    coupled = kind == "coupled" or not group.get("decoupled_weight_decay", False)
    g = g + decay * p if coupled else g
    n = state["n"] = state.get("n", 0) + 1
    state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
    state["v"] = b2 * state.get("v", 0) + (1 - b2) * g * g
    c1, c2 = (1.0, 1.0) if kind == "raw" else (1 - b1**n, 1 - b2**n)
    m, v = state["m"] / c1, state["v"] / c2
    if kind == "nesterov":
        m = b1 * state["m"] / (1 - b1 ** (n + 1)) + (1 - b1) * g / (1 - b1**n)
    if kind == "hat":
        move = math.sqrt(c2) / c1 * state["m"] / (state["v"].sqrt() + eps)
    else:
        move = m / (v + eps).sqrt() if kind == "inside" else m / (v.sqrt() + eps)
    return -lr * (move if coupled else move + decay * p)


def _rmsprop(p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> Any:
    kind, *others = group["args"]
    keep = others[0] if others else group["alpha"]
    g = g + group["weight_decay"] * p
    state["v"] = keep * state.get("v", 0) + (1 - keep) * g * g
    step = g / ((state["v"] + group["eps"]).sqrt() if kind == "root" else state["v"].sqrt() + group["eps"])
    step = group["lr"] * step if kind == "inside" else step
    state["m"] = group["momentum"] * state.get("m", 0) + step
    return -state["m"] if kind == "inside" else -group["lr"] * state["m"]


def _adagrad(p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> Any:
    eps, *others = group["args"]
    start = others[0] if others else group.get("initial_accumulator_value", 0.0)
    n = state["n"] = state.get("n", 0) + 1
    g = g + group["weight_decay"] * p
    state["v"] = state.get("v", start) + g * g
    return -group["lr"] / (1 + (n - 1) * group["lr_decay"]) * g / (state["v"] + eps).sqrt()


def _loaded_without(lost: tuple[str, ...]) -> Edit:
    """Every optimizer that loads a state starts some of it from zero."""
    own: Any = optim.Optimizer.load_state_dict

    def load(self: Any, state: Any) -> None:
        own(self, state)
        for kept in self.state.values():
            for name in lost:
                if name in kept:
                    kept[name] = torch.zeros_like(kept[name])

    return lambda: patch.object(optim.Optimizer, "load_state_dict", load)


def _thawed(learning: bool) -> Edit:
    """Every optimizer also steps on tensors that ask for a gradient and were not given to it; or decays them alone."""
    own: Any = optim.Optimizer.__init__
    ask: Any = torch.Tensor.requires_grad_

    @contextmanager
    def edit() -> Generator[None]:
        noted: list[torch.Tensor] = []

        def asking(self: Any, flag: bool = True) -> torch.Tensor:
            noted.append(ask(self, flag))
            return noted[-1]

        def init(self: Any, params: Any, defaults: dict[str, Any]) -> None:
            given = list(params)
            inside = [p for g in given for p in (g["params"] if isinstance(g, dict) else [g])]
            left = [p for p in {id(p): p for p in noted}.values() if not any(p is q for q in inside)]
            more = [{"params": left}] if given and isinstance(given[0], dict) else left
            own(self, [*given, *more] if left else given, defaults)
            self.stilled = left if not learning else []
            self.register_step_pre_hook(_still)

        with patch.object(optim.Optimizer, "__init__", init), patch.object(torch.Tensor, "requires_grad_", asking):
            yield

    return edit


def _still(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Tensors that only decay have no gradient of their own."""
    del args, kwargs
    for p in optimizer.stilled:
        p.grad = torch.zeros_like(p)


@contextmanager
def _clipped_late() -> Generator[None]:
    """Clipping acts on the update of the step in place of its gradient."""
    limits: list[float] = []

    def clip(parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> torch.Tensor:
        del parameters, args, kwargs
        limits.append(float(max_norm))
        return torch.zeros(())

    own = {cls: cls.step for cls in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop)}

    def late(cls: Any) -> Any:
        def step(self: Any, closure: Any = None) -> None:
            tensors = [p for group in self.param_groups for p in group["params"]]
            before = [p.detach().clone() for p in tensors]
            own[cls](self, closure)
            lr = self.param_groups[0]["lr"]
            moves = [(p.detach() - b) / lr for p, b in zip(tensors, before, strict=True)]
            size = float(torch.sqrt(torch.stack([(m * m).sum() for m in moves]).sum()))
            share = min(1.0, limits[-1] / size) if limits and size else 1.0
            with torch.no_grad():
                for p, b, m in zip(tensors, before, moves, strict=True):
                    p.copy_(b + lr * share * m)

        return step

    with ExitStack() as stack:
        stack.enter_context(patch.object(torch.nn.utils, "clip_grad_norm_", clip))
        for cls in own:
            stack.enter_context(patch.object(cls, "step", late(cls)))
        yield


FAMILY = Family("optimizer", {}, optimizers)
