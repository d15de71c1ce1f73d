"""What a TiDHy does besides computing: refusals, flags, state, progress, precision; in all three versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from models.tidhy import linen as tidhy_linen
from models.tidhy import nnx as tidhy_nnx
from models.tidhy import torch as tidhy_torch
from models.tidhy.config import TiDHyConfig
from models.tidhy.progress import show_progress

CONFIG = TiDHyConfig(input_dim=3, r_dim=4, r2_dim=2, mix_dim=5, hyper_hid_dim=7, max_iter=10, lr_r2=0.03)
X = np.random.default_rng(5).normal(size=(2, 4, 3)).astype(np.float32)


def _torch(config: TiDHyConfig, method: str, x: np.ndarray, **options: Any) -> Any:
    return getattr(tidhy_torch.TiDHy(config), method)(torch.from_numpy(x), **options)


def _nnx(config: TiDHyConfig, method: str, x: np.ndarray, **options: Any) -> Any:
    model = tidhy_nnx.TiDHy(config, rngs=nnx.Rngs(0))
    return nnx.jit(lambda model, x: getattr(model, method)(x, **options))(model, x)


def _linen(config: TiDHyConfig, method: str, x: np.ndarray, **options: Any) -> Any:
    model = tidhy_linen.TiDHy(config)
    variables = jax.jit(model.init)(jax.random.key(0), X[:, :1])
    return jax.jit(partial(model.apply, method=method, **options))(variables, x)


Version = Callable[..., Any]
VERSIONS = (_torch, _nnx, _linen)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_time_step_needs_no_schedule_but_two_do(version: Version) -> None:
    config = replace(CONFIG, max_iter=9)
    losses = version(config, "sequence_losses", X[:, :1])
    rhat, *others = (float(_array(loss)) for loss in losses[:4])
    assert rhat > 0
    assert others == [0.0, 0.0, 0.0]
    assert losses.n_iter.shape == (0,)
    _, _, _, records = version(config, "evaluate_record", X[:, :1])
    assert records["n_iter"].tolist() == [9]
    with pytest.raises(ValueError, match="needs max_iter of at least 10, got 9"):
        version(config, "sequence_losses", X)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["sequence_losses", "evaluate_record"])
def test_a_wrong_shape_is_refused(version: Version, method: str) -> None:
    with pytest.raises(ValueError, match=r"expected X of shape \(batch, time, 3\), got \(2, 4, 2\)"):
        version(CONFIG, method, X[..., :2])


@pytest.mark.parametrize("version", VERSIONS)
def test_progress_is_reported_for_each_time_step_even_when_compiled(version: Version) -> None:
    seen: list[tuple[int, int]] = []
    losses = version(CONFIG, "sequence_losses", X, progress=lambda t, n_iter: seen.append((t, n_iter)))
    jax.effects_barrier()
    assert sorted(seen) == list(zip((1, 2, 3), losses.n_iter.tolist(), strict=True))


def test_a_bar_counts_the_time_steps_of_a_compiled_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(3, "time steps") as advance:
        _nnx(CONFIG, "evaluate_record", X, progress=advance)
        jax.effects_barrier()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_the_float_type_is_that_of_the_weights(version: Version) -> None:
    losses = version(CONFIG, "sequence_losses", X)
    assert {_array(value).dtype for value in losses[:7]} == {np.dtype(np.float32)}


def _array(value: Any) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def test_inference_leaves_frozen_parameters_frozen_and_works_without_gradients() -> None:
    model = tidhy_torch.TiDHy(CONFIG)
    model.temporal.requires_grad_(False)
    with torch.no_grad():
        expected = model(torch.from_numpy(X))
    assert [name for name, value in model.named_parameters() if not value.requires_grad] == ["temporal"]
    assert torch.equal(model(torch.from_numpy(X))[0], expected[0])


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_state_is_kept_by_a_stateful_model_in_training_only(stateful: bool, training: bool) -> None:
    config = replace(CONFIG, stateful=stateful)
    reference = tidhy_torch.TiDHy(config).train(training)
    names = set(reference.state_dict())
    losses = reference.sequence_losses(torch.from_numpy(X))
    assert (reference.r_state is losses.r_final) == (reference.r2_state is losses.r2_final) == (stateful and training)
    assert set(reference.state_dict()) == names

    candidate = tidhy_nnx.TiDHy(config, rngs=nnx.Rngs(0))
    candidate.train() if training else candidate.eval()
    losses = nnx.jit(lambda model, X: model.sequence_losses(X))(candidate, X)
    assert (candidate.r_state is not None) == (stateful and training)
    if candidate.r_state is not None and candidate.r2_state is not None:
        np.testing.assert_array_equal(candidate.r_state, losses.r_final)
        np.testing.assert_array_equal(candidate.r2_state, losses.r2_final)

    model = tidhy_linen.TiDHy(config)
    variables = jax.jit(model.init)(jax.random.key(0), X)
    assert variables.keys() == {"params"}
    mutable = ["latents"] if training else []
    (rhat, *_), stored = jax.jit(partial(model.apply, mutable=mutable))(variables, X)
    assert float(rhat) > 0
    assert stored.get("latents", {}).keys() == ({"r_state", "r2_state"} if stateful and training else set())


def test_bce_as_the_original_builds_it_is_refused_by_torch_and_nan_in_jax() -> None:
    config = replace(CONFIG, loss_type="BCE", verbatim_bce=True)
    data = np.abs(np.sin(X))
    with pytest.raises(RuntimeError, match="should be between 0 and 1"):
        _torch(config, "sequence_losses", 0 * data + 1)
    assert np.isnan(float(_nnx(config, "sequence_losses", data).spatial_loss_rhat))
    assert np.isfinite(float(_nnx(replace(config, verbatim_bce=False), "sequence_losses", data).spatial_loss_rhat))


@pytest.mark.parametrize("version", VERSIONS)
def test_nan_runs_to_the_last_update(version: Version) -> None:
    data = X.copy()
    data[0, 2, 0] = np.nan
    assert version(CONFIG, "sequence_losses", data).n_iter.tolist()[1:] == [10, 10]


def test_initial_values_are_drawn_as_torch_draws_them() -> None:
    config = TiDHyConfig(input_dim=31, r_dim=12, hyper_hid_dim=200, mix_dim=7, nonlin_decoder=True, dyn_bias=True)
    state = {name: value.detach().numpy() for name, value in tidhy_torch.TiDHy(config).named_parameters()}
    model = tidhy_nnx.TiDHy(config, rngs=nnx.Rngs(0))
    leaves = {"/".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(nnx.state(model))}
    np.testing.assert_allclose(leaves["temporal"] @ leaves["temporal"].T, np.eye(7), atol=1e-5)
    for name, path in {
        "spatial_decoder.0.weight": "spatial_decoder/layers/0/kernel",
        "spatial_decoder.0.bias": "spatial_decoder/layers/0/bias",
        "spatial_decoder.3.weight": "spatial_decoder/layers/3/kernel",
        "hypernet.3.weight": "hypernet/layers/3/kernel",
        "hypernet.3.bias": "hypernet/layers/3/bias",
    }.items():
        ours, theirs = leaves[path], state[name]
        np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.2, err_msg=name)
        kurtosis = [np.mean((v / v.std()) ** 4) for v in (ours, theirs)]  # 1.8 uniform, 3 normal
        np.testing.assert_allclose(*kurtosis, rtol=0.25, err_msg=name)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("low_rank", [False, True])
def test_normalize(low_rank: bool) -> None:
    config = replace(CONFIG, low_rank_temp=low_rank, normalize_spatial=True, normalize_temporal=True)
    reference = tidhy_torch.TiDHy(config)
    weight = reference.get_parameter("spatial_decoder.0.weight").detach().numpy().copy()
    temporal = reference.temporal.detach().numpy().copy()
    temporal[0] = 0.0
    reference.temporal.data = torch.tensor(temporal)
    expected = weight / np.linalg.norm(weight, axis=0)
    components = temporal / np.maximum(np.linalg.norm(temporal, axis=-1, keepdims=True), 1e-12)
    reference.normalize()
    np.testing.assert_allclose(reference.get_parameter("spatial_decoder.0.weight").detach(), expected, rtol=1e-14)
    np.testing.assert_allclose(reference.temporal.detach(), components, rtol=1e-14)

    candidate = tidhy_nnx.TiDHy(config, rngs=nnx.Rngs(0))
    layer: Any = candidate.spatial_decoder.layers[0]
    layer.kernel[...], candidate.temporal[...] = jnp.asarray(weight.T), jnp.asarray(temporal)
    candidate.normalize()
    np.testing.assert_allclose(layer.kernel[...], expected.T, rtol=1e-14)
    np.testing.assert_allclose(candidate.temporal[...], components, rtol=1e-14)

    params = {"spatial_decoder": {"layers_0": {"kernel": jnp.asarray(weight.T)}}, "temporal": jnp.asarray(temporal)}
    normalized = tidhy_linen.TiDHy(config).normalize({"params": params})["params"]
    np.testing.assert_allclose(normalized["spatial_decoder"]["layers_0"]["kernel"], expected.T, rtol=1e-14)
    np.testing.assert_allclose(normalized["temporal"], components, rtol=1e-14)
