"""Names of the positional arguments of torch functions; builtins do not tell them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONV_TRANSPOSE = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_MAX_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG_POOL = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
_RNN = ("input", "hx", "weights", "has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
_CELL = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
_LOSS = ("input", "target", "size_average", "reduce", "reduction")
_WEIGHTED = ("input", "target", "weight", "size_average")
_REDUCTION = ("input", "dim", "keepdim")
_PAIR = ("input", "other")

SIGNATURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "linear": ("input", "weight", "bias"),
        "bilinear": ("input1", "input2", "weight", "bias"),
        **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _CONV),
        **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _CONV_TRANSPOSE),
        "pad": ("input", "pad", "mode", "value"),
        **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _MAX_POOL),
        **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _AVG_POOL),
        **{f"adaptive_{kind}_pool{n}d": ("input", "output_size") for kind in ("avg", "max") for n in (1, 2, 3)},
        "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
        "unfold": ("input", "kernel_size", "dilation", "padding", "stride"),
        "pixel_shuffle": ("input", "upscale_factor"),
        "pixel_unshuffle": ("input", "downscale_factor"),
        "channel_shuffle": ("input", "groups"),
        "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
        "rms_norm": ("input", "normalized_shape", "weight", "eps"),
        "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
        "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
        "instance_norm": (
            *("input", "running_mean", "running_var", "weight", "bias"),
            *("use_input_stats", "momentum", "eps"),
        ),
        "local_response_norm": ("input", "size", "alpha", "beta", "k"),
        "normalize": ("input", "p", "dim", "eps", "out"),
        "gelu": ("input", "approximate"),
        "elu": ("input", "alpha", "inplace"),
        "celu": ("input", "alpha", "inplace"),
        "leaky_relu": ("input", "negative_slope", "inplace"),
        "softplus": ("input", "beta", "threshold"),
        "hardtanh": ("input", "min_val", "max_val", "inplace"),
        "hardshrink": ("input", "lambd"),
        "softshrink": ("input", "lambd"),
        "threshold": ("input", "threshold", "value", "inplace"),
        "prelu": ("input", "weight"),
        "glu": ("input", "dim"),
        "dropout": ("input", "p", "training", "inplace"),
        **dict.fromkeys(("softmax", "log_softmax", "softmin"), ("input", "dim")),
        "embedding": (
            *("input", "weight", "padding_idx", "max_norm", "norm_type"),
            *("scale_grad_by_freq", "sparse"),
        ),
        "scaled_dot_product_attention": (
            *("query", "key", "value", "attn_mask", "dropout_p", "is_causal"),
            *("scale", "enable_gqa"),
        ),
        "multi_head_attention_forward": (
            *("query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias"),
            *("bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias"),
        ),
        **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _RNN),
        **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _CELL),
        "mse_loss": (*_LOSS, "weight"),
        "l1_loss": (*_LOSS, "weight"),
        "smooth_l1_loss": (*_LOSS, "beta"),
        "huber_loss": ("input", "target", "reduction", "delta", "weight"),
        "kl_div": (*_LOSS, "log_target"),
        "cross_entropy": (*_WEIGHTED, "ignore_index", "reduce", "reduction", "label_smoothing"),
        "nll_loss": (*_WEIGHTED, "ignore_index", "reduce", "reduction"),
        "binary_cross_entropy": (*_WEIGHTED, "reduce", "reduction"),
        "binary_cross_entropy_with_logits": (*_WEIGHTED, "reduce", "reduction", "pos_weight"),
        "gaussian_nll_loss": ("input", "target", "var", "full", "eps", "reduction"),
        "poisson_nll_loss": (*("input", "target", "log_input", "full", "size_average", "eps"), "reduce", "reduction"),
        "cosine_similarity": ("x1", "x2", "dim", "eps"),
        "pairwise_distance": ("x1", "x2", "p", "eps", "keepdim"),
        **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "median", "logsumexp", "argmax"), _REDUCTION),
        **dict.fromkeys(("var", "std"), ("input", "dim")),
        "norm": ("input", "p", "dim", "keepdim"),
        **dict.fromkeys(("cumsum", "cumprod"), ("input", "dim")),
        **dict.fromkeys(("add", "sub", "mul", "div", "rsub", "rdiv", "pow", "rpow", "maximum", "minimum"), _PAIR),
        **dict.fromkeys(("floor_divide", "floordiv", "remainder", "fmod", "mod", "matmul", "bmm", "mm"), _PAIR),
        **dict.fromkeys(("clamp", "clip"), ("input", "min", "max")),
        "masked_fill": ("input", "mask", "value"),
        "where": ("condition", "input", "other"),
        **dict.fromkeys(("tril", "triu"), ("input", "diagonal")),
        "roll": ("input", "shifts", "dims"),
        "flip": ("input", "dims"),
        "sort": ("input", "dim", "descending"),
        "argsort": ("input", "dim", "descending"),
        "topk": ("input", "k", "dim", "largest", "sorted"),
        "cat": ("tensors", "dim"),
        "concat": ("tensors", "dim"),
        "stack": ("tensors", "dim"),
        "chunk": ("input", "chunks", "dim"),
        "split": ("tensor", "split_size", "dim"),
        "unbind": ("input", "dim"),
        "transpose": ("input", "dim0", "dim1"),
        "flatten": ("input", "start_dim", "end_dim"),
        "repeat_interleave": ("input", "repeats", "dim"),
        "gather": ("input", "dim", "index"),
        "bucketize": ("input", "boundaries"),
    }
)
"""Function → names of its positional arguments, in order."""
