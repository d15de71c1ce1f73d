"""Small networks in torch, NNX and linen, right as they stand; mistakes are put into them by tests."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from flax import linen, nnx
from torch import nn

WIDTH, HEADS, TIME = 12, 3, 5


class TorchBlock(nn.Module):
    """A transformer block, normalisation first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = (part.reshape(b, t, HEADS, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        logits = q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5
        keep = torch.ones(t, t, dtype=torch.bool).tril()
        mixed = torch.softmax(logits.masked_fill(~keep, -torch.inf), -1) @ v
        return self.out(mixed.transpose(1, 2).reshape(b, t, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TorchEncoder(nn.Module):
    """Embedding, blocks and a head that shares nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.blocks = nn.ModuleList([TorchBlock() for _ in range(2)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 7)

    def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.embed(ids) * WIDTH**0.5
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {"logits": self.head(x), "last": x[:, -1]}


class Mlp(nnx.List):
    """Members under torch's indices, called in turn."""

    def __call__(self, x: Any) -> Any:
        for member in self:
            x = member(x)
        return x


def exact_gelu(x: Any) -> Any:
    return jax.nn.gelu(x, approximate=False)


class Block(nnx.Module):
    """`TorchBlock`."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.qkv = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs)
        self.out = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm2 = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.mlp = Mlp([nnx.Linear(WIDTH, 2 * WIDTH, rngs=rngs), exact_gelu, nnx.Linear(2 * WIDTH, WIDTH, rngs=rngs)])
        self.scale = (WIDTH // HEADS) ** -0.5
        self.diagonal = 0
        self.heads_last = False
        self.residual = 1.0

    def attend(self, x: Any) -> Any:
        b, t, _ = x.shape
        q, k, v = (part.reshape(b, t, HEADS, -1).swapaxes(1, 2) for part in jnp.split(self.qkv(x), 3, -1))
        logits = q @ k.swapaxes(-1, -2) * self.scale
        keep = jnp.tril(jnp.ones((t, t), bool), self.diagonal)
        mixed = jax.nn.softmax(jnp.where(keep, logits, -jnp.inf)) @ v
        mixed = mixed if self.heads_last else mixed.swapaxes(1, 2)
        return self.out(mixed.reshape(b, t, WIDTH))

    def __call__(self, x: Any) -> Any:
        x = x * self.residual + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Rows(nnx.Embed):
    """An embedding in the format of its rows; Flax's own keeps the format that it was built in."""

    def __call__(self, inputs: Any) -> Any:
        return self.embedding[...][inputs]


class Encoder(nnx.Module):
    """`TorchEncoder`."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.embed = Rows(11, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(WIDTH, 7, rngs=rngs)
        self.factor = WIDTH**0.5

    def __call__(self, ids: Any) -> dict[str, Any]:
        x = self.embed(ids) * self.factor
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {"logits": self.head(x), "last": x[:, -1]}


class TorchConvNet(nn.Module):
    """Convolution, batch norm, pooling, group norm, flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.LeakyReLU(0.2)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.gn = nn.GroupNorm(2, 6)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(6 * 2 * 3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, 3, 8, 11)
        x = self.pool(self.act(self.bn(self.conv1(x))))
        x = torch.relu(self.gn(self.conv2(x)))
        return self.fc(self.flatten(x))


class ConvNet(linen.Module):
    """`TorchConvNet` in linen, channels last inside, channels flattened first."""

    epsilon: float = 1e-5
    momentum: float = 0.9
    slope: float = 0.2
    group_epsilon: float = 1e-5
    padding: Any = 1
    window_stride: int = 2
    channels_last: bool = False
    groups: int = 2

    def setup(self) -> None:
        self.conv1 = linen.Conv(4, (3, 3), padding=1)
        self.bn = linen.BatchNorm(momentum=self.momentum, epsilon=self.epsilon)
        self.conv2 = linen.Conv(6, (3, 3), strides=(2, 2), padding=self.padding)
        self.gn = linen.GroupNorm(num_groups=self.groups, epsilon=self.group_epsilon)
        self.fc = linen.Dense(5)

    def __call__(self, x: Any, train: bool = False) -> Any:  # (B, 3, 8, 11)
        x = self.bn(self.conv1(x.transpose(0, 2, 3, 1)), use_running_average=not train)
        x = jax.nn.leaky_relu(x, self.slope)
        x = linen.max_pool(x, (2, 2), (2, 2))
        x = jax.nn.relu(self.gn(self.conv2(x)))
        x = x if self.channels_last else x.transpose(0, 3, 1, 2)
        return self.fc(x.reshape(x.shape[0], -1))


class TorchTwice(nn.Module):
    """One layer called twice, one shared under two names, a tuple as result."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.first = nn.Linear(6, 6)
        self.second = self.first

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        x = torch.tanh(self.mix(x))
        y = torch.tanh(self.mix(y))
        z = self.norm(self.first(x) * self.second(y))
        return z, (self.norm(x),)


class Twice(nnx.Module):
    """`TorchTwice`."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.mix = nnx.Linear(6, 6, rngs=rngs)
        self.norm = nnx.LayerNorm(6, epsilon=1e-5, rngs=rngs)
        self.first = nnx.Linear(6, 6, rngs=rngs)
        self.second = self.first
        self.stop = False
        self.wrong_second = False

    def __call__(self, x: Any, y: Any) -> tuple[Any, tuple[Any]]:
        x = jnp.tanh(self.mix(x))
        y = jnp.tanh(self.mix(y))
        y = jax.lax.stop_gradient(y) if self.stop else y
        y = y * 1.1 if self.wrong_second else y
        z = self.norm(self.first(x) * self.second(y))
        return z, (self.norm(x),)
