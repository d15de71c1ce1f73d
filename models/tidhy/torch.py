"""TiDHy in torch: the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from models.tidhy.config import TiDHyConfig, check_sequence
from models.tidhy.inference_torch import FirstInference, Inference, infer_first, infer_step
from models.tidhy.losses_torch import elementwise_loss, reduced

if TYPE_CHECKING:
    from torch import Tensor

    from models.tidhy.progress import Progress


class SequenceLosses(NamedTuple):
    """What a pass over a sequence yields: the six values of `forward`, and what else it inferred.

    The losses are scalars, `temp_loss` already weighted; `r_first` (B, R) is zeros; `r2_final` (B, Q) and
    `r_final` (B, R) are the last latents; `n_iter` (T−1,) counts the updates of each time step.
    """

    spatial_loss_rhat: Tensor
    spatial_loss_rbar: Tensor
    temp_loss: Tensor
    r2_losses: Tensor
    r_first: Tensor
    r2_final: Tensor
    r_final: Tensor
    n_iter: Tensor


class TiDHy(nn.Module):
    """Hierarchical predictive coding of a sequence: x ← r ← r2, where r2 mixes the linear dynamics of r.

    A decoder predicts the observation from the lower latent r; a hypernetwork turns the upper latent r2 into
    weights w of M linear dynamics, V = Σ_m w_m A_m, which predict r from the r before it. Latents are not
    encoded but inferred: by gradient descent on the prediction errors, at each time step.

    Args:
      config: the configuration.

    Example:
      >>> model = TiDHy(TiDHyConfig(input_dim=3, max_iter=10))
      >>> len(model(torch.ones(2, 4, 3)))
      6

    References:
      Rao & Ballard, Predictive coding in the visual cortex, 1999.
      Ha et al., HyperNetworks, 2016.
    """

    def __init__(self, config: TiDHyConfig) -> None:
        super().__init__()
        self.config = c = config
        if c.loss == "BCE" and c.verbatim_bce:
            _decoder(c)  # the original draws this one and throws it away; the draws after it depend on it
        self.spatial_decoder = _decoder(c)
        self.temporal = nn.Parameter(nn.init.orthogonal_(torch.empty(c.components_shape)))
        if c.dyn_bias:
            self.temporal_bias = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, c.r_dim)))
        self.hypernet = _hypernet(c)
        if c.use_r2_decoder:
            network = _network(c.r_dim + c.r2_dim, c.r2_decoder_hid_dim, c.r2_dim)
            self.R2_Decoder = _xavier_(nn.Sequential(*network))
        self.r_state: Tensor | None = None
        self.r2_state: Tensor | None = None

    def decode(self, r: Tensor) -> Tensor:
        """Observation predicted from the lower latent: (..., R) → (..., D)."""
        return self.spatial_decoder(r)

    def mixture(self, r2: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mixture weights (..., M) and, with `dyn_bias`, bias (..., R) that r2 (..., Q) asks for."""
        outputs = self.hypernet(r2)  # (..., M) or (..., M+R)
        if not self.config.dyn_bias:
            return outputs, None
        return outputs[..., : self.config.mix_dim], outputs[..., self.config.mix_dim :]

    def temporal_prediction(self, r_p: Tensor, r2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predicts the lower latent from the one before.

        Args:
          r_p: (..., R) lower latent of the time step before.
          r2: (..., Q) upper latent.

        Returns:
          r̄ (..., R), the dynamics V (..., R, R), the mixture weights w (..., M).
        """
        w, b = self.mixture(r2)
        c = self.config
        components = self.temporal.reshape(c.mix_dim, c.r_dim, -1)  # (M, R, R) or (M, R, 2)
        if c.low_rank_temp:
            components = components @ components.mT  # (M, R, R)
        V = torch.einsum("...m,mij->...ij", w, components)
        r_bar = torch.einsum("...ij,...j->...i", V, r_p)
        return (r_bar if b is None else r_bar + b * self.temporal_bias), V, w

    def decode_r2(self, r: Tensor, r2: Tensor) -> Tensor:
        """Upper latent predicted from both: (..., R), (..., Q) → (..., Q)."""
        return self.R2_Decoder(torch.cat([r, r2], dim=-1))

    def inf_first_step(self, x: Tensor) -> FirstInference:
        """Infers the latent of a first observation (B, D); see `infer_first`."""
        return infer_first(self, x)

    def inf(self, x: Tensor, r_p: Tensor, r2: Tensor, record: bool = False) -> Inference:
        """Infers the latents of one time step: x (B, D), r_p (B, R), r2 (B, Q); see `infer_step`."""
        return infer_step(self, x, r_p, r2, record=record)

    def forward(self, X: Tensor, progress: Progress | None = None) -> tuple[Tensor, ...]:
        """Training losses of a sequence batch (B, T, D): the first six values of `sequence_losses`."""
        return self.sequence_losses(X, progress)[:6]

    def sequence_losses(self, X: Tensor, progress: Progress | None = None) -> SequenceLosses:
        """Losses along a sequence, with every inferred latent held constant.

        The first time step only scores the decoding of r = 0. Later ones are inferred, then scored with their
        new r2.

        Args:
          X: (B, T, D) observations.
          progress: called with the time step and its number of updates.

        Returns:
          The losses, the last latents and the numbers of updates.

        Raises:
          ValueError: for a wrong shape, or for `max_iter` below 10 with T ≥ 2.
        """
        check_sequence(X.shape, self.config)
        r_first = r = X.new_zeros(X.shape[0], self.config.r_dim)
        r2 = X.new_zeros(X.shape[0], self.config.r2_dim)
        rhat = self._spatial_loss(r, X[:, 0])
        rbar = temp = r2_losses = X.new_zeros(())
        counts: list[int] = []
        for t in range(1, X.shape[1]):
            r_p, r2_p = r, r2
            r, r2, _, n_iter, _ = self.inf(X[:, t], r_p, r2_p)
            r_bar, _, _ = self.temporal_prediction(r_p, r2)
            rhat = rhat + self._spatial_loss(r, X[:, t])
            rbar = rbar + self._spatial_loss(r_bar, X[:, t])
            temp = temp + reduced((r - r_bar) ** 2)
            if self.config.use_r2_decoder:
                r2_losses = r2_losses + reduced((r2 - self.decode_r2(r_p, r2_p)) ** 2)
            counts.append(n_iter)
            if progress is not None:
                progress(t, n_iter)
        if self.config.stateful and self.training:
            self.r_state, self.r2_state = r, r2
        temp = self.config.temp_weight * temp
        return SequenceLosses(rhat, rbar, temp, r2_losses, r_first, r2, r, torch.tensor(counts))

    def evaluate_record(
        self, X: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Runs a sequence batch and records everything.

        Unlike `forward`, the first latent is inferred, and each prediction is made with the r2 from before
        its time step.

        Args:
          X: (B, T, D) observations.
          progress: called with the time step and its number of updates.

        Returns:
          The spatial losses of r̂ and r̄ and the weighted temporal loss, each summed over time and features and
          averaged over the batch; and the records, each (B, T, ...), but for `n_iter` (T,).

        Raises:
          ValueError: for a wrong shape, or for `max_iter` below 10 with T ≥ 2.
        """
        check_sequence(X.shape, self.config)
        r2 = X.new_zeros(X.shape[0], self.config.r2_dim)
        r, n_iter = self.inf_first_step(X[:, 0])
        steps = [self._first_record(X[:, 0], r, r2)]
        counts = [n_iter]
        for t in range(1, X.shape[1]):
            r_p, r2_p = r, r2
            r, r2, _, n_iter, _ = self.inf(X[:, t], r_p, r2_p)
            steps.append(self._record(X[:, t], r_p, r2_p, r, r2))
            counts.append(n_iter)
            if progress is not None:
                progress(t, n_iter)
        records = {name: torch.stack([step[name] for step in steps], dim=1) for name in steps[0]}
        losses = ("spatial_loss_rhat", "spatial_loss_rbar", "temp_loss")
        rhat, rbar, temp = (records[name].sum(dim=(1, 2)).mean() for name in losses)
        records["n_iter"] = torch.tensor(counts)
        return rhat, rbar, self.config.temp_weight * temp, records

    @torch.no_grad()
    def normalize(self) -> None:
        """Rescales, in place, what the configuration asks for to norm 1.

        `normalize_spatial`: each column of the decoder's first weight (out, in); `normalize_temporal`: the
        last axis of `temporal`, which is a whole component, or with `low_rank_temp` each of its 2-vectors.
        """
        if self.config.normalize_spatial:
            weight = self.get_parameter("spatial_decoder.0.weight")
            weight.copy_(functional.normalize(weight, dim=0, eps=1e-12))
        if self.config.normalize_temporal:
            self.temporal.copy_(functional.normalize(self.temporal, dim=-1, eps=1e-12))

    def _spatial_loss(self, r: Tensor, x: Tensor) -> Tensor:
        return reduced(elementwise_loss(self.config.loss, self.decode(r), x))

    def _first_record(self, x: Tensor, r: Tensor, r2: Tensor) -> dict[str, Tensor]:
        """Records of the first time step, where nothing predicts r."""
        c, batch = self.config, x.shape[0]
        nothing = torch.zeros_like(r)
        step = self._spatial_record(x, nothing, r) | {
            "R_bar": nothing,
            "R_hat": r,
            "R2_hat": r2,
            "W": x.new_zeros(batch, c.mix_dim),
            "Ut": x.new_zeros(batch, c.r_dim, c.r_dim),
            "temp_loss": nothing,
        }
        return step | {"b": nothing} if c.dyn_bias else step

    def _record(self, x: Tensor, r_p: Tensor, r2_p: Tensor, r: Tensor, r2: Tensor) -> dict[str, Tensor]:
        """Records of a later time step: predictions from the old r2, mixture of the new one."""
        r_bar, V, _ = self.temporal_prediction(r_p, r2_p)
        w, b = self.mixture(r2)
        step = self._spatial_record(x, r_bar, r) | {
            "R_bar": r_bar,
            "R_hat": r,
            "R2_hat": r2,
            "W": w,
            "Ut": V,
            "temp_loss": (r - r_bar) ** 2,
        }
        return step if b is None else step | {"b": b}

    def _spatial_record(self, x: Tensor, r_bar: Tensor, r: Tensor) -> dict[str, Tensor]:
        x_bar, x_hat = self.decode(r_bar), self.decode(r)
        return {
            "I_bar": x_bar,
            "I_hat": x_hat,
            "I": x,
            "spatial_loss_rhat": elementwise_loss(self.config.loss, x_hat, x),
            "spatial_loss_rbar": elementwise_loss(self.config.loss, x_bar, x),
        }


def _network(inputs: int, hidden: int, outputs: int, *, bias: bool = True) -> list[nn.Module]:
    """The shape of all three networks; note the absence of a nonlinearity between the last two layers."""
    return [
        nn.Linear(inputs, hidden),
        nn.LayerNorm(hidden, eps=1e-5),  # torch's own default, written out because Flax's is 1e-6
        nn.ELU(),
        nn.Linear(hidden, hidden),
        nn.Linear(hidden, outputs, bias=bias),
    ]


def _decoder(c: TiDHyConfig) -> nn.Sequential:
    linear = [nn.Linear(c.r_dim, c.input_dim)]
    layers = _network(c.r_dim, c.hyper_hid_dim, c.input_dim) if c.nonlin_decoder else linear
    decoder = nn.Sequential(*layers, *([nn.Sigmoid()] if c.bounded else []))
    nn.init.xavier_normal_(decoder.get_parameter("0.weight"))
    return decoder


def _hypernet(c: TiDHyConfig) -> nn.Sequential:
    outputs = c.mix_dim + c.r_dim if c.dyn_bias else c.mix_dim
    network = _network(c.r2_dim, c.hyper_hid_dim, outputs, bias=not c.dyn_bias)
    return _xavier_(nn.Sequential(*network, nn.ReLU()))


def _xavier_(network: nn.Sequential) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
    return network
