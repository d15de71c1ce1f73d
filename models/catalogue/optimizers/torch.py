"""Optimizers, schedules and averages replayed on recorded gradients, torch.

Every model takes the parameters to start from and one gradient per step, and returns the parameters after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Build = Callable[[list[Tensor]], torch.optim.Optimizer]


class Replay(nn.Module):
    """One optimizer on two tensors, a weight and a bias, under an optional schedule."""

    def __init__(self, build: Build, schedule: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.build = build
        self.schedule = schedule

    def forward(self, start: Tensor, gradients: Tensor) -> Tensor:  # (2, n), (T, 2, n) -> (T, 2, n)
        with torch.enable_grad():
            parameters = [row.detach().clone().requires_grad_() for row in start]
        optimizer = self.build(parameters)
        schedule = self.schedule(optimizer) if self.schedule else None
        after: list[Tensor] = []
        for gradient in gradients:
            for parameter, row in zip(parameters, gradient, strict=True):
                parameter.grad = row.detach().clone()
            self.before(parameters)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            after.append(torch.stack([parameter.detach() for parameter in parameters]).clone())
        return torch.stack(after)

    def before(self, parameters: list[Tensor]) -> None:
        """What happens between the gradients and the step."""


class Clipped(Replay):
    """Gradients are cut to a largest norm, over both tensors together, before the step."""

    def before(self, parameters: list[Tensor]) -> None:
        nn.utils.clip_grad_norm_(parameters, 1.0)


def _groups(parameters: list[Tensor]) -> list[dict[str, Any]]:
    """The weight decays, the bias does not."""
    return [{"params": parameters[:1], "weight_decay": 0.1}, {"params": parameters[1:], "weight_decay": 0.0}]


class Momentum(nn.Module):
    """Optimizers that keep one average at most."""

    def __init__(self) -> None:
        super().__init__()
        sgd = torch.optim.SGD
        self.decayed = Replay(lambda p: sgd(p, lr=0.1, momentum=0.9, weight_decay=0.1))
        self.nesterov = Replay(lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=True))
        self.masked = Replay(lambda p: sgd(_groups(p), lr=0.1))
        self.frozen = Replay(lambda p: sgd([p[0]], lr=0.1, weight_decay=0.1))
        self.rates = Replay(
            lambda p: sgd(p, lr=0.1, momentum=0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.8)
        )

    def forward(self, start: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        return {name: child(start, gradients) for name, child in self.named_children()}


class Adaptive(nn.Module):
    """Optimizers that divide by a running size of the gradient."""

    def __init__(self) -> None:
        super().__init__()
        optim = torch.optim
        self.adam = Replay(lambda p: optim.Adam(p, lr=0.01))
        self.adamw = Replay(lambda p: optim.AdamW(p, lr=0.01))
        self.nadam = Replay(lambda p: optim.NAdam(p, lr=0.01))
        self.adagrad = Replay(lambda p: optim.Adagrad(p, lr=0.01))
        self.rmsprop = Replay(
            lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9), lambda o: optim.lr_scheduler.ExponentialLR(o, 0.8)
        )
        self.clipped = Clipped(lambda p: optim.Adam(p, lr=0.01))

    def forward(self, start: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        return {name: child(start, gradients) for name, child in self.named_children()}


class Rate(nn.Module):
    """The learning rate of every step under a schedule."""

    def __init__(self, schedule: Callable[[Any], Any], *, metric: bool = False) -> None:
        super().__init__()
        self.schedule = schedule
        self.metric = metric

    def forward(self, losses: Tensor) -> Tensor:  # (T,) -> (T,)
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        schedule = self.schedule(optimizer)
        rates: list[float] = []
        for loss in losses:
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step(float(loss.detach())) if self.metric else schedule.step()
        return torch.tensor(rates)


class Schedules(nn.Module):
    """Learning rates; only the last schedule looks at the losses."""

    def __init__(self, epoch: int = 3) -> None:
        super().__init__()
        schedules = torch.optim.lr_scheduler
        self.cosine = Rate(lambda o: schedules.CosineAnnealingLR(o, T_max=9, eta_min=0.01))
        self.milestones = Rate(lambda o: schedules.MultiStepLR(o, [2, 5], 0.1))
        self.warmup = Rate(lambda o: schedules.LambdaLR(o, lambda step: min((step + 1) / 4, 1.0)))
        self.epochs = Rate(lambda o: schedules.LambdaLR(o, lambda step: 0.5 ** (step // epoch)))
        self.plateau = Rate(
            lambda o: schedules.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.1, cooldown=1), metric=True
        )

    def forward(self, losses: Tensor) -> dict[str, Tensor]:  # (T,)
        return {name: child(losses) for name, child in self.named_children()}


class Average(nn.Module):
    """The exponential average of parameters after every step, with a warm-up, buffers included."""

    def forward(self, start: Tensor, gradients: Tensor) -> Tensor:  # (2, n), (T, 2, n) -> (T, 2, n)
        parameters, average, seen = start.detach(), start.detach(), []
        for step, gradient in enumerate(gradients.detach()):
            parameters = parameters - 0.1 * gradient
            keep = min(0.9, (1 + step) / (10 + step))
            average = keep * average + (1 - keep) * parameters
            seen.append(average)
        return torch.stack(seen)


class Accumulation(nn.Module):
    """The gradient of a mean over all tokens of several micro-batches of unequal size."""

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:  # (batches, n), (batches,) -> ()
        counted = torch.arange(x.shape[1]) < sizes[:, None]
        sums = [row[keep].square().sum() for row, keep in zip(x, counted, strict=True)]
        return torch.stack(sums).sum() / sizes.sum()


class Resumed(nn.Module):
    """Adam stopped half way, its state saved and loaded into a new optimizer."""

    def forward(self, start: Tensor, gradients: Tensor) -> Tensor:  # (2, n), (T, 2, n) -> (2, n)
        with torch.enable_grad():
            parameter = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([parameter], lr=0.01)
        for step, gradient in enumerate(gradients.detach()):
            if step == len(gradients) // 2:
                saved, optimizer = optimizer.state_dict(), torch.optim.Adam([parameter], lr=0.01)
                optimizer.load_state_dict(saved)
            parameter.grad = gradient.clone()
            optimizer.step()
        return parameter.detach()


class Bookkeeping(nn.Module):
    """What surrounds an optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.average = Average()
        self.resumed = Resumed()

    def forward(self, start: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        return {"average": self.average(start, gradients), "resumed": self.resumed(start, gradients)}
