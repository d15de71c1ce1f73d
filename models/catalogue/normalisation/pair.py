"""The normalisation family's claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import nnx
from hypothesis import strategies as st

from models.catalogue.inputs import chosen, normal, shifted, tiny
from models.catalogue.normalisation import nnx as candidates
from models.catalogue.normalisation import rows_nnx
from models.catalogue.normalisation import torch as references
from models.catalogue.normalisation.config import NormConfig
from parity import Input, Pair, real
from weight_bridge import Mapping, Rule

COUNTED = Mapping(
    rules=(Rule(("norm.num_batches_tracked",), ("norm/num_batches_tracked",), why="weights the average"),)
)
"""Torch's counter of batches, which few ports need, is a buffer of this one."""


def _images(config: NormConfig) -> st.SearchStrategy[tuple[Input, ...]]:
    return st.just((real(3, config.channels, config.height, config.length),))


def _build(model: Callable[..., Any]) -> dict[str, Callable[[NormConfig], Any]]:
    return {"nnx": lambda config: model(config, rngs=nnx.Rngs(0))}


def _block(name: str, reference: Callable[[NormConfig], Any], candidate: Callable[..., Any]) -> Pair:
    return Pair(
        name=f"normalisation.{name}",
        reference=reference,
        candidates=_build(candidate),
        configs=st.just(NormConfig()),
        inputs=_images,
    )


BATCH_NORM = _block("batch_norm", references.BatchNormBlock, candidates.BatchNormBlock)
FROZEN_BATCH_NORM = _block("frozen_batch_norm", references.FrozenBatchNormBlock, candidates.FrozenBatchNormBlock)
GROUP_NORM = _block("group_norm", references.GroupNormBlock, candidates.GroupNormBlock)
ONE_GROUP = _block("one_group", references.OneGroupBlock, candidates.OneGroupBlock)
INSTANCE_NORM = _block("instance_norm", references.InstanceNormBlock, candidates.InstanceNormBlock)
RESPONSE_NORM = _block("response_norm", references.ResponseNormBlock, candidates.ResponseNormBlock)

CUMULATIVE_BATCH_NORM = Pair(
    name="normalisation.cumulative_batch_norm",
    reference=references.CumulativeBatchNorm,
    candidates=_build(candidates.CumulativeBatchNorm),
    configs=st.just(NormConfig()),
    inputs=lambda c: st.just((real(3, 5, c.width),)),
    mapping=COUNTED,
)

SHARDED_BATCH_NORM = Pair(
    name="normalisation.sharded_batch_norm",
    reference=references.ShardedBlock,
    candidates=_build(candidates.ShardedBlock),
    configs=st.just(NormConfig()),
    inputs=lambda c: st.just((real(2, 5, c.width),)),
    exempt={"sizes": "the candidate's batch is dealt out to two devices, so that it must be even"},
)

LAYER_NORM = Pair(
    name="normalisation.layer_norm",
    reference=references.LayerNormBlock,
    candidates=_build(rows_nnx.LayerNormBlock),
    configs=st.just(NormConfig()),
    inputs=lambda c: st.just((chosen(3, c.height, c.length, normal=normal, shifted=shifted),)),
    modes=("eval",),
)

RMS_NORM = Pair(
    name="normalisation.rms_norm",
    reference=references.RmsNormBlock,
    candidates=_build(rows_nnx.RmsNormBlock),
    configs=st.just(NormConfig()),
    inputs=lambda c: st.just((real(3, c.length),)),
    modes=("eval",),
)

ROWS = Pair(
    name="normalisation.rows",
    reference=references.Rows,
    candidates=_build(rows_nnx.Rows),
    configs=st.just(NormConfig()),
    inputs=lambda c: st.just((real(3, c.length),)),
    modes=("eval",),
)

UNIT = Pair(
    name="normalisation.unit",
    reference=lambda config: references.Unit(),
    candidates={"nnx": lambda config: rows_nnx.Unit()},
    inputs=lambda c: st.just((chosen(5, 3, normal=normal, tiny=tiny),)),
    modes=("eval",),
)
