"""TiDHy's inference of latents, torch: the loops as a torch user writes them, with torch's own optimisers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import MultiStepLR

from models.tidhy.balance_torch import Balance
from models.tidhy.losses_torch import elementwise_loss, l1, reduced, soft_threshold

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from models.tidhy.config import TiDHyConfig


class Networks(Protocol):
    """What inference needs of a model."""

    config: TiDHyConfig

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The parameters to hold fixed."""
        ...

    def decode(self, r: Tensor) -> Tensor:
        """(B, R) → (B, D)."""
        ...

    def temporal_prediction(self, r_p: Tensor, r2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, R), (B, Q) → (B, R), (B, R, R), (B, M)."""
        ...

    def decode_r2(self, r: Tensor, r2: Tensor) -> Tensor:
        """(B, R), (B, Q) → (B, Q)."""
        ...


class FirstInference(NamedTuple):
    """Outcome of inferring the first latent: `r` (B, R), a constant, and the number of updates."""

    r: Tensor
    n_iter: int


class Trace(NamedTuple):
    """Iterates before each update, `r` (n_iter, B, R) and `r2` (n_iter, B, Q).

    With `grad_norm_inf` also the balance's weights after each update (n_iter, 3) and its first losses (3,).
    """

    r: Tensor
    r2: Tensor
    weights: Tensor | None
    first_losses: Tensor | None


class Inference(NamedTuple):
    """Outcome of inferring one time step: `r` (B, R) and `r2` (B, Q), constants, and the number of updates.

    `r2_loss` is, with the R2 decoder, its loss before the last update (attached to the graph); without it, a
    list of the temporal loss before each update, which stays empty with `grad_norm_inf`.
    """

    r: Tensor
    r2: Tensor
    r2_loss: Tensor | list[Tensor]
    n_iter: int
    trace: Trace | None


class _Losses(NamedTuple):
    spatial: Tensor
    temporal: Tensor
    r2: Tensor | None
    objective: Tensor


def infer_first(model: Networks, x: Tensor) -> FirstInference:
    """Infers the latent of a first observation: AdamW on its reconstruction, from 0.

    Args:
      model: the model, whose parameters are held fixed.
      x: (B, D) observation.

    Returns:
      The latent, a constant, and the number of updates.

    References:
      Loshchilov & Hutter, Decoupled weight decay regularization, 2019 (torch's default decay of 0.01 is part
      of the model: it pulls r to 0).
    """
    config = model.config
    x = x.detach()
    r = x.new_zeros(x.shape[0], config.r_dim).requires_grad_()
    optimiser = AdamW([r], lr=config.lr_r, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    n_iter = 0
    with torch.enable_grad(), _frozen(model):
        while n_iter < config.max_iter:
            n_iter += 1
            r_old = r.detach().clone()
            loss = reduced(elementwise_loss(config.loss, model.decode(r), x))
            (r.grad,) = torch.autograd.grad(loss, (r,))
            optimiser.step()
            if _converged(r, r_old, config.tol, whole_batch=False):
                break
    return FirstInference(r.detach(), n_iter)


def infer_step(model: Networks, x: Tensor, r_p: Tensor, r2: Tensor, *, record: bool = False) -> Inference:
    """Infers the latents of one time step: Nesterov SGD on r (from 0) and r2 (from its previous value).

    Args:
      model: the model, whose parameters are held fixed.
      x: (B, D) observation.
      r_p: (B, R) latent of the time step before.
      r2: (B, Q) upper latent to start from.
      record: keep the iterates.

    Returns:
      The latents, constants, with the number of updates.

    Raises:
      ValueError: if `max_iter` is below 10.
    """
    config = model.config
    milestones = list(range(config.halving_period, config.max_iter, config.halving_period))
    x, r_p = x.detach(), r_p.detach()
    r = torch.zeros_like(r_p).requires_grad_()
    r2 = r2.detach().clone().requires_grad_()
    r_steps = SGD([r], lr=config.lr_r, momentum=0.9, nesterov=True)
    r2_steps = SGD([r2], lr=config.lr_r2, momentum=0.9, nesterov=True)
    schedule = MultiStepLR(r_steps, milestones, gamma=0.5)
    balance = _balance(config)
    temporal_losses: list[Tensor] = []
    r2_loss: Tensor | None = None
    iterates: list[tuple[Tensor, ...]] = []
    with torch.enable_grad(), _frozen(model):
        for _ in range(config.max_iter):
            r_old, r2_old = r.detach().clone(), r2.detach().clone()
            step = _losses(model, x, r_p, r, r2, r_old, r2_old)
            r2_loss = step.r2
            if balance is None:
                r.grad, r2.grad = torch.autograd.grad(step.objective, (r, r2))
                temporal_losses.append(step.temporal.detach())
            else:
                tasks = torch.stack([step.spatial, step.temporal, step.temporal])
                r.grad, r2.grad = balance.gradients(tasks, ((r,), (r,), (r2,)), (r, r2))
            r_steps.step()
            r2_steps.step()
            schedule.step()
            _shrink(r, config.lmda_r)
            _shrink(r2, config.lmda_r2)
            iterates.append((r_old, r2_old) if balance is None else (r_old, r2_old, balance.weights))
            r_done = _converged(r, r_old, config.tol, whole_batch=config.batch_converge)
            if r_done and _converged(r2, r2_old, config.tol, whole_batch=config.batch_converge):
                break
    losses = temporal_losses if r2_loss is None else r2_loss
    return Inference(r.detach(), r2.detach(), losses, len(iterates), _trace(iterates, balance) if record else None)


def _losses(model: Networks, x: Tensor, r_p: Tensor, r: Tensor, r2: Tensor, r_old: Tensor, r2_old: Tensor) -> _Losses:
    """The losses of one iterate; the R2 decoder's target is made of constants."""
    config = model.config
    r_bar, _, w = model.temporal_prediction(r_p, r2)
    spatial = reduced(elementwise_loss(config.loss, model.decode(r), x))
    temporal = reduced((r - r_bar) ** 2)
    objective = spatial + config.temp_weight * temporal
    for weight, latent in ((config.L1_inf_w, w), (config.L1_inf_r2, r2), (config.L1_inf_r, r)):
        if weight != 0:
            objective = objective + weight * l1(latent)
    if not config.use_r2_decoder:
        return _Losses(spatial, temporal, None, objective)
    r2_loss = reduced((r2 - model.decode_r2(r_old, r2_old)) ** 2)
    return _Losses(spatial, temporal, r2_loss, objective + r2_loss)


def _balance(config: TiDHyConfig) -> Balance | None:
    """The balance of the spatial loss and the temporal loss, this twice: once seen from r, once from r2."""
    if not config.grad_norm_inf:
        return None
    return Balance(3, alpha=config.grad_alpha_inf, lr=config.lr_weights_inf, decay=0.01)


@torch.no_grad()
def _shrink(latent: Tensor, threshold: float) -> None:
    latent.copy_(soft_threshold(latent, threshold))


@torch.no_grad()
def _converged(new: Tensor, old: Tensor, tol: float, *, whole_batch: bool) -> bool:
    """Whether every relative change is below `tol`; NaN is not, and 0 to 0 is."""
    axes = (0, 1) if whole_batch else 1
    change = torch.linalg.vector_norm(new - old, dim=axes)
    return bool((change / (torch.linalg.vector_norm(old, dim=axes) + 1e-16) < tol).all())


def _trace(iterates: list[tuple[Tensor, ...]], balance: Balance | None) -> Trace:
    r, r2, *weights = (torch.stack(column) for column in zip(*iterates, strict=True))
    return Trace(r, r2, None, None) if balance is None else Trace(r, r2, weights[0], balance.first_losses)


@contextmanager
def _frozen(model: Networks) -> Generator[None]:
    """Switches the parameters' gradients off, and afterwards back to what they were."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
