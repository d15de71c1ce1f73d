"""Rows of normalisations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as ln
import haiku as hk
import jax
import jax.numpy as jnp
import torch
from flax import nnx

from tests.weight_bridge.layer_table.row import (
    Absent,
    Port,
    Refused,
    Row,
    channels_last,
    equinox_port,
    first,
    haiku_port,
    last,
    linen_port,
    nnx_port,
    zeros,
)

EPS: dict[str, Any] = {"epsilon": 1e-5, "param_dtype": jnp.float64}
IMAGE = (2, 6, 5, 7)  # channels first
IMAGES = zeros(2, 5, 7, 6)
TWICE = frozenset[str]()


def _layer_norm(*, bias: bool = True) -> Row:
    return Row(
        lambda: torch.nn.LayerNorm(5, bias=bias),
        [(2, 5)],
        {
            "nnx": nnx_port(lambda rngs: nnx.LayerNorm(5, use_bias=bias, rngs=rngs, **EPS)),
            "linen": linen_port(lambda: ln.LayerNorm(use_bias=bias, **EPS), zeros(2, 5)),
            "equinox": equinox_port(lambda key: eqx.nn.LayerNorm(5, use_bias=bias)),
            "haiku": haiku_port(lambda x: hk.LayerNorm(-1, True, bias, eps=1e-5)(x), zeros(2, 5)),
        },
    )


RMS_NORM = Row(
    lambda: torch.nn.RMSNorm(5, eps=1e-5),
    [(2, 5)],
    {
        "nnx": nnx_port(lambda rngs: nnx.RMSNorm(5, rngs=rngs, **EPS)),
        "linen": linen_port(lambda: ln.RMSNorm(**EPS), zeros(2, 5)),
        "equinox": equinox_port(lambda key: eqx.nn.RMSNorm(5, eps=1e-5, use_bias=False)),
        "haiku": haiku_port(lambda x: hk.RMSNorm(-1, eps=1e-5)(x), zeros(2, 5)),
    },
)
GROUP_NORM = Row(
    lambda: torch.nn.GroupNorm(2, 6),
    [IMAGE],
    {
        "nnx": nnx_port(lambda rngs: nnx.GroupNorm(6, num_groups=2, rngs=rngs, **EPS), channels_last),
        "linen": linen_port(lambda: ln.GroupNorm(num_groups=2, **EPS), IMAGES, channels_last),
        "equinox": equinox_port(lambda key: eqx.nn.GroupNorm(2, 6)),
        "haiku": haiku_port(lambda x: first(hk.GroupNorm(2)(last(x))), zeros(*IMAGE)),
    },
)


def _instance_norm(*, tracked: bool) -> Row:
    def refused(target: Callable[[], Any], line: str) -> Refused:
        return Refused(target, line)

    def torch_layer() -> torch.nn.Module:
        return torch.nn.InstanceNorm2d(6, affine=True, track_running_stats=tracked)

    def nnx_layer(rngs: nnx.Rngs) -> nnx.Module:
        return nnx.InstanceNorm(6, rngs=rngs, **EPS)

    ports: dict[str, Port | Refused | Absent] = {
        "nnx": nnx_port(nnx_layer, channels_last),
        "linen": linen_port(lambda: ln.InstanceNorm(**EPS), IMAGES, channels_last),
        "equinox": equinox_port(lambda key: eqx.nn.GroupNorm(6, 6)),
        "haiku": haiku_port(lambda x: first(hk.InstanceNorm(True, True)(last(x))), zeros(*IMAGE)),
    }
    if tracked:
        kept = "running_mean: torch.InstanceNorm2d keeps running statistics (track_running_stats=True); {} keeps none"
        haiku_layer = hk.transform(lambda x: hk.InstanceNorm(True, True)(x))
        ports = {
            "nnx": refused(lambda: nnx_layer(nnx.Rngs(0)), kept.format("nnx.InstanceNorm")),
            "linen": refused(lambda: (ln.InstanceNorm(**EPS), IMAGES()), kept.format("linen.InstanceNorm")),
            "equinox": refused(lambda: eqx.nn.GroupNorm(6, 6), kept.format("equinox.GroupNorm")),
            "haiku": refused(lambda: (haiku_layer, IMAGES()), kept.format("haiku.InstanceNorm")),
        }
    return Row(torch_layer, [IMAGE], ports)


def _batch_norm(*, affine: bool, mode: str = "batch") -> Row:
    options: dict[str, Any] = {"use_running_average": True, "use_bias": affine, "use_scale": affine} | EPS

    def haiku_layer(x: jax.Array, training: bool = False) -> jax.Array:
        return first(hk.BatchNorm(affine, affine, 0.9)(last(x), is_training=training))

    def equinox_call(pair: Any, x: jax.Array) -> jax.Array:
        module, state = pair
        apply = jax.vmap(eqx.nn.inference_mode(module), in_axes=(0, None), out_axes=(0, None), axis_name="batch")
        return apply(x, state)[0]

    def equinox_layer(key: jax.Array) -> Any:
        del key
        return eqx.nn.make_with_state(eqx.nn.BatchNorm)(6, "batch", channelwise_affine=affine, mode=mode)

    return Row(
        lambda: torch.nn.BatchNorm2d(6, affine=affine),
        [IMAGE],
        {
            "nnx": nnx_port(lambda rngs: nnx.BatchNorm(6, rngs=rngs, **options), channels_last),
            "linen": linen_port(lambda: ln.BatchNorm(**options), IMAGES, channels_last),
            "equinox": equinox_port(equinox_layer, equinox_call),
            "haiku": haiku_port(haiku_layer, lambda: (jnp.zeros(IMAGE), True), state=True),
        },
    )


ROWS: dict[str, Row] = {
    "LayerNorm": _layer_norm(),
    "LayerNorm without bias": _layer_norm(bias=False),
    "RMSNorm": RMS_NORM,
    "GroupNorm": GROUP_NORM,
    "InstanceNorm": _instance_norm(tracked=False),
    "InstanceNorm with statistics": _instance_norm(tracked=True),
    "BatchNorm": _batch_norm(affine=True),
    "BatchNorm without affine": _batch_norm(affine=False),
    "BatchNorm, Equinox's ema mode": _batch_norm(affine=True, mode="ema"),
}
