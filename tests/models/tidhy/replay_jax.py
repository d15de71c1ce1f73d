"""Replays a recording with either JAX TiDHy."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from models.tidhy import linen as tidhy_linen
from models.tidhy import nnx as tidhy_nnx
from tests.models.tidhy.weights import carried, linen_path, nnx_path

if TYPE_CHECKING:
    from models.tidhy.sequence_jax import SequenceLosses
    from tests.models.tidhy.recordings import Recording

Leaves = dict[str, Any]

# Compiling is what a replay spends its time on; unoptimised code computes the same.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Candidate(Protocol):
    """A JAX model seen from outside in the same way in either framework: weights are leaves by torch name."""

    def call(self, leaves: Leaves, method: str, *args: Any, **options: Any) -> Any:
        """Result of one method."""
        ...

    def forward(self, leaves: Leaves, X: Any) -> tuple[SequenceLosses, list[bool]]:
        """Result of a training pass, and whether it stored r and r2."""
        ...

    def normalized(self, leaves: Leaves) -> Leaves:
        """The weights after `normalize`."""
        ...


class Nnx:
    def __init__(self, recording: Recording) -> None:
        model = nnx.eval_shape(lambda: tidhy_nnx.TiDHy(recording.config, rngs=nnx.Rngs(0)))
        self.graphdef, state = nnx.split(model)
        self.paths = {nnx_path(name, value.ndim): name for name, value in recording.state.items()}
        self.leaves = {"/".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(state)}
        assert self.leaves.keys() == self.paths.keys()
        for path, (_, leaf) in self.leaves.items():
            assert leaf.shape == carried(self.paths[path], recording.state[self.paths[path]]).shape, path

    def call(self, leaves: Leaves, method: str, *args: Any, **options: Any) -> Any:
        return getattr(self._model(leaves), method)(*args, **options)

    def forward(self, leaves: Leaves, X: Any) -> tuple[SequenceLosses, list[bool]]:
        model = self._model(leaves)
        losses = model.sequence_losses(X)
        return losses, [model.r_state is not None, model.r2_state is not None]

    def normalized(self, leaves: Leaves) -> Leaves:
        model = self._model(leaves)
        model.normalize()
        state = {"/".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(model))}
        return {name: state[path] for path, name in self.paths.items()}

    def _model(self, leaves: Leaves) -> tidhy_nnx.TiDHy:
        filled = [(path, leaf.replace(leaves[self.paths[key]])) for key, (path, leaf) in self.leaves.items()]
        return nnx.merge(self.graphdef, nnx.from_flat_state(filled))


class Linen:
    def __init__(self, recording: Recording) -> None:
        self.model = tidhy_linen.TiDHy(recording.config)
        self.paths = {linen_path(name, value.ndim): name for name, value in recording.state.items()}
        variables: Any = jax.eval_shape(self.model.init, jax.random.key(0), recording.inputs["X"])
        flat: Any = traverse_util.flatten_dict(variables, sep="/")
        shapes = {path: leaf.shape for path, leaf in flat.items()}
        state = recording.state
        assert shapes == {path: carried(name, state[name]).shape for path, name in self.paths.items()}

    def call(self, leaves: Leaves, method: str, *args: Any, **options: Any) -> Any:
        return self.model.apply(self._variables(leaves), *args, method=method, **options)

    def forward(self, leaves: Leaves, X: Any) -> tuple[SequenceLosses, list[bool]]:
        result: Any = self.model.apply(self._variables(leaves), X, method="sequence_losses", mutable=["latents"])
        losses, stored = result
        return losses, [name in stored.get("latents", {}) for name in ("r_state", "r2_state")]

    def normalized(self, leaves: Leaves) -> Leaves:
        variables = self.model.normalize(self._variables(leaves))
        state: Any = traverse_util.flatten_dict(variables, sep="/")
        return {name: state[path] for path, name in self.paths.items()}

    def _variables(self, leaves: Leaves) -> dict[str, Any]:
        return traverse_util.unflatten_dict({p: leaves[name] for p, name in self.paths.items()}, sep="/")


def replay(model: Candidate, recording: Recording) -> dict[str, np.ndarray]:
    inputs, config = recording.inputs, recording.config
    leaves = {name: carried(name, value) for name, value in recording.state.items()}

    @compiled
    def quantities(leaves: Leaves, inputs: Leaves) -> tuple[Leaves, Leaves]:
        call = partial(model.call, leaves)
        prediction = call("temporal_prediction", inputs["temporal/r"], inputs["temporal/r2"])
        names = ("temporal/r_hat", "temporal/V_t", "temporal/w")
        return {
            **_forward(model, leaves, inputs["X"]),
            **_evaluation(*call("evaluate_record", inputs["X"])),
            **dict(zip(names, prediction, strict=True)),
            **dict(zip(("inf_first/r", "inf_first/n_iter"), call("inf_first_step", inputs["X"][:, 0]), strict=True)),
            "decoder/x": call("decode", inputs["decoder/r"]),
        }, call("inf", inputs["inf/x"], inputs["inf/r_p"], inputs["inf/r2_in"], record=True)

    found, step = quantities(leaves, inputs)
    normalized = model.normalized(leaves)
    names = ("spatial_decoder.0.weight", "temporal")
    found |= {f"normalize/{name}": carried(name, normalized[name]) for name in names}
    return {name: np.asarray(value) for name, value in (found | _inference(step, config)).items()}


def _forward(model: Candidate, leaves: Leaves, X: Any) -> Leaves:
    def loss(leaves: Leaves) -> tuple[Any, tuple[SequenceLosses, list[bool]]]:
        result = model.forward(leaves, X)
        return sum(result[0][:4]), result

    gradients, (losses, states) = jax.grad(loss, has_aux=True)(leaves)
    shown = losses._asdict()
    del shown["r_final"]
    return {
        **{f"forward/{name}": value for name, value in shown.items()},
        **{f"forward/grad/{name}": carried(name, value) for name, value in gradients.items()},
        "forward/has_state": jnp.array(states),
    }


def _evaluation(rhat: Any, rbar: Any, temp: Any, records: Leaves) -> Leaves:
    averages = {"spatial_loss_rhat_avg": rhat, "spatial_loss_rbar_avg": rbar, "temp_loss_avg": temp}
    counts = records.pop("n_iter")
    return {
        **{f"eval/{name}": value for name, value in averages.items()},
        **{f"eval/result/{name}": value for name, value in records.items()},
        "eval/n_iter": counts,
    }


def _inference(step: Any, config: Any) -> Leaves:
    n = int(step.n_iter)
    listed = not config.use_r2_decoder
    quantities = {
        "inf/r": step.r,
        "inf/r2": step.r2,
        "inf/n_iter": step.n_iter,
        "inf/r2_loss": step.r2_loss[:n] if listed else step.r2_loss,
        "inf/r2_loss_is_list": listed,
        "inf/traj_r": step.trace.r[:n],
        "inf/traj_r2": step.trace.r2[:n],
    }
    if config.grad_norm_inf:
        quantities |= {"inf/gn_weights_after": step.trace.weights[:n], "inf/gn_l0": step.trace.first_losses}
    return quantities
