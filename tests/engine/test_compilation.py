"""The options that float64 is compiled with: several times faster, and right where the default ones are not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.backends.jax_program import isolated, quick_options

HIDDEN, WIDTH = 5, 3


def _recurrent(weights: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """A long short-term memory, (B, T, WIDTH) → (B, T, HIDDEN)."""

    def step(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        i, f, g, o = jnp.split(x @ weights["input"] + weights["bias"] + state[0] @ weights["state"], 4, -1)
        cell = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        output = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (output, cell), output

    zeros = jnp.zeros((x.shape[0], HIDDEN), x.dtype)
    return jax.lax.scan(step, (zeros, zeros), x.swapaxes(0, 1))[1].swapaxes(0, 1)


@pytest.mark.skipif(quick_options() is None, reason="this XLA has no such options")
def test_a_batched_loop_has_the_gradients_of_its_parts() -> None:
    """With XLA's default options on a CPU with AVX2, jaxlib 0.10.2 is wrong in the first digit here."""
    rng = np.random.default_rng(0)
    weights = {
        "input": rng.standard_normal((WIDTH, 4 * HIDDEN)),
        "state": rng.standard_normal((HIDDEN, 4 * HIDDEN)),
        "bias": rng.standard_normal(4 * HIDDEN),
    }
    x, cotangent = rng.standard_normal((2, 4, 7, WIDTH)), rng.standard_normal((4, 7, HIDDEN))

    def gradients(x: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        return jax.vjp(_recurrent, weights, x)[1](cotangent)

    with isolated("float64"):
        together = jax.jit(jax.vmap(gradients), compiler_options=quick_options())(x)
        alone = [jax.jit(gradients, compiler_options=quick_options())(part) for part in x]
    for index, expected in enumerate(alone):
        got = jax.tree.map(lambda leaf, index=index: leaf[index], together)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, expected)
