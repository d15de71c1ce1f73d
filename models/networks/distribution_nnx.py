"""From a network's output to a distribution and a sample of it, Flax NNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jax.lax import stop_gradient

from models.networks import draws_nnx
from models.networks.codebook_nnx import BSQCodebook
from models.networks.modules_nnx import RngsLike, as_rngs
from models.networks.pointwise_nnx import softplus
from models.networks.softmax_nnx import softmax
from models.networks.stoch_nnx import BernoulliStoch, CategoricalStoch, NormalStoch
from models.networks.value_checks_nnx import is_concrete

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax import Array

KINDS = ("normal", "categorical", "bernoulli")


def _without_nan(x: Array) -> Array:
    if is_concrete(x) and jnp.isnan(x).any():
        raise ValueError("Distribution: the input holds NaN; expected the parameters of a distribution")
    return x


class Distribution(nnx.Module):
    """Reads its input as the parameters of a distribution, and draws a sample that gradients pass through.

    Categorical samples have the gradient of the probabilities (straight through), bits too. Beware of the
    "deterministic" bits: they threshold the random sample, and after a spherical projection of four or
    more bits none exceeds the threshold. Deterministic categorical samples are not projected.

    Args:
        in_dim: Width of the sample.
        dist: "normal", "categorical" or "bernoulli".
        n_groups: Number of groups that the width is split into, for categories and bits.
        spherical: Project samples: categories to ±1, bits to the unit sphere.
        rngs: Streams; it draws from `sample`, else from the default one.

    Raises:
        NotImplementedError: Another `dist`.
        ValueError: The groups do not divide the width.

    Example:
        >>> Distribution(3, "normal", rngs=0)(jnp.zeros((2, 6)), deterministic=True).stoch
        Array([[0., 0., 0.],
               [0., 0., 0.]], dtype=float32)
    """

    def __init__(self, in_dim: int, dist: str, n_groups: int = 1, spherical: bool = False, *, rngs: RngsLike) -> None:
        if dist not in KINDS:
            raise NotImplementedError(f"Distribution: dist must be one of {', '.join(KINDS)}, got {dist!r}")
        if dist != "normal" and in_dim % n_groups:
            raise ValueError(f"Distribution: n_groups={n_groups} must divide in_dim={in_dim}")
        self.in_dim = in_dim
        self.dist = dist
        self.n_groups = n_groups
        self.n_class = in_dim // n_groups
        self.spherical = spherical
        self.rngs = as_rngs(rngs)["sample"].fork()
        if spherical:
            self.codebook = BSQCodebook(self.n_class)

    def __call__(
        self,
        x: Array,
        deterministic: bool = False,
        inv_tmp: float = 1.0,
        *,
        noise: Array | None = None,
        key: Array | None = None,
    ) -> NormalStoch | CategoricalStoch | BernoulliStoch:
        """Read the parameters and draw.

        Args:
            x: (*, 2·in_dim) for the normal distribution, means first; else logits (*, in_dim).
            deterministic: Take the mean, or the likeliest class; see the class for bits.
            inv_tmp: Inverse temperature of categories and bits.
            noise: In place of a draw: ε of the mean's shape, or one-hot rows or bits (*, G, K).
            key: Random key of the draw, in place of the module's own stream: for use under `jax.jit`.

        Returns:
            Parameters and sample; logits and probs have the shape (*, G, K), samples (*, in_dim).

        Raises:
            AssertionError: The normal distribution's input has another width.
            ValueError: So have the logits, or the input holds NaN (checked outside transformations).
        """

        def draw(sampler: Callable[[Array, Array], Array], like: Array) -> Array:
            return noise if noise is not None else sampler(self.rngs() if key is None else key, like)

        if self.dist == "normal":
            return self._normal(_without_nan(x), deterministic, draw)
        if x.shape[-1] != self.in_dim:
            raise ValueError(f"Distribution: expected {self.in_dim} logits on the last axis, got {x.shape[-1]}")
        logits = _without_nan(x).reshape(*x.shape[:-1], self.n_groups, self.n_class)
        read = self._categorical if self.dist == "categorical" else self._bernoulli
        return read(logits, deterministic, inv_tmp, draw)

    def _normal(self, x: Array, deterministic: bool, draw: Callable[..., Array]) -> NormalStoch:
        assert x.shape[-1] == 2 * self.in_dim, (
            f"Distribution: expected {self.in_dim} means and as many raw deviations, got {x.shape[-1]} values"
        )
        mean, raw = jnp.split(x, 2, axis=-1)
        std = softplus(raw) + 1e-6
        if deterministic:
            return NormalStoch(mean, std, mean)
        return NormalStoch(mean, std, mean + draw(draws_nnx.standard_normal, mean) * std)

    def _categorical(
        self, logits: Array, deterministic: bool, inv_tmp: float, draw: Callable[..., Array]
    ) -> CategoricalStoch:
        probs = softmax(logits, temperature=1 / inv_tmp)
        if deterministic:
            hard = jax.nn.one_hot(probs.argmax(-1), self.n_class, dtype=probs.dtype)
            return CategoricalStoch(logits, probs, self._flat(hard + probs - stop_gradient(probs)))
        normalised = probs / probs.sum(-1, keepdims=True)
        stoch = draw(draws_nnx.one_hot, normalised) + (normalised - stop_gradient(normalised))
        stoch = stoch * 2 - 1 if self.spherical else stoch
        return CategoricalStoch(logits, probs, self._flat(stoch))

    def _bernoulli(
        self, logits: Array, deterministic: bool, inv_tmp: float, draw: Callable[..., Array]
    ) -> BernoulliStoch:
        logits = logits * inv_tmp
        probs = jax.nn.sigmoid(logits)
        stoch = draw(draws_nnx.bits, probs) + (probs - stop_gradient(probs))
        if self.spherical:
            stoch = BSQCodebook.bits_to_codes(stoch)
        if deterministic:
            stoch = (stoch > 0.5).astype(probs.dtype) + probs - stop_gradient(probs)
        return BernoulliStoch(logits, probs, self._flat(stoch))

    def _flat(self, stoch: Array) -> Array:  # (*, G, K) -> (*, G·K)
        return stoch.reshape(*stoch.shape[:-2], self.in_dim)
