"""Ports as people write them, with layers as Flax ships them: each mistake is seen where it is made, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import parity
from tests.engine.explain.mistake import normal, spread

WIDTH, IDS = 6, np.array([[1, 4, 2, 10, 0], [3, 3, 7, 5, 9]])


class TorchBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 7)
        self.down = nn.Linear(7, WIDTH)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(self.down(nn.functional.gelu(self.up(self.norm(x)))))


class TorchLanguage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.positions = nn.Parameter(torch.randn(8, WIDTH))
        self.blocks = nn.ModuleList([TorchBlock(), TorchBlock()])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids) * WIDTH**0.5 + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x


class Block(nnx.Module):
    def __init__(self, *, tanh: bool, drops: bool) -> None:
        rngs = nnx.Rngs(0)
        self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.up, self.down = nnx.Linear(WIDTH, 7, rngs=rngs), nnx.Linear(7, WIDTH, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)
        self.tanh, self.drops = tanh, drops

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.down(nnx.gelu(self.up(self.norm(x)), approximate=self.tanh))
        return x + self.drop(y, deterministic=False if self.drops else None)


class Language(nnx.Module):
    """Its `nnx.Embed` keeps to float32 in a float64 run, as all of them do: an error that must not draw the blame."""

    def __init__(self, *, tanh: bool = False, scale: float = WIDTH**0.5, offset: int = 0, drops: bool = False) -> None:
        self.embed = nnx.Embed(11, WIDTH, rngs=nnx.Rngs(0))
        self.positions = nnx.Param(jnp.zeros((8, WIDTH)))
        self.blocks = nnx.List([Block(tanh=tanh, drops=drops) for _ in range(2)])
        self.scale, self.offset = scale, offset

    def __call__(self, ids: jax.Array) -> jax.Array:
        x = self.embed(ids) * self.scale + self.positions[...][self.offset : self.offset + ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x


class TorchRecurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0][:, -1]


class Recurrent(nnx.Module):
    def __init__(self, last: Callable[[jax.Array], jax.Array] = lambda y: y[:, -1]) -> None:
        self.lstm = nnx.RNN(nnx.OptimizedLSTMCell(5, 7, rngs=nnx.Rngs(0)))
        self.last = last

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(self.lstm(x))


class TorchImage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.out = nn.Linear(3 * 4 * 5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.conv(x)).flatten(1))


class Image(nnx.Module):
    def __init__(self) -> None:
        self.conv = nnx.Conv(2, 3, (3, 3), padding=1, rngs=nnx.Rngs(0))
        self.out = nnx.Linear(60, 2, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:  # (B, H, W, 2)
        return self.out(nnx.relu(self.conv(x)).transpose(0, 3, 2, 1).reshape(len(x), -1))


class TorchRootMeanSquare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class RootMeanSquare(nnx.Module):
    def __init__(self) -> None:
        self.weight = nnx.Param(jnp.ones(WIDTH))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x / (jnp.sqrt(jnp.square(x).mean(-1, keepdims=True)) + 1e-5) * self.weight[...]


TABLE: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any], np.ndarray, str, str]] = {
    "GELU with tanh": (TorchLanguage, lambda: Language(tanh=True), IDS, "gelu-tanh-default", "blocks.0"),
    "no sqrt(d)": (TorchLanguage, lambda: Language(scale=1.0), IDS, "embedding-scale", ""),
    "positions from one": (TorchLanguage, lambda: Language(offset=1), IDS, "position-offset", ""),
    "dropout in evaluation": (TorchLanguage, lambda: Language(drops=True), IDS, "dropout-in-eval", "blocks.0.drop"),
    "mean of the steps": (TorchRecurrent, lambda: Recurrent(lambda y: y.mean(1)), normal(3, 4, 5), "index-differs", ""),
    "width before height": (TorchImage, Image, normal(3, 2, 4, 5), "flatten-order", ""),
    "epsilon outside": (TorchRootMeanSquare, RootMeanSquare, normal(3, WIDTH), "norm-eps-outside-sqrt", ""),
}


@pytest.mark.parametrize("mistake", TABLE)
def test_a_mistake_is_seen_where_it_is_made_and_named(mistake: str) -> None:
    reference, candidate, x, cause, where = TABLE[mistake]
    layout = {"input[0]": "NCHW->NHWC"} if x.ndim == 4 else None
    report = parity.compare(spread(reference()), candidate(), x, layout=layout, checks=("forward",))
    assert report.divergence is not None, report
    assert (report.divergence.reference, report.divergence.introduced) == (where, True), report
    assert [found.id for found in report.causes[:1]] == [cause], report


def test_a_stock_recurrent_layer_runs_in_float64() -> None:
    report = parity.compare(TorchRecurrent(), Recurrent(), normal(3, 4, 5), checks=("forward", "param_grad"))
    assert report.ok, report
    assert {result.verdict for result in report.results} == {"parity"}


def test_a_format_that_is_let_pass_is_shown_with_its_place() -> None:
    report = parity.compare(spread(TorchLanguage()), Language(), IDS, checks=("forward",))
    assert report.ok, report
    (note,) = [note for note in report.notes if note.startswith("precision mode")]
    assert "the candidate leaves the float64 run, conversion in float32 at " in note
    assert "test_ports.py" in note, "the line of the model's own code, and not of Flax's"
