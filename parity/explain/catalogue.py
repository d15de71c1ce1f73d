"""The causes that can be named: a stable table of ids. Those of a known porting fault carry its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Entry:
    """A cause.

    Attributes:
      id: stable name.
      group: kind of code that it is made in.
      title: what is wrong, in a phrase.
      hint: what to do or to know; may be empty.
    """

    id: str
    group: str
    title: str
    hint: str = ""


_TABLE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "layout": (
        (
            "flatten-nhwc-order",
            "Features flattened in another axis order",
            "torch flattens (C, H, W); permute the next kernel's rows or transpose before flattening",
        ),
        ("linear-square-untransposed", "Square kernel not transposed", "torch stores (out, in), Flax (in, out)"),
        (
            "linear-reshaped",
            "Kernel reshaped instead of transposed",
            "transpose the kernel; a reshape keeps the memory order",
        ),
        ("conv-kernel-hw-swap", "Kernel height and width exchanged", "torch stores (O, I, H, W), Flax (H, W, I, O)"),
        ("conv-kernel-io-swap", "Kernel channels exchanged", "torch stores (O, I, …), Flax (…, I, O)"),
        ("conv-kernel-flip", "Kernel flipped", "both libraries correlate; do not flip"),
        (
            "head-merge-no-transpose",
            "Axes merged without the transposition",
            "move the head axis next to its features before reshaping",
        ),
        (
            "head-split-order",
            "Features split into heads in the other order",
            "reshape to (…, heads, size), not (…, size, heads)",
        ),
        (
            "repeat-vs-tile",
            "Repetition of blocks against elements",
            "Tensor.repeat is tile; jnp.repeat is repeat_interleave",
        ),
        ("pixel-shuffle-order", "Pixel shuffle packs in another order", "torch packs (C, r, r) along the channel"),
        ("unfold-patch-order", "Patches flattened in another order", "F.unfold is channel-major"),
        ("group-interleave", "Groups interleaved instead of contiguous", "group g holds channels g·C/G … (g+1)·C/G"),
        ("missing-keepdims", "Reduction without keepdims", "keep the reduced axis before broadcasting"),
        ("reduction-axis", "Reduction over another axis", "compare the axes of both reductions"),
        ("transpose-missing", "Transposition left out"),
        ("transpose-order", "Axes exchanged"),
        ("chunk-order", "Parts of a split exchanged"),
        ("concat-order", "Parts concatenated in another order"),
        ("flip-missing", "Flip left out"),
    ),
    "convolution": (
        (
            "conv-default-same",
            "SAME padding where torch pads explicitly",
            "Flax's Conv pads SAME by default; pass padding",
        ),
        ("conv-padding-valid", "No padding"),
        ("conv-padding", "Another padding"),
        ("stride-dropped", "Stride lost"),
        ("stride-order", "Strides of the axes exchanged"),
        (
            "pool-default-stride",
            "Pooling with another stride",
            "Flax pools with stride 1 by default, torch with the window's size",
        ),
        ("pool-padding", "Pooling with another padding"),
        ("pool-kind-swapped", "Another kind of pooling"),
        ("pool-divisor", "Another divisor in average pooling"),
        ("maxpool-zero-pad", "Max pooling padded with zeros", "pad with minus infinity"),
        ("avgpool-count-pad", "Padding counted in the average, or not", "match count_include_pad"),
        ("pool-ceil-mode", "Ceil mode lost, or cells outside counted"),
        ("adaptive-pool-bins", "Uneven adaptive bins replaced", "bin i covers floor(i·n/m) … ceil((i+1)·n/m)"),
        (
            "convtranspose-no-flip",
            "Transposed convolution with an unflipped kernel",
            "use transpose_kernel=True, or flip the spatial axes",
        ),
        (
            "convtranspose-same-shift",
            "Transposed convolution shifted",
            "SAME crops at another place than torch's padding",
        ),
        ("convtranspose-output-padding", "Output padding ignored"),
        ("dilation-kind-swapped", "Dilation of kernel and input exchanged, or lost"),
        ("pad-reflect-symmetric", "Another padding mode", "reflect does not repeat the border, symmetric does"),
        ("pad-order-reversed", "Padding of the axes exchanged", "F.pad lists the last axis first"),
        ("pad-value", "Padded with another value"),
        ("causal-pad-side", "Padding on the wrong side", "causal: all of it in front"),
        ("resize-align-corners", "Corners aligned, or not"),
        ("resize-mode", "Another interpolation"),
        ("resize-nearest-rounding", "Nearest neighbour rounded otherwise"),
        ("resize-antialias", "Antialiasing when shrinking", "jax.image.resize antialiases by default, torch does not"),
    ),
    "normalisation": (
        ("norm-epsilon", "Another epsilon", "Flax's default is 1e-6 (1e-5 in BatchNorm), torch's 1e-5"),
        ("gn-eps-default", "GroupNorm with Flax's default epsilon", "pass epsilon=1e-5"),
        ("rms-eps-default", "RMSNorm with Flax's default epsilon", "torch's eps=None is the dtype's epsilon"),
        ("bn-eps-keras", "BatchNorm with epsilon 1e-3"),
        ("norm-eps-outside-sqrt", "Epsilon added outside the root"),
        ("norm-ddof", "Variance over N − 1", "normalisation divides by N"),
        ("std-ddof", "Another divisor in the variance", "torch divides by N − 1, jnp by N"),
        ("one-pass-variance", "Variance as a difference of squares", "pass use_fast_variance=False"),
        ("norm-axis", "Statistics over other axes"),
        ("ln-normalized-shape", "Statistics over the last axis only", "pass reduction_axes"),
        ("gn1-as-layernorm", "GroupNorm of one group as LayerNorm", "the group spans the positions too"),
        ("norm-groups", "Another number of groups"),
        ("norm-order", "Another norm"),
        ("rms-as-layernorm", "Mean subtracted"),
        ("layernorm-as-rms", "Mean not subtracted"),
        ("norm-affine-dropped", "Scale or bias lost"),
        ("norm-affine-order", "Bias added before scaling"),
        ("norm-scale-offset", "Scale counted from one"),
        ("scale-bias-or-stats-swap", "Scale and bias, or mean and variance, exchanged"),
        ("bn-var-as-std", "Variance taken for the deviation"),
        (
            "bn-momentum-inverted",
            "Momentum not complemented",
            "torch's momentum is the weight of the new value: pass 1 − momentum",
        ),
        ("bn-momentum-default", "Flax's default momentum", "pass momentum=0.9 for torch's 0.1"),
        ("bn-momentum", "Another momentum"),
        ("bn-momentum-none", "Cumulative average against a moving one"),
        ("bn-running-var-biased", "Running variance is biased", "torch keeps the unbiased one"),
        ("bn-state-not-written", "Running statistics not written back"),
        ("bn-frozen-still-updates", "Running statistics move in eval mode"),
        ("bn-eval-uses-batch-stats", "The batch's statistics in eval mode", "pass use_running_average"),
        ("bn-train-uses-running-stats", "Running statistics in train mode"),
        ("l2norm-eps-form", "The floor of a length in another form", "torch divides by max(|x|, eps)"),
        ("lrn-alpha-per-n", "Alpha not divided by the window"),
        ("lrn-parameters", "Another parameter of the local response norm"),
    ),
    "activation": (
        ("gelu-tanh-default", "GELU in its tanh form", "pass approximate=False"),
        ("quickgelu-swap", "x·sigmoid(1.702 x) for GELU"),
        ("activation-swapped", "Another activation"),
        ("activation-missing", "No activation"),
        ("activation-limit-missing", "A limit is lost"),
        ("activation-axis", "Another axis"),
        ("limit-value", "Another limit"),
        ("hardsigmoid-keras", "Keras' hard sigmoid"),
        ("softplus-beta-dropped", "Another beta of softplus"),
        ("softplus-threshold", "No linear part of softplus"),
        ("elu-alpha-dropped", "Another alpha"),
        ("leaky-slope", "Another negative slope"),
        ("prelu-channel-axis", "Slopes along another axis"),
        ("prelu-slope-dropped", "Learned slopes ignored"),
        ("glu-halves-swapped", "Halves of a gated unit exchanged"),
        ("glu-halves-interleaved", "Halves of a gated unit interleaved"),
        ("relu-subgradient", "Another gradient at the kink", "torch's relu has gradient 0 at 0"),
        ("softmax-axis", "Softmax over another axis"),
        ("softmax-unshifted", "Softmax overflows", "subtract the maximum"),
        ("logsoftmax-naive", "Log of a softmax underflows", "use log_softmax"),
        ("logsigmoid-naive", "Log of a sigmoid underflows", "use log_sigmoid"),
        ("log1p-lost", "Small numbers lost beside one", "use log1p, expm1"),
    ),
    "attention": (
        ("attn-scale-dim", "Another scale of the logits", "1/sqrt of the head's size"),
        (
            "attn-mask-polarity",
            "Mask with the other polarity",
            "torch's MultiheadAttention blocks where True, Flax keeps",
        ),
        ("attn-mask-missing", "Mask not applied"),
        ("attn-finite-mask-value", "Blocked logits are finite"),
        ("causal-off-by-one", "Causal mask off by one"),
        ("causal-added", "Causal mask where there is none"),
        ("qkv-fused-order", "Queries, keys and values in another order"),
        ("head-count", "Another number of heads"),
        ("rope-pairing", "Rotary pairs taken otherwise", "halves against neighbours"),
        ("rope-base", "Another rotary base"),
    ),
    "recurrent": (
        ("gate-order", "Gates in another order", "torch's LSTM has i, f, g, o, its GRU r, z, n"),
        ("lstm-second-bias-dropped", "One of the two biases lost", "add both"),
        ("lstm-forget-offset", "Offset on the forget gate"),
        ("gru-reset-placement", "Reset before the recurrent kernel", "torch resets after it"),
        ("gru-candidate-bias-merged", "Candidate's recurrent bias outside the reset"),
        ("gru-update-polarity", "Update gate the other way round"),
        ("rnn-keep-order", "Backward direction in its own order", "pass keep_order=True"),
        ("birnn-direction-order", "Directions exchanged"),
        ("rnn-state-reset", "Initial state not used"),
    ),
    "embedding": (
        ("embedding-scale", "Factor on the rows"),
        ("position-offset", "Rows shifted"),
        ("embedding-padding-row", "Padding row blank, or not"),
        ("embedding-padding-grad", "Gradient of the padding row"),
        ("embedding-max-norm", "max_norm ignored"),
        ("embedding-grad-scaling", "scale_grad_by_freq ignored"),
        ("ids-low-precision", "Ids in a narrow format"),
        ("bag-mean-padding", "Padding counted in a bag"),
        ("bag-mode", "Another mode of a bag"),
        ("tied-weights-untied", "Tied weights are two copies"),
    ),
    "precision": (
        ("f32-island-in-f64", "Part of the candidate computes in float32"),
        ("conversion-downcast", "Weights went through a narrower format"),
        ("table-low-precision", "A table was built in a narrower format"),
    ),
    "loss": (
        ("loss-sum-vs-mean", "Sum against mean"),
        ("loss-factor", "A factor on the loss"),
        ("loss-root", "A root too many or too few"),
        ("loss-swapped", "Another loss"),
        ("mse-half", "Half the squared error", "optax.l2_loss has the 1/2"),
        ("smoothl1-vs-huber", "Smooth L1 against Huber", "they differ by the factor beta"),
        ("ce-ignore-index", "Ignored labels counted"),
        ("ce-class-weight-norm", "Class weights normalised otherwise"),
        ("label-smoothing", "Another smoothing"),
        ("label-smoothing-denominator", "Smoothing spread over the other classes", "torch spreads over all"),
        ("kl-reduction", "Another reduction of the divergence"),
        ("kl-log-target", "Target taken as logarithm, or not"),
        ("kl-argument-order", "Distributions exchanged"),
        ("bce-logits-naive", "Naive binary cross-entropy"),
        ("bce-clamp", "Logarithms limited otherwise", "torch keeps them above −100"),
        ("bce-pos-weight", "Positive weight ignored"),
        ("gaussian-nll-clamp", "Floor of the variance"),
        ("gaussian-nll-constant", "Constant term"),
        ("gaussian-nll-variance", "Deviation for variance"),
        ("poisson-log-input", "Rate or its logarithm"),
        ("poisson-full", "Stirling's term"),
        ("cosine-global", "Similarity over other axes"),
        ("pairwise-distance-eps", "Epsilon outside the difference"),
        ("l1-at-zero", "Gradient of |x| at 0"),
    ),
    "optimizer": (
        ("adamw-default-decay", "Weight decay of Optax's default", "torch's AdamW has 1e-2, optax.adamw 1e-4"),
        ("weight-decay", "Another weight decay"),
        ("decay-coupled", "Decay in the gradient against decay of the weights"),
        ("sgd-decay-after-momentum", "Decay added after the momentum"),
        ("decay-mask-missing", "Weights decayed that should not be"),
        ("sgd-dampening", "Momentum as an average"),
        ("nesterov-dropped", "Nesterov's step lost or added"),
        ("momentum-value", "Another momentum"),
        ("momentum-lr-inside", "Learning rate inside the momentum"),
        ("learning-rate", "Another learning rate"),
        ("schedule-off-by-one", "Learning rates shifted by a step"),
        ("adam-betas", "Other decay rates of the moments"),
        ("adam-eps", "Another epsilon"),
        ("adam-eps-inside-sqrt", "Epsilon inside the root"),
        ("adam-eps-hat", "Epsilon not corrected for bias"),
        ("adam-no-bias-correction", "Moments not corrected for bias"),
        ("amsgrad-dropped", "amsgrad lost or added"),
        ("rmsprop-decay-default", "Another decay of RMSprop"),
        ("adagrad-initial-accumulator", "Accumulator starts elsewhere"),
        ("frozen-params-move", "Frozen parameters move"),
        ("optimizer-does-nothing", "Parameters do not move"),
        ("gradient-factor", "A factor on the gradient"),
    ),
    "randomness": (
        ("dropout-keep-vs-drop", "Rate taken as the probability of keeping"),
        ("dropout-no-rescale", "Kept values not scaled up"),
        ("dropout-rate", "Another rate"),
        ("dropout-missing", "No dropout"),
        ("dropout-in-eval", "Dropout in eval mode"),
        ("dropout-eval-scaled", "Scaled in eval mode"),
    ),
    "indexing": (
        ("where-branches-swapped", "Branches exchanged"),
        ("roll-direction", "Rolled the other way"),
        ("cumsum-kind", "Another kind of cumulative sum"),
        ("inverse-permutation", "Inverse permutation"),
    ),
    "order": (
        ("argsort-descending-flip", "Equal keys in another order"),
        ("sort-direction", "Sorted the other way"),
        ("max-tie-gradient", "Gradient among equal maxima", "torch's max has one winner, jnp.max shares"),
        ("median-even", "Median of an even number", "torch takes the lower middle"),
        ("bucketize-side", "Bin of a value on an edge"),
    ),
    "integer": (
        ("floor-vs-trunc-division", "Division rounded otherwise"),
        ("remainder-sign", "Sign of a remainder"),
        ("rounding-mode", "Another rounding"),
    ),
    "gradient": (
        ("stop-gradient-extra", "A gradient is stopped"),
        ("stop-gradient-missing", "A gradient is not stopped"),
        ("custom-backward-dropped", "A backward rule is lost"),
        ("norm-at-zero", "Gradient of a length at 0"),
        ("prod-via-log", "Product by logarithms"),
    ),
    "conversion": (
        ("bias-dropped", "Bias lost"),
        ("bias-twice", "Bias added twice"),
        ("bias-sign", "Bias subtracted"),
    ),
    "arithmetic": (
        ("constant-differs", "Another constant"),
        ("constant-factor", "A factor on the whole result"),
        ("operand-dropped", "An operand is lost"),
        ("operand-order", "Operands exchanged"),
        ("operator-swapped", "Another operator"),
        ("sign-lost", "A sign or function is lost"),
    ),
}

CATALOGUE: Mapping[str, Entry] = MappingProxyType(
    {row[0]: Entry(row[0], group, *row[1:]) for group, rows in _TABLE.items() for row in rows}
)
"""Id → entry."""


def group_of(cause: str) -> str:
    """The group of a cause.

    Args:
      cause: id of the catalogue.

    Returns:
      Its group, `normalisation` for `norm-epsilon`.

    Example:
      >>> group_of("gelu-tanh-default")
      'activation'
    """
    return CATALOGUE[cause].group
