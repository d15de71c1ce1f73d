"""TiDHy in Flax linen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from models.tidhy import sequence_jax
from models.tidhy.config import TiDHyConfig
from models.tidhy.inference_jax import FirstInference, Inference, Networks, infer_first, infer_step
from models.tidhy.initialisers_jax import fan_in_uniform, orthogonal_rows, xavier_normal
from models.tidhy.normalize_jax import normalized_last_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array
    from jax.nn.initializers import Initializer

    from models.tidhy.progress import Progress
    from models.tidhy.sequence_jax import SequenceLosses


class TiDHy(nn.Module):
    """Hierarchical predictive coding of a sequence: x ← r ← r2, where r2 mixes the linear dynamics of r.

    A decoder predicts the observation from the lower latent r; a hypernetwork turns the upper latent r2 into
    weights w of M linear dynamics, V = Σ_m w_m A_m, which predict r from the r before it. Latents are not
    encoded but inferred: by gradient descent on the prediction errors, at each time step.

    Wrap `apply` in `jax.jit`, or each call compiles its loops anew. A stateful model stores its last latents
    as `latents/r_state` and `latents/r2_state` where that collection is mutable, which is what training is.

    Args:
      config: the configuration.

    Example:
      >>> import jax
      >>> model = TiDHy(TiDHyConfig(input_dim=3, max_iter=10))
      >>> X = jnp.ones((2, 4, 3))
      >>> variables = jax.jit(model.init)(jax.random.key(0), X)
      >>> len(jax.jit(model.apply)(variables, X))
      6

    References:
      Rao & Ballard, Predictive coding in the visual cortex, 1999.
      Ha et al., HyperNetworks, 2016.
    """

    config: TiDHyConfig

    def setup(self) -> None:
        c = self.config
        self.spatial_decoder = _decoder(c)
        self.temporal = self.param("temporal", orthogonal_rows, c.components_shape)
        if c.dyn_bias:
            self.temporal_bias = self.param("temporal_bias", xavier_normal, (1, c.r_dim))
        self.hypernet = _hypernet(c)
        if c.use_r2_decoder:
            network = _network(c.r_dim + c.r2_dim, c.r2_decoder_hid_dim, c.r2_dim, xavier_normal)
            self.R2_Decoder = nn.Sequential(network)

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
        components = self.temporal.reshape(c.mix_dim, c.r_dim, -1)  # (M, R, R) or (M, R, 2)
        if c.low_rank_temp:
            components = components @ components.mT  # (M, R, R)
        V = jnp.einsum("...m,mij->...ij", w, components)
        r_bar = jnp.einsum("...ij,...j->...i", V, r_p)
        return (r_bar if b is None else r_bar + b * self.temporal_bias), V, w

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
        if self.is_initializing():
            self._initialise(X)
        return self.sequence_losses(X, progress)[:6]

    def sequence_losses(self, X: Array, progress: Progress | None = None) -> SequenceLosses:
        """Losses along a sequence (B, T, D), with every inferred latent held constant.

        The first time step only scores the decoding of r = 0. Later ones are inferred, then scored with their
        new r2. See `sequence_jax.sequence_losses`.
        """
        losses = sequence_jax.sequence_losses(self._networks(), self._frozen(), self.config, X, progress)
        if self.config.stateful and self.is_mutable_collection("latents") and not self.is_initializing():
            self.put_variable("latents", "r_state", losses.r_final)
            self.put_variable("latents", "r2_state", losses.r2_final)
        return losses

    def evaluate_record(
        self, X: Array, progress: Progress | None = None
    ) -> tuple[Array, Array, Array, dict[str, Array]]:
        """Runs a sequence batch (B, T, D) and records everything; see `sequence_jax.evaluate_record`."""
        return sequence_jax.evaluate_record(self._networks(), self._frozen(), self.config, X, progress)

    @nn.nowrap
    def normalize(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Returns the variables with what the configuration asks for rescaled to norm 1.

        `normalize_spatial`: each latent's outgoing weights in the decoder's first kernel (in, out);
        `normalize_temporal`: the last axis of `temporal`, which is a whole component, or with `low_rank_temp`
        each of its 2-vectors.
        """
        params = dict(variables["params"])
        if self.config.normalize_spatial:
            layers = params["spatial_decoder"]
            first = layers["layers_0"] | {"kernel": normalized_last_axis(layers["layers_0"]["kernel"])}
            params["spatial_decoder"] = layers | {"layers_0": first}
        if self.config.normalize_temporal:
            params["temporal"] = normalized_last_axis(params["temporal"])
        return variables | {"params": params}

    def _initialise(self, X: Array) -> None:
        """Runs each network once: the loops below call them as pure functions, which create nothing."""
        r = jnp.zeros((1, self.config.r_dim), X.dtype)
        r2 = jnp.zeros((1, self.config.r2_dim), X.dtype)
        self.decode(r)
        self.mixture(r2)
        if self.config.use_r2_decoder:
            self.decode_r2(r, r2)

    def _networks(self, *, frozen: bool = False) -> Networks:
        module, variables = self.unbind()
        if frozen:
            variables = lax.stop_gradient(variables)
        methods: list[Any] = [partial(module.apply, variables, method=name) for name in Networks._fields]
        return Networks(*methods)

    def _frozen(self) -> Networks:
        """The networks with parameters held constant."""
        return self._networks(frozen=True)


def _network(
    inputs: int, hidden: int, outputs: int, kernel_init: Initializer | None = None, *, bias: bool = True
) -> list[Callable[[Array], Array]]:
    """The shape of all three networks; note the absence of a nonlinearity between the last two layers."""
    return [
        _linear(inputs, hidden, xavier_normal),
        # Flax's own epsilon is 1e-6, and its fast variance is not the mean squared deviation.
        nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, param_dtype=_dtype()),
        nn.elu,
        _linear(hidden, hidden, kernel_init),
        _linear(hidden, outputs, kernel_init, bias=bias),
    ]


def _linear(inputs: int, outputs: int, kernel_init: Initializer | None = None, *, bias: bool = True) -> nn.Dense:
    return nn.Dense(
        outputs,
        use_bias=bias,
        kernel_init=kernel_init or fan_in_uniform(inputs),
        bias_init=fan_in_uniform(inputs),
        param_dtype=_dtype(),
    )


def _decoder(c: TiDHyConfig) -> nn.Sequential:
    linear = [_linear(c.r_dim, c.input_dim, xavier_normal)]
    layers = _network(c.r_dim, c.hyper_hid_dim, c.input_dim) if c.nonlin_decoder else linear
    return nn.Sequential([*layers, *([nn.sigmoid] if c.bounded else [])])


def _hypernet(c: TiDHyConfig) -> nn.Sequential:
    outputs = c.mix_dim + c.r_dim if c.dyn_bias else c.mix_dim
    network = _network(c.r2_dim, c.hyper_hid_dim, outputs, xavier_normal, bias=not c.dyn_bias)
    return nn.Sequential([*network, nn.relu])


def _dtype() -> jnp.dtype:
    """JAX's default float type where the model is built, as torch's default is for torch's."""
    return jnp.result_type(float)
