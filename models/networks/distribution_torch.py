"""From a network's output to a distribution and a sample of it, torch."""

from __future__ import annotations

import torch
import torch.distributions as td
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks import draws_torch
from models.networks.codebook_torch import BSQCodebook
from models.networks.softmax_torch import softmax
from models.networks.stoch_torch import BernoulliStoch, CategoricalStoch, NormalStoch

KINDS = ("normal", "categorical", "bernoulli")


def _refuse_nan(x: Tensor) -> None:
    if x.isnan().any():
        raise ValueError("Distribution: the input holds NaN; expected the parameters of a distribution")


class Distribution(nn.Module):
    """Reads its input as the parameters of a distribution, and draws a sample that gradients pass through.

    Categorical samples have the gradient of the probabilities (straight through), bits too. Beware of the
    "deterministic" bits: they threshold the random sample, and after a spherical projection of four or
    more bits none exceeds the threshold. Deterministic categorical samples are not projected.

    Args:
        in_dim: Width of the sample.
        dist: "normal", "categorical" or "bernoulli".
        n_groups: Number of groups that the width is split into, for categories and bits.
        spherical: Project samples: categories to ±1, bits to the unit sphere.

    Raises:
        NotImplementedError: Another `dist`.
        ValueError: The groups do not divide the width.

    Example:
        >>> Distribution(3, "normal")(torch.zeros(2, 6), deterministic=True).stoch
        tensor([[0., 0., 0.],
                [0., 0., 0.]])
    """

    def __init__(self, in_dim: int, dist: str, n_groups: int = 1, spherical: bool = False) -> None:
        super().__init__()
        if dist not in KINDS:
            raise NotImplementedError(f"Distribution: dist must be one of {', '.join(KINDS)}, got {dist!r}")
        if dist != "normal" and in_dim % n_groups:
            raise ValueError(f"Distribution: n_groups={n_groups} must divide in_dim={in_dim}")
        self.in_dim = in_dim
        self.dist = dist
        self.n_groups = n_groups
        self.n_class = in_dim // n_groups
        self.spherical = spherical
        if spherical:
            self.codebook = BSQCodebook(self.n_class)

    def forward(
        self, x: Tensor, deterministic: bool = False, inv_tmp: float = 1.0, *, noise: Tensor | None = None
    ) -> NormalStoch | CategoricalStoch | BernoulliStoch:
        """Read the parameters and draw.

        Args:
            x: (*, 2·in_dim) for the normal distribution, means first; else logits (*, in_dim).
            deterministic: Take the mean, or the likeliest class; see the class for bits.
            inv_tmp: Inverse temperature of categories and bits.
            noise: In place of a draw: ε of the mean's shape, or one-hot rows or bits (*, G, K).

        Returns:
            Parameters and sample; logits and probs have the shape (*, G, K), samples (*, in_dim).

        Raises:
            AssertionError: The normal distribution's input has another width.
            ValueError: So have the logits, or the input holds NaN.
        """
        if self.dist == "normal":
            return self._normal(x, deterministic, noise)
        if x.shape[-1] != self.in_dim:
            raise ValueError(f"Distribution: expected {self.in_dim} logits on the last axis, got {x.shape[-1]}")
        logits = x.unflatten(-1, (self.n_groups, self.n_class))
        draw = self._categorical if self.dist == "categorical" else self._bernoulli
        return draw(logits, deterministic, inv_tmp, noise)

    def _normal(self, x: Tensor, deterministic: bool, noise: Tensor | None) -> NormalStoch:
        assert x.shape[-1] == 2 * self.in_dim, (
            f"Distribution: expected {self.in_dim} means and as many raw deviations, got {x.shape[-1]} values"
        )
        mean, raw = x.chunk(2, dim=-1)
        std = F.softplus(raw) + 1e-6
        _refuse_nan(x)
        if deterministic:
            return NormalStoch(mean, std, mean)
        eps = draws_torch.standard_normal(mean) if noise is None else noise
        return NormalStoch(mean, std, mean + eps * std)

    def _categorical(
        self, logits: Tensor, deterministic: bool, inv_tmp: float, noise: Tensor | None
    ) -> CategoricalStoch:
        probs = softmax(logits, temperature=1 / inv_tmp)
        if deterministic:
            hard = F.one_hot(probs.argmax(-1), self.n_class).to(probs.dtype)
            return CategoricalStoch(logits, probs, (hard + probs - probs.detach()).flatten(-2))
        normalised = td.OneHotCategorical(probs=probs).probs
        hard = draws_torch.one_hot(normalised) if noise is None else noise
        stoch = hard + (normalised - normalised.detach())
        stoch = stoch * 2 - 1 if self.spherical else stoch
        return CategoricalStoch(logits, probs, stoch.flatten(-2))

    def _bernoulli(self, logits: Tensor, deterministic: bool, inv_tmp: float, noise: Tensor | None) -> BernoulliStoch:
        logits = logits * inv_tmp
        probs = torch.sigmoid(logits)
        _refuse_nan(logits)
        hard = draws_torch.bits(probs) if noise is None else noise
        stoch = hard + (probs - probs.detach())
        if self.spherical:
            stoch = BSQCodebook.bits_to_codes(stoch)
        if deterministic:
            stoch = (stoch > 0.5).to(probs.dtype) + probs - probs.detach()
        return BernoulliStoch(logits, probs, stoch.flatten(-2))
