"""The torch TiDHy reproduces every quantity of every recorded run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.tidhy.torch import TiDHy
from tests.models.tidhy.recordings import CASES, TOLERANCE, Recording, errors, load

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("case", CASES)
def test_replay(case: str) -> None:
    recording = load(case)
    found = errors(replay(recording), recording.quantities)
    worst = max(found, key=lambda name: found[name])
    assert found[worst] <= TOLERANCE, f"{case}: {worst} deviates by {found[worst]:.1e}"


def test_a_changed_weight_fails_the_replay() -> None:
    recording = load(CASES[0])
    state = {name: value * (1 + 1e-9) for name, value in recording.state.items()}
    found = errors(replay(replace(recording, state=state)), recording.quantities)
    assert max(found.values()) > TOLERANCE


def replay(recording: Recording) -> dict[str, np.ndarray]:
    inputs = {name: torch.from_numpy(value) for name, value in recording.inputs.items()}
    model = _model(recording)
    quantities = {
        **_forward(model, inputs["X"]),
        **_inference(model, inputs),
        **_evaluation(model, inputs["X"]),
        "decoder/x": model.decode(inputs["decoder/r"]),
    }
    names = ("temporal/r_hat", "temporal/V_t", "temporal/w")
    prediction = model.temporal_prediction(inputs["temporal/r"], inputs["temporal/r2"])
    quantities |= zip(names, prediction, strict=True)
    quantities |= _normalized(recording)
    return {name: np.asarray(torch.as_tensor(value).detach()) for name, value in quantities.items()}


def _model(recording: Recording) -> TiDHy:
    model = TiDHy(recording.config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in recording.state.items()})
    return model


def _forward(model: TiDHy, X: torch.Tensor) -> dict[str, Any]:
    losses = model.sequence_losses(X)
    rhat, rbar, temp, r2_losses, _, _ = model(X)
    torch.autograd.backward(rhat + rbar + temp + r2_losses)
    shown = losses._asdict()
    del shown["r_final"]
    states = (model.r_state is not None, model.r2_state is not None)
    gradients = {f"forward/grad/{name}": value.grad for name, value in model.named_parameters()}
    return (
        {f"forward/{name}": value for name, value in shown.items()}
        | gradients
        | {"forward/has_state": torch.tensor(states)}
    )


def _inference(model: TiDHy, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    first = model.inf_first_step(inputs["X"][:, 0])
    step = model.inf(inputs["inf/x"], inputs["inf/r_p"], inputs["inf/r2_in"], record=True)
    assert step.trace is not None
    listed = isinstance(step.r2_loss, list)
    quantities = {
        "inf_first/r": first.r,
        "inf_first/n_iter": first.n_iter,
        "inf/r": step.r,
        "inf/r2": step.r2,
        "inf/n_iter": step.n_iter,
        "inf/r2_loss": torch.tensor(step.r2_loss) if listed else step.r2_loss,
        "inf/r2_loss_is_list": listed,
        "inf/traj_r": step.trace.r,
        "inf/traj_r2": step.trace.r2,
    }
    if model.config.grad_norm_inf:
        quantities |= {"inf/gn_weights_after": step.trace.weights, "inf/gn_l0": step.trace.first_losses}
    return quantities


def _evaluation(model: TiDHy, X: torch.Tensor) -> dict[str, Any]:
    rhat, rbar, temp, records = model.evaluate_record(X)
    averages = {"spatial_loss_rhat_avg": rhat, "spatial_loss_rbar_avg": rbar, "temp_loss_avg": temp}
    counts = records.pop("n_iter")
    return {f"eval/{name}": value for name, value in averages.items()} | {
        "eval/n_iter": counts,
        **{f"eval/result/{name}": value for name, value in records.items()},
    }


def _normalized(recording: Recording) -> dict[str, Any]:
    model = _model(recording)
    model.normalize()
    names = ("spatial_decoder.0.weight", "temporal")
    return {f"normalize/{name}": model.state_dict()[name] for name in names}
