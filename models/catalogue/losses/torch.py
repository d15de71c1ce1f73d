"""Losses and their reductions, torch. Every model hands its inputs to several losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = 5
WEIGHTS = (0.5, 2.0, 1.0, 3.0, 0.7)


class KLDivergence(nn.Module):
    """From the distribution of the logits to a given one, summed over classes and averaged over rows."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:  # (N, C), (N, C) -> ()
        return F.kl_div(logits.log_softmax(-1), target, reduction="batchmean")


class Classification(nn.Module):
    """Losses between logits and labels; a label of -100 does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.cross_entropy = nn.CrossEntropyLoss()
        self.weighted = nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))
        self.smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:  # (N, C), (N,)
        return {name: loss(logits, labels) for name, loss in self.named_children()}


class Probability(nn.Module):
    """Losses between logits and probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.binary = nn.BCEWithLogitsLoss()
        self.kl = KLDivergence()

    def forward(self, logits: Tensor, scores: Tensor) -> dict[str, Tensor]:  # (N, C), (N, C)
        return {"binary": self.binary(logits, scores.sigmoid()), "kl": self.kl(logits, scores.softmax(-1))}


class Scaled(nn.Module):
    """Half the summed square, as some losses are defined; not the mean."""

    def forward(self, x: Tensor, target: Tensor) -> Tensor:  # any shape -> ()
        return 0.5 * (x - target).square().sum()


class Cosine(nn.Module):
    """One minus the cosine of every row's angle, averaged."""

    def forward(self, x: Tensor, target: Tensor) -> Tensor:  # (N, C), (N, C) -> ()
        return (1 - F.cosine_similarity(x, target, dim=-1)).mean()


class Regression(nn.Module):
    """Losses between values."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.MSELoss()
        self.absolute = nn.L1Loss()
        self.smooth = nn.SmoothL1Loss(beta=0.5)
        self.scaled = Scaled()
        self.cosine = Cosine()
        self.distance = nn.PairwiseDistance()

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:  # (N, C), (N, C)
        return {name: loss(x, target) for name, loss in self.named_children()}


class GaussianNLL(nn.GaussianNLLLoss):
    """Of values under a mean and a variance, which counts as no less than 1e-6."""


class MaskedMean(nn.Module):
    """The mean over all steps that count, whichever row they are in."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # (N, T), (N, T) -> ()
        return (x.square() * keep).sum() / keep.sum()


class Sequences(nn.Module):
    """Losses over steps that differ in weight."""

    def __init__(self) -> None:
        super().__init__()
        self.masked = MaskedMean()
        self.gaussian = GaussianNLL()

    def forward(self, x: Tensor, variance: Tensor, keep: Tensor) -> dict[str, Tensor]:  # 3 x (N, T)
        return {
            "masked": self.masked(x, keep),
            "gaussian": self.gaussian(x, torch.zeros_like(x), variance),
        }
