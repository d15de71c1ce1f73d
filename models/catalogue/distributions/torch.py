"""Log-probabilities and samples of distributions, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Gamma(nn.Module):
    """By shape and rate."""

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        return D.Gamma(2.0 + p, 1.0 + 2 * p).log_prob(x)


class Geometric(nn.Module):
    """Of the number of failures before the first success."""

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        return D.Geometric(p).log_prob(x.floor())


class NegativeBinomial(nn.Module):
    """Of the number of successes, each with probability p, before the third failure."""

    def forward(self, x: Tensor, p: Tensor) -> Tensor:
        return D.NegativeBinomial(3.0, p).log_prob(x.floor())


class Counts(nn.Module):
    """Distributions of positive numbers, given a number and a probability."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = Gamma()
        self.geometric = Geometric()
        self.negative_binomial = NegativeBinomial()

    def forward(self, x: Tensor, p: Tensor) -> dict[str, Tensor]:
        return {name: child(x, p) for name, child in self.named_children()}


class Normal(nn.Module):
    """A multivariate normal distribution by its Cholesky factor."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.eye(width) + 0.3 * torch.ones(width, width).tril())

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B,)
        factor = self.factor.tril(-1) + torch.diag(F.softplus(self.factor.diagonal()))
        return D.MultivariateNormal(torch.zeros(x.shape[-1]), scale_tril=factor, validate_args=False).log_prob(x)


class Squashed(nn.Module):
    """log |d tanh / dx|, in the form that stays exact for large x."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * (torch.log(torch.tensor(2.0, dtype=x.dtype)) - x - F.softplus(-2 * x, threshold=100))


class Actor(nn.Module):
    """A normal action squashed by tanh, with a clamped log-deviation; the sample carries a gradient."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.mean = nn.Linear(width, width)
        self.log_deviation = nn.Linear(width, width)
        self.squashed = Squashed()

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:  # (B, width) x 2 -> (B, width) x 2
        log_deviation = self.log_deviation(x).clamp(-5.0, 2.0)
        raw = self.mean(x) + log_deviation.exp() * noise
        log_probability = -0.5 * noise.square() - log_deviation - self.squashed(raw)
        return raw.tanh(), log_probability


class Score(nn.Module):
    """The log-probability of a sample that carries no gradient, as a policy gradient needs it."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.mean = nn.Linear(width, width)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:  # (B, width) x 2 -> (B, width)
        mean = self.mean(x)
        sample = (mean + noise).detach()
        return -0.5 * (sample - mean).square()


class Support(nn.Module):
    """Log-probabilities of an exponential and a uniform distribution, minus infinity outside their supports."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        exponential = D.Exponential(torch.tensor(1.5), validate_args=False).log_prob(x)
        uniform = D.Uniform(-1.0, 1.0, validate_args=False).log_prob(x)
        return torch.where(x >= 0, exponential, -torch.inf), uniform
