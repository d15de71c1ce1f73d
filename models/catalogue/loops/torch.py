"""Loops, in-place updates, decoding and state between calls, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class FixedPoint(nn.Module):
    """Iterates a contraction a fixed number of times."""

    def __init__(self, width: int = 3, steps: int = 5) -> None:
        super().__init__()
        self.steps = steps
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, width), both ways
        state = torch.zeros_like(x)
        for _ in range(self.steps):
            state = torch.tanh(self.dense(state) + x)
        return state


class Halving(nn.Module):
    """Halves each row until its largest entry is below one; rows stop on their own."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, n) -> (B, n), (B,)
        steps = torch.zeros(len(x), dtype=torch.long)
        for _ in range(12):
            active = x.abs().amax(-1) >= 1
            x = torch.where(active[:, None], x / 2, x)
            steps = steps + active
        return x, steps


class Updates(nn.Module):
    """In-place writes: a masked fill, a write through a view, an indexed sum with duplicates."""

    def forward(self, x: Tensor, where: Tensor) -> dict[str, Tensor]:  # (B, n), (k,)
        filled = x.clone()
        filled[filled > 1] = 0.25
        viewed = x.clone()
        viewed[1].mul_(3.0)
        added = x.detach().clone()  # duplicates have no gradient that means anything
        added[where] += 1.0
        return {"filled": filled, "viewed": viewed, "added": added}


class Greedy(nn.Module):
    """The likeliest token again and again; after the end token come padding tokens."""

    def __init__(self, vocabulary: int = 7, width: int = 5, longest: int = 6, end: int = 2) -> None:
        super().__init__()
        self.longest = longest
        self.end = end
        self.tokens = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:  # (B,) -> (B, longest)
        done = torch.zeros(len(ids), dtype=torch.bool)
        found: list[Tensor] = []
        for _ in range(self.longest):
            ids = self.head(torch.tanh(self.tokens(ids))).argmax(-1)
            ids = ids.masked_fill(done, 0)
            done = done | (ids == self.end)
            found.append(ids)
        return torch.stack(found, 1)


class Filter(nn.Module):
    """Logits at a temperature, cut to the few largest and then to the nucleus that holds 80 %."""

    def __init__(self, temperature: float = 0.7, largest: int = 5, mass: float = 0.8) -> None:
        super().__init__()
        self.temperature = temperature
        self.largest = largest
        self.mass = mass

    def forward(self, logits: Tensor) -> Tensor:  # (B, n), both ways
        logits = logits / self.temperature
        logits = logits.masked_fill(logits < logits.topk(self.largest).values[:, -1:], -torch.inf)
        order = logits.argsort(-1, descending=True)
        probabilities = logits.gather(1, order).softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # the token that crosses the mass stays
        outside = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before >= self.mass)
        return logits.masked_fill(outside, -torch.inf).softmax(-1)


class Sampler(nn.Module):
    """A deterministic diffusion sampler over spaced steps, the last of which ends at alpha one."""

    alphas: Tensor

    def __init__(self, width: int = 3, steps: int = 4, trained: int = 12) -> None:
        super().__init__()
        self.steps = steps
        self.trained = trained
        self.noise = nn.Linear(width, width)
        self.register_buffer("alphas", torch.linspace(0.99, 0.5, trained).cumprod(0))

    def forward(self, x: Tensor) -> Tensor:  # (B, width), both ways
        stride = self.trained // self.steps
        for step in range((self.steps - 1) * stride, -1, -stride):
            now = self.alphas[step]
            after = self.alphas[step - stride] if step >= stride else torch.ones_like(now)
            noise = torch.tanh(self.noise(x))
            clean = (x - (1 - now).sqrt() * noise) / now.sqrt()
            x = after.sqrt() * clean + (1 - after).sqrt() * noise
        return x


class Auxiliary(nn.Module):
    """A network that leaves a penalty behind, which joins the loss."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (B, width)
        hidden = torch.tanh(self.dense(x))
        penalty = hidden.square().mean()
        return {"output": hidden, "loss": hidden.sum(-1).square().mean() + 0.1 * penalty}


class TwoCalls(nn.Module):
    """One layer called twice, with weights that change in between."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, width)
        weight, bias = self.dense.weight, self.dense.bias
        first = nn.functional.linear(x, weight, bias)
        return first, nn.functional.linear(x, weight - 0.1 * weight.sin(), bias)
