"""Examples per second: `parity.check` against the plain way to compare a port, and against the bare compute.

usage: python -m benchmarks.throughput [--examples 100] [--plain 5] [--again]

All three compare outputs, gradients by every input and by every parameter, in float64, on one thread, with weights of
its own for every example, in a process that has run each once, with no compiled program left in memory, nor on disk
unless `--again` asks for what every run of a suite but the first has, JAX's persistent compilation cache:

*ours*: `parity.check` as it is: both models built, mapped, traced and compiled, Hypothesis' draws, every leaf judged.
*plain*: what most tests of ports do for each example: build both models, copy the weights, call one and `backward`,
call the other under `jax.grad` without `jit`, `np.allclose`; the first example, which compiles every operation, and the
mean of a few more stand for all. *bare*: torch's forward and backward pass, and one function compiled by `jax.jit` for
outputs and gradients, on the same inputs, nothing compared; with its one compilation, as ours has it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import typer
from flax import nnx
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

import parity
from models.networks import pairs_attention, pairs_unet
from models.networks.config import ConvConfig, TransformerConfig
from models.networks.recipes import Recipe
from models.tidhy import pair as tidhy
from models.tidhy.config import TiDHyConfig
from parity import structure
from parity.backends import Call
from parity.explore import Budget, Case, cases, open_session
from parity.record import Example
from parity.session import Session
from parity.trial import Trial


def unet_block(channels: int, height: int, width: int) -> Recipe:
    """A residual block with FiLM conditioning on a batch of four images."""
    conv = ConvConfig(activation="SiLU", kernel_size=3, stride=1, padding=1, norm="group", norm_cfg={"num_groups": 2})
    sizes = {"in_channels": channels, "out_channels": 2 * channels, "cond_dim": 8}
    shapes = (4, channels, height, width), (4, 8)
    return Recipe("ConditionalResidualBlock2d", {**sizes, "conv_cfg": conv, "cond_predict_scale": True}, shapes)


TRANSFORMER = Recipe(
    "TransformerLayer",
    {
        "input_dim": 24,
        "output_dim": 24,
        "cfg": TransformerConfig(
            d_model=64, nhead=4, dim_ff=128, n_layers=1, hidden_activation="GELU", output_activation="Identity"
        ),
    },
    ((4, 32, 24),),
)

CHECKS = ("forward", "input_grad", "param_grad")


@dataclass(frozen=True)
class Speed:
    """Seconds for all examples of one subject, and for those after the first ones."""

    ours: float
    first: float
    plain: float
    bare: float
    warm: float
    examples: int

    def shown(self) -> tuple[str, ...]:
        """Examples per second, and ratios: over plain, of bare, and of bare without what happens once."""
        rates = (f"{self.examples / seconds:.1f}" for seconds in (self.ours, self.plain, self.bare))
        repeated = (self.ours - self.first) / (self.examples - 1) / (self.warm / self.examples)
        return *rates, f"{self.plain / self.ours:.1f}", f"{self.ours / self.bare:.2f}", f"{repeated:.2f}"


def subjects() -> dict[str, parity.Pair]:
    """Pairs of one configuration."""
    one = {"modes": ("eval",), "checks": CHECKS}
    losses: Any = TiDHyConfig(input_dim=7, r_dim=4, r2_dim=2, mix_dim=3, hyper_hid_dim=11, max_iter=31)
    return {
        "UNet block, 16x16x16": replace(pairs_unet.BLOCK_2D, configs=st.just(unet_block(16, 16, 16)), **one),
        "UNet block, 4x5x4": replace(pairs_unet.BLOCK_2D, configs=st.just(unet_block(4, 5, 4)), **one),
        "transformer block": replace(pairs_attention.TRANSFORMER, configs=st.just(TRANSFORMER), **one),
        "TiDHy": replace(tidhy.LOSSES, configs=st.just(losses), checks=CHECKS),
    }


def measured(pair: parity.Pair, examples: int, plainly: int) -> Speed:
    """Runs all three ways on one pair."""
    (case,) = cases(pair, Budget(1, 1))
    drawn = [case.example("normal", seed) for seed in range(examples)]
    session = open_session(pair, "nnx", case, drawn[0])
    assert session is not None
    with _double():
        plain = _plain(pair, case, session, plainly + 2)
        plain(1)
        jax.clear_caches()
        slow = plain(1) + plain(plainly) / plainly * (examples - 1)
        bare = _bare(session, [example.inputs for example in drawn])
        bare()
        jax.clear_caches()
        cold, warm = bare(), bare()
    _ours(pair, 1)
    first, ours = (_seconds(lambda n=n: _ours(pair, n)) for n in (1, examples))
    return Speed(ours, first, slow, cold, warm, examples)


def _ours(pair: parity.Pair, examples: int) -> None:
    jax.clear_caches()
    report = parity.check(pair, candidate="nnx", examples=examples)
    assert report.ok, report
    assert report.examples == examples


def _plain(pair: parity.Pair, case: Case, session: Session, examples: int) -> Callable[[int], float]:
    """The plain way, which goes on with further examples at every call and says how long it took."""
    call, rest = Call(pair.method, pair.output), iter(range(examples))
    train = pair.modes[-1] == "train"

    def loss(model: Any, *inputs: Any) -> Any:
        return _total(call.select(call.of(model)(*inputs)), jnp)

    def compare(seed: int) -> None:
        inputs = case.example("normal", seed).inputs
        reference, candidate = pair.reference(case.config).train(train), pair.candidates["nnx"](case.config)
        (candidate.train if train else candidate.eval)()
        state = session.state(seed)
        reference.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        flat = dict(nnx.to_flat_state(nnx.state(candidate)))
        carried = session.carried(state)
        filled = [(path, v.replace(carried[_name(path)])) for path, v in flat.items() if _name(path) in carried]
        nnx.update(candidate, nnx.from_flat_state(filled))
        tensors = [torch.from_numpy(np.array(value)).requires_grad_() for value in inputs]
        expected = _total(call.select(call.of(reference)(*tensors)), torch)
        expected.backward()
        got, gradients = nnx.value_and_grad(loss, argnums=tuple(range(len(inputs) + 1)))(candidate, *inputs)
        assert np.allclose(expected.item(), got)
        for tensor, gradient in zip(tensors, gradients[1:], strict=True):
            assert tensor.grad is None or np.allclose(tensor.grad.numpy(), gradient)
        by_path = {_name(path): np.asarray(variable[...]) for path, variable in nnx.to_flat_state(gradients[0])}
        back = session.pulled_back(by_path, state)
        for name, parameter in reference.named_parameters():
            assert parameter.grad is None or np.allclose(parameter.grad.numpy(), back[name])

    return lambda count: _seconds(lambda: [compare(next(rest)) for _ in range(count)])


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path))


def _bare(session: Session, inputs: list[tuple[np.ndarray, ...]]) -> Callable[[], float]:
    """Both frameworks' own compute on all inputs with one set of weights, compiled anew at the first call."""
    state, seed = session.state(0), 0
    program: Any = session.candidate
    train = session.modes[-1] == "train"
    leaves = session.carried(state)
    weights = Trial(session, Example(inputs[0]), "float64").weights(session.modes[-1])
    compiled = jax.jit(program.step(train), static_argnames="draws")
    given = [program.arguments(leaves, session.laid_out(x), "float64", cotangents=weights, seed=seed) for x in inputs]
    placed = jax.device_put(given[0][:2])
    model = session.reference
    module: Any = model.model.double().train(train)
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    parameters = [p for p in module.parameters() if p.requires_grad]

    def torchs(arrays: tuple[np.ndarray, ...]) -> None:
        tensors = [torch.from_numpy(x).requires_grad_() for x in arrays]
        total = _total(model.call.select(model.call.of(module)(*tensors)), torch)
        torch.autograd.grad(total, [*tensors, *parameters], allow_unused=True)

    def both() -> None:
        for arrays, arguments in zip(inputs, given, strict=True):
            torchs(arrays)
            jax.block_until_ready(compiled(*placed, *arguments[2:]))

    return lambda: _seconds(both)


def _total(result: Any, numbers: Any) -> Any:
    """The sum of all floating leaves, with which a gradient is usually taken."""
    leaves = [leaf for _, leaf in structure.leaves(result) if "float" in str(getattr(leaf, "dtype", ""))]
    return sum(numbers.sum(leaf) for leaf in leaves)


@contextmanager
def _double() -> Generator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with jax.enable_x64(True):
            yield
    finally:
        torch.set_default_dtype(before)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main(
    examples: Annotated[int, typer.Option(min=2, help="Examples of ours and of the bare compute.")] = 100,
    plain: Annotated[
        int, typer.Option(min=1, help="Examples of the plain way after its first; its rate is constant.")
    ] = 5,
    again: Annotated[bool, typer.Option("--again", help="All ways find their compiled programs on disk.")] = False,
) -> None:
    """Print examples per second of all three ways, and their ratios."""
    torch.set_num_threads(1)
    jax.config.update("jax_enable_compilation_cache", again)
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        _print_speeds(examples, plain, "compiled before" if again else "nothing compiled")


def _print_speeds(examples: int, plain: int, state: str) -> None:
    title = f"{examples} examples per configuration, float64, {jax.devices()[0].platform}, one thread, {state}"
    table = Table(title=title)
    for column in ("", "ours /s", "plain /s", "bare /s", "ours : plain", "time, ours : bare", "the same, once warm"):
        table.add_column(column, justify="right", no_wrap=not column)
    console = Console()
    for name, pair in subjects().items():
        with console.status(name):
            table.add_row(name, *measured(pair, examples, plain).shown())
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
