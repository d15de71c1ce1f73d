"""The regularisers of TiDHy's outer training, torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from models.tidhy.torch import TiDHy
    from models.tidhy.training_config import TrainingConfig


class Penalties(NamedTuple):
    """Regularisers (), weighted, 0 where not active; those that `grad_norm` treats alike are one sum.

    `cosine` is the similarity of components; `first` that of the columns of the hypernetwork's first layer;
    `last` the L1 norm of its last; `others` all the rest.
    """

    cosine: Tensor
    first: Tensor
    last: Tensor
    others: Tensor


def penalties(model: TiDHy, training: TrainingConfig) -> Penalties:
    """The active regularisers.

    The similarity of components, weighted by `cos_eta`, is always active: the sum of the magnitudes of the
    cosines of all pairs of components, each pair once, divided by M; with `low_rank_temp` the pairs are those
    of the R 2-vectors within each component.

    Args:
      model: the model.
      training: the weights of those that are not the model's own.

    Returns:
      The regularisers.
    """
    c = model.config
    first = last = model.temporal.new_zeros(())
    if training.Orth_alpha_r2:
        columns = model.get_parameter("hypernet.0.weight").T  # (Q, H)
        first = training.Orth_alpha_r2 * _similarity(columns) / c.r2_dim
    if training.L1_alpha_W:
        last = training.L1_alpha_W * model.get_parameter("hypernet.4.weight").abs().sum()
    return Penalties(c.cos_eta * _similarity(model.temporal) / c.mix_dim, first, last, _others(model, training))


def _others(model: TiDHy, training: TrainingConfig) -> Tensor:
    c, temporal = model.config, model.temporal
    decoder = model.get_parameter("spatial_decoder.0.weight")  # (out, R)
    total = temporal.new_zeros(())
    if training.Lnuc_alpha:
        total = total + training.Lnuc_alpha * torch.linalg.matrix_norm(_components(model), "nuc").sum()
    if training.L0_alpha:
        total = total + c.L1_alpha * torch.count_nonzero(temporal)
    if c.L1_alpha:
        total = total + c.L1_alpha * temporal.abs().sum()
    if training.L1_alpha_spat:
        total = total + training.L1_alpha_spat * decoder.abs().sum()
    if training.Orth_alpha_spat:
        excess = decoder.T @ decoder - torch.eye(decoder.shape[1]).to(decoder)
        total = total + training.Orth_alpha_spat * (excess**2).mean()
    return total


def _similarity(vectors: Tensor) -> Tensor:
    """Sum of |cosine| over all pairs of rows (..., n, k), each pair once."""
    units = functional.normalize(vectors, dim=-1, eps=1e-8)
    return torch.triu((units @ units.mT).abs(), diagonal=1).sum()


def _components(model: TiDHy) -> Tensor:
    """The matrices (M, R, R) that `temporal` stands for."""
    c = model.config
    slabs = model.temporal.reshape(c.mix_dim, c.r_dim, -1)
    return slabs @ slabs.mT if c.low_rank_temp else slabs
