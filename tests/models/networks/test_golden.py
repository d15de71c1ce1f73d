"""Both frameworks reproduce the recorded runs of the original library."""

from __future__ import annotations

import pytest

from tests.models.networks.cases import load
from tests.models.networks.replay import run_nnx, run_torch, worst_errors

BOUND = 1e-10  # the project's promise; the measured errors are near 1e-15
CASES = [
    "attention1d_patch",
    "attention2d",
    "contrastive_nce",
    "conv1d_circular_dilated_batchnorm",
    "conv2d_batchnorm_reflect",
    "conv2d_group_pixelshuffle",
    "conv_transpose1d_batchnorm_eval",
    "conv_transpose2d_group_outpad",
    "decoder_convtranspose_linear",
    "decoder_resnet_shuffle_linear",
    "encoder_convnet_linear",
    "encoder_convnet_mlp_eval",
    "hyper_residual_block1d",
    "hypernet_cos_sin",
    "linear_siglu_eval_dropout",
    "mlp_layernorm",
    "mlp_rms_first_crrelu",
    "patch_embed",
    "positional_encoding",
    "residual_block_group_replicate",
    "resnet_unshuffle_batchnorm",
    "spatial_softmax",
    "transformer_projected",
    "unet1d_attention",
    "unet1d_plain",
    "unet2d_film_group",
    "vit_decoder",
    "vit_encoder_cls",
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("run", [run_torch, run_nnx], ids=["torch", "nnx"])
def test_reproduces_the_recorded_run(name, run, record_property):
    case = load(name)
    errors = worst_errors(case, run(case))
    record_property("errors", errors)
    assert max(errors.values()) < BOUND, errors
