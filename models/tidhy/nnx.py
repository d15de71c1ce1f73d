"""TiDHy in Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx
from jax import lax

from models.tidhy import sequence_jax
from models.tidhy.inference_jax import FirstInference, Inference, Networks, infer_first, infer_step
from models.tidhy.initialisers_jax import fan_in_uniform, orthogonal_rows, xavier_normal
from models.tidhy.normalize_jax import normalized_last_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array
    from jax.nn.initializers import Initializer

    from models.tidhy.config import TiDHyConfig
    from models.tidhy.progress import Progress
    from models.tidhy.sequence_jax import SequenceLosses


class TiDHy(nnx.Module):
    """Hierarchical predictive coding of a sequence: x ← r ← r2, where r2 mixes the linear dynamics of r.

    A decoder predicts the observation from the lower latent r; a hypernetwork turns the upper latent r2 into
    weights w of M linear dynamics, V = Σ_m w_m A_m, which predict r from the r before it. Latents are not
    encoded but inferred: by gradient descent on the prediction errors, at each time step.

    Every method is pure but `normalize`, and `forward` of a stateful model in training; wrap calls in
    `nnx.jit`, or each one compiles its loops anew.

    Args:
      config: the configuration.
      rngs: source of the initial values.

    Example:
      >>> from models.tidhy.config import TiDHyConfig
      >>> model = TiDHy(TiDHyConfig(input_dim=3, max_iter=10), rngs=nnx.Rngs(0))
      >>> len(nnx.jit(TiDHy.__call__)(model, jnp.ones((2, 4, 3))))
      6

    References:
      Rao & Ballard, Predictive coding in the visual cortex, 1999.
      Ha et al., HyperNetworks, 2016.
    """

    def __init__(self, config: TiDHyConfig, *, rngs: nnx.Rngs) -> None:
        self.config = c = config
        self.deterministic = False  # what train() and eval() switch; torch's `training`, negated
        self.spatial_decoder = _decoder(c, rngs)
        self.temporal = nnx.Param(orthogonal_rows(rngs.params(), c.components_shape))
        if c.dyn_bias:
            self.temporal_bias = nnx.Param(xavier_normal(rngs.params(), (1, c.r_dim)))
        self.hypernet = _hypernet(c, rngs)
        if c.use_r2_decoder:
            network = _network(c.r_dim + c.r2_dim, c.r2_decoder_hid_dim, c.r2_dim, rngs, xavier_normal)
            self.R2_Decoder = nnx.Sequential(*network)
        self.r_state: Array | None = nnx.data(None)
        self.r2_state: Array | None = nnx.data(None)

    def decode(self, r: Array) -> Array:
        """Observation predicted from the lower latent: (..., R) → (..., D)."""
        return self.spatial_decoder(r)

    def mixture(self, r2: Array) -> tuple[Array, Array | None]:
        """Mixture weights (..., M) and, with `dyn_bias`, bias (..., R) that r2 (..., Q) asks for."""
        outputs = self.hypernet(r2)  # (..., M) or (..., M+R)
        if not self.config.dyn_bias:
            return outputs, None
        return outputs[..., : self.config.mix_dim], outputs[..., self.config.mix_dim :]

    def temporal_prediction(self, r_p: Array, r2: Array) -> tuple[Array, Array, Array]:
        """Predicts the lower latent from the one before.

        Args:
          r_p: (..., R) lower latent of the time step before.
          r2: (..., Q) upper latent.

        Returns:
          r̄ (..., R), the dynamics V (..., R, R), the mixture weights w (..., M).
        """
        w, b = self.mixture(r2)
        c = self.config
        components = self.temporal[...].reshape(c.mix_dim, c.r_dim, -1)  # (M, R, R) or (M, R, 2)
        if c.low_rank_temp:
            components = components @ components.mT  # (M, R, R)
        V = jnp.einsum("...m,mij->...ij", w, components)
        r_bar = jnp.einsum("...ij,...j->...i", V, r_p)
        return (r_bar if b is None else r_bar + b * self.temporal_bias[...]), V, w

    def decode_r2(self, r: Array, r2: Array) -> Array:
        """Upper latent predicted from both: (..., R), (..., Q) → (..., Q)."""
        return self.R2_Decoder(jnp.concatenate([r, r2], axis=-1))

    def inf_first_step(self, x: Array) -> FirstInference:
        """Infers the latent of a first observation (B, D); see `infer_first`."""
        return infer_first(self._frozen(), self.config, x)

    def inf(self, x: Array, r_p: Array, r2: Array, record: bool = False) -> Inference:
        """Infers the latents of one time step: x (B, D), r_p (B, R), r2 (B, Q); see `infer_step`."""
        return infer_step(self._frozen(), self.config, x, r_p, r2, record=record)

    def __call__(self, X: Array, progress: Progress | None = None) -> tuple[Array, ...]:
        """Training losses of a sequence batch (B, T, D): the first six values of `sequence_losses`."""
        return self.sequence_losses(X, progress)[:6]

    def sequence_losses(self, X: Array, progress: Progress | None = None) -> SequenceLosses:
        """Losses along a sequence (B, T, D), with every inferred latent held constant.

        The first time step only scores the decoding of r = 0. Later ones are inferred, then scored with their
        new r2. See `sequence_jax.sequence_losses`.
        """
        losses = sequence_jax.sequence_losses(self._networks(), self._frozen(), self.config, X, progress)
        if self.config.stateful and not self.deterministic:
            self.r_state, self.r2_state = losses.r_final, losses.r2_final
        return losses

    def evaluate_record(
        self, X: Array, progress: Progress | None = None
    ) -> tuple[Array, Array, Array, dict[str, Array]]:
        """Runs a sequence batch (B, T, D) and records everything; see `sequence_jax.evaluate_record`."""
        return sequence_jax.evaluate_record(self._networks(), self._frozen(), self.config, X, progress)

    def normalize(self) -> None:
        """Rescales, in place, what the configuration asks for to norm 1.

        `normalize_spatial`: each latent's outgoing weights in the decoder's first kernel (in, out);
        `normalize_temporal`: the last axis of `temporal`, which is a whole component, or with `low_rank_temp`
        each of its 2-vectors.
        """
        if self.config.normalize_spatial:
            first: Any = self.spatial_decoder.layers[0]
            first.kernel[...] = normalized_last_axis(first.kernel[...])
        if self.config.normalize_temporal:
            self.temporal[...] = normalized_last_axis(self.temporal[...])

    def _networks(self) -> Networks:
        return Networks(self.decode, self.mixture, self.temporal_prediction, self.decode_r2)

    def _frozen(self) -> Networks:
        """The networks with parameters held constant."""
        graphdef, state = nnx.split(self)
        return nnx.merge(graphdef, lax.stop_gradient(state))._networks()


def _network(
    inputs: int,
    hidden: int,
    outputs: int,
    rngs: nnx.Rngs,
    kernel_init: Initializer | None = None,
    *,
    bias: bool = True,
) -> list[Callable[[Array], Array]]:
    """The shape of all three networks; note the absence of a nonlinearity between the last two layers."""
    return [
        _linear(inputs, hidden, rngs, xavier_normal),
        # Flax's own epsilon is 1e-6, and its fast variance is not the mean squared deviation.
        nnx.LayerNorm(hidden, epsilon=1e-5, use_fast_variance=False, param_dtype=_dtype(), rngs=rngs),
        nnx.elu,
        _linear(hidden, hidden, rngs, kernel_init),
        _linear(hidden, outputs, rngs, kernel_init, bias=bias),
    ]


def _linear(
    inputs: int, outputs: int, rngs: nnx.Rngs, kernel_init: Initializer | None = None, *, bias: bool = True
) -> nnx.Linear:
    return nnx.Linear(
        inputs,
        outputs,
        use_bias=bias,
        kernel_init=kernel_init or fan_in_uniform(inputs),
        bias_init=fan_in_uniform(inputs),
        param_dtype=_dtype(),
        rngs=rngs,
    )


def _decoder(c: TiDHyConfig, rngs: nnx.Rngs) -> nnx.Sequential:
    linear = [_linear(c.r_dim, c.input_dim, rngs, xavier_normal)]
    layers = _network(c.r_dim, c.hyper_hid_dim, c.input_dim, rngs) if c.nonlin_decoder else linear
    return nnx.Sequential(*layers, *([nnx.sigmoid] if c.bounded else []))


def _hypernet(c: TiDHyConfig, rngs: nnx.Rngs) -> nnx.Sequential:
    outputs = c.mix_dim + c.r_dim if c.dyn_bias else c.mix_dim
    network = _network(c.r2_dim, c.hyper_hid_dim, outputs, rngs, xavier_normal, bias=not c.dyn_bias)
    return nnx.Sequential(*network, nnx.relu)


def _dtype() -> jnp.dtype:
    """JAX's default float type where the model is built, as torch's default is for torch's."""
    return jnp.result_type(float)
