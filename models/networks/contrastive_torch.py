"""Contrastive losses on learned embeddings, torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.linear_torch import MLPLayer
from models.networks.losses_torch import cross_entropy
from models.networks.shape_checks import refuse_features
from models.networks.windows import window_mask

if TYPE_CHECKING:
    import numpy as np

    from models.networks.config import ContrastiveLearningConfig

Losses = dict[str, Tensor]
Embeddings = tuple[Tensor, Tensor]


class ContrastiveLearningLoss(nn.Module):
    """Embeds two sets of features and scores each pair by the dot product of its embeddings.

    It has no `forward`: call one of the losses. With `return_emb` they return the embeddings too.

    Args:
        dim_input1: Width of the first features.
        dim_input2: Width of the second ones; if it is the same, one network embeds both.
        cfg: Embeddings and loss.

    Example:
        >>> from models.networks import ContrastiveLearningConfig, LinearConfig, MLPConfig
        >>> mlp = MLPConfig(7, 1, "Identity", LinearConfig("ReLU"))
        >>> loss = ContrastiveLearningLoss(3, 4, ContrastiveLearningConfig(5, mlp))
        >>> loss.calc_nce(torch.ones(2, 6, 3), torch.ones(2, 6, 4))["nce"].shape
        torch.Size([2, 6])

    References:
        van den Oord et al., 2018: Representation learning with contrastive predictive coding.
        Zhai et al., 2023: Sigmoid loss for language image pre-training.
    """

    def __init__(self, dim_input1: int, dim_input2: int, cfg: ContrastiveLearningConfig) -> None:
        super().__init__()
        self.dim_input1 = dim_input1
        self.dim_input2 = dim_input2
        self.cross_entropy_like = cfg.cross_entropy_like
        self.eval_func = MLPLayer(dim_input1, cfg.dim_feature, cfg.eval_func)
        same = dim_input1 == dim_input2
        self.eval_func2 = self.eval_func if same else MLPLayer(dim_input2, cfg.dim_feature, cfg.eval_func)

    def calc_nce(
        self, feature1: Tensor, feature2: Tensor, return_emb: bool = False
    ) -> Losses | tuple[Losses, Embeddings]:
        """Tell each row's partner from all other rows.

        Args:
            feature1: (*, dim_input1).
            feature2: (*, dim_input2), row by row its partners.
            return_emb: Return the embeddings too.

        Returns:
            `positive` and `negative`, detached means, and `nce` in the leading shape; only `nce`, flat, if
            the config says `cross_entropy_like`. With `return_emb` also both embeddings (N, dim_feature).
        """
        e1, e2 = self._rows(feature1, feature2)
        scores = e1 @ e2.T
        if self.cross_entropy_like:
            losses = {"nce": _cross_entropy_beyond_chance(scores)}
        else:
            positive, negative = scores.diagonal(), _negative(scores)
            losses = {"positive": positive.detach().mean(), "negative": negative.detach().mean()}
            losses["nce"] = (negative - positive).reshape(feature1.shape[:-1])
        return (losses, (e1, e2)) if return_emb else losses

    def calc_sigmoid(
        self,
        feature1: Tensor,
        feature2: Tensor,
        return_emb: bool = False,
        temperature: float = 0.1,
        bias: float = 0.0,
    ) -> Losses | tuple[Losses, Embeddings]:
        """Judge each pair of rows on its own.

        Args:
            feature1: (*, dim_input1).
            feature2: (*, dim_input2), row by row its partners.
            return_emb: Return the embeddings too.
            temperature: Multiplies the scores.
            bias: Added to the scores.

        Returns:
            `sigmoid` in the leading shape. With `return_emb` also both embeddings (N, dim_feature).
        """
        e1, e2 = self._rows(feature1, feature2)
        logits = e1 @ e2.T * temperature + bias
        sign = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1
        losses = {"sigmoid": -F.logsigmoid(logits * sign).sum(-1).reshape(feature1.shape[:-1])}
        return (losses, (e1, e2)) if return_emb else losses

    def calc_timeseries_nce(
        self,
        feature1: Tensor,
        feature2: Tensor,
        positive_range_self: int = 0,
        positive_range_tgt: int = 0,
        return_emb: bool = False,
        *,
        clamp_windows: bool = False,
    ) -> Losses | tuple[Losses, Embeddings]:
        """As `calc_nce`, with the neighbours in time among the positives.

        Beware: the windows of the first steps wrap around, so that the loss is NaN for sequences longer than
        twice a range, unless `clamp_windows`.

        Args:
            feature1: (*, L, dim_input1).
            feature2: (*, L, dim_input2), step by step its partners.
            positive_range_self: Reach of the windows within each embedding.
            positive_range_tgt: Reach of the windows from the first embedding to the second.
            return_emb: Return the embeddings too.
            clamp_windows: Start the windows at the first step at the earliest.

        Returns:
            `positive`, `self_positive_1` and `self_positive_2` (with a range), `tgt_positive` (with a range) and
            `negative`, detached means, and `nce`, a mean. With both ranges 0: as `calc_nce`. With
            `return_emb` also both embeddings (B, L, dim_feature).
        """
        if positive_range_self == 0 and positive_range_tgt == 0:
            return self.calc_nce(feature1, feature2, return_emb)
        length = feature1.shape[-2]
        rows1, rows2 = self._rows(feature1, feature2)
        e1, e2 = (rows.unflatten(0, (-1, length)) for rows in (rows1, rows2))
        positive = (e1 * e2).sum(-1)
        losses = {"positive": positive.detach().mean()}
        windows = (
            ("self_positive_1", e1, e1, positive_range_self),
            ("self_positive_2", e2, e2, positive_range_self),
            ("tgt_positive", e1, e2, positive_range_tgt),
        )
        for name, a, b, reach in windows:
            if reach > 0:
                mean = _window_mean(a @ b.mT, window_mask(length, reach, clamp=clamp_windows))
                losses[name] = mean.detach().mean()
                positive = positive + mean
        negative = _negative(rows1 @ rows2.T)
        losses["negative"] = negative.detach().mean()
        losses["nce"] = (negative.reshape(positive.shape) - positive).mean()
        return (losses, (e1, e2)) if return_emb else losses

    def _rows(self, feature1: Tensor, feature2: Tensor) -> Embeddings:  # (*, D), (*, D') -> two (N, dim_feature)
        shapes = tuple(feature1.shape), tuple(feature2.shape)
        refuse_features(type(self).__name__, shapes, (self.dim_input1, self.dim_input2))
        return (
            self.eval_func(feature1.reshape(-1, self.dim_input1)),
            self.eval_func2(feature2.reshape(-1, self.dim_input2)),
        )


def _negative(scores: Tensor) -> Tensor:  # (N, N) -> (N,)
    """Return logsumexp − ln N, by distances from the mean: of near equals the plain difference is noise."""
    rows = scores.detach()
    mean, largest = rows.mean(-1, keepdim=True), rows.amax(-1, keepdim=True)
    around = torch.where(largest - mean < 1, mean, largest)
    return around.squeeze(-1) + torch.log1p(torch.expm1(scores - around).mean(-1))


def _cross_entropy_beyond_chance(scores: Tensor) -> Tensor:  # (N, N) -> (N,)
    """Return the cross entropy of the diagonal − ln N; exact for confident scores and for near equal ones."""
    gaps = scores - scores.diagonal().unsqueeze(-1)
    confident = cross_entropy(scores, torch.arange(len(scores), device=scores.device)) - math.log(len(scores))
    return torch.where(gaps.detach().abs().amax(-1) < 1, _negative(gaps), confident)


def _window_mean(scores: Tensor, mask: np.ndarray) -> Tensor:
    """Return the mean score of each step's window, (B, L, L) -> (B, L); NaN for an empty one."""
    window = torch.from_numpy(mask).to(scores.device)
    count = window.sum(-1)
    mean = scores.masked_fill(~window, 0).sum(-1) / count.clamp(min=1)
    return mean.masked_fill(count == 0, torch.nan)
