"""Kullback-Leibler divergences between sampled distributions, torch."""

from __future__ import annotations

import torch.distributions as td
from torch import Tensor

from models.networks.stoch_torch import BernoulliStoch, CategoricalStoch, NormalStoch

AnyStoch = NormalStoch | CategoricalStoch | BernoulliStoch


def kl_divergence(posterior: AnyStoch, prior: AnyStoch) -> Tensor:
    """Return KL(posterior ‖ prior), summed over the last axis of means, probabilities or bits.

    Categorical distributions are summed over their groups too; bits keep the axis of the groups.
    The logits and the samples have no part in it.

    Args:
        posterior: First distribution.
        prior: Second distribution, of the same kind.

    Returns:
        Normal: (*,) from (*, D). Categorical: (*,) from (*, G, K). Bernoulli: (*, G) from (*, G, K).

    Raises:
        NotImplementedError: The kinds differ.

    Example:
        >>> import torch
        >>> zero, one = torch.zeros(2, 3), torch.ones(2, 3)
        >>> kl_divergence(NormalStoch(one, one, zero), NormalStoch(zero, one, zero))
        tensor([1.5000, 1.5000])
    """
    if type(posterior) is not type(prior):
        raise NotImplementedError(
            f"kl_divergence: expected two distributions of one kind, "
            f"got {type(posterior).__name__} and {type(prior).__name__}"
        )
    return td.kl_divergence(posterior.get_distribution(), prior.get_distribution())


def kl_balancing(posterior: AnyStoch, prior: AnyStoch, weight: float = 0.8) -> Tensor:
    """Weigh the prior's training against the posterior's: the KL's value, its gradients scaled.

    weight·KL(stopped posterior ‖ prior) + (1 − weight)·KL(posterior ‖ stopped prior).

    Args:
        posterior: First distribution.
        prior: Second distribution, of the same kind.
        weight: Share of the prior's gradient, in [0, 1].

    Returns:
        As `kl_divergence`.

    Raises:
        AssertionError: The weight is outside [0, 1].

    References:
        Hafner et al., 2021: Mastering Atari with discrete world models.
    """
    assert 0 <= weight <= 1, f"kl_balancing: weight must lie in [0, 1], got {weight}"
    towards_posterior = kl_divergence(posterior.detach(), prior)
    towards_prior = kl_divergence(posterior, prior.detach())
    return weight * towards_posterior + (1 - weight) * towards_prior
