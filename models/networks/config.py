"""Configuration of the networks: plain dataclasses shared by both frameworks; loads neither of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def load_config(path: str | Path) -> Any:
    """Read a YAML file with OmegaConf (which has to be installed).

    Args:
        path: File to read.

    Returns:
        The `omegaconf.DictConfig` or `ListConfig` that `OmegaConf.load` gives.
    """
    from omegaconf import OmegaConf

    return OmegaConf.load(path)


def _plain(value: Any) -> Any:
    """Return `value`, an OmegaConf container replaced by plain dicts and lists."""
    omegaconf = sys.modules.get("omegaconf")  # without that module there are no such containers
    if omegaconf is not None and isinstance(value, omegaconf.DictConfig | omegaconf.ListConfig):
        return omegaconf.OmegaConf.to_container(value, resolve=True)
    return value


def _plain_norm_cfg(norm: str, norm_cfg: Any) -> dict[str, Any]:
    return {} if norm == "none" else dict(norm_cfg)


class PlainFields:
    """Gives a config the method that rids it of OmegaConf containers."""

    def dictcfg2dict(self) -> None:
        """Replace OmegaConf containers in the fields by plain ones, in place, nested configs included."""
        assert is_dataclass(self)
        for entry in fields(self):
            value = _plain(getattr(self, entry.name))
            if isinstance(value, tuple):
                value = tuple(_plain(item) for item in value)
            setattr(self, entry.name, value)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, PlainFields):
                    item.dictcfg2dict()


@dataclass
class LinearConfig(PlainFields):
    """One dense layer: linear map, norm, activation, dropout.

    Args:
        activation: Name for `Activation`.
        norm: Kind of normalisation; other strings mean none.
        norm_cfg: Keywords for the norm, `normalized_shape` excepted; emptied when `norm` is `"none"`.
        dropout: Rate; 0 leaves the layer out.
        norm_first: Normalise the input instead of the linear map's output.
        bias: Whether the linear map has a bias.
    """

    activation: str
    norm: Literal["layer", "rms", "none"] = "none"
    norm_cfg: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    norm_first: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        self.norm_cfg = _plain_norm_cfg(self.norm, self.norm_cfg)


@dataclass
class MLPConfig(PlainFields):
    """A stack of dense layers.

    Args:
        hidden_dim: Width of the hidden layers.
        n_layers: Number of hidden layers; below 1 counts as 1.
        output_activation: Activation of the last layer.
        linear_cfg: Every layer; the last one without its norm.
    """

    hidden_dim: int
    n_layers: int
    output_activation: str
    linear_cfg: LinearConfig


@dataclass
class ConvConfig(PlainFields):
    """One convolution: convolution, norm, pixel shuffle, activation, dropout.

    Args:
        activation: Name for `Activation`.
        kernel_size: Width of the square kernel.
        stride: Step.
        padding: Cells added on each side.
        output_padding: Extra cells at the end, of transposed convolutions only.
        dilation: Spacing of the kernel's cells.
        groups: Number of channel groups.
        bias: Whether the convolution has a bias.
        padding_mode: What the padding holds.
        dropout: Rate; 0 leaves the layer out.
        norm: Kind of normalisation.
        norm_cfg: Keywords for the norm, its channel count excepted; emptied when `norm` is `"none"`.
        norm_first: Normalise the input instead of the convolution's output.
        scale_factor: Positive: shuffle channels into pixels; negative: pixels into channels; 0: neither.
    """

    activation: str
    kernel_size: int
    stride: int
    padding: int
    output_padding: int | tuple[int, ...] = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    padding_mode: PaddingMode = "zeros"
    dropout: float = 0.0
    norm: Literal["batch", "group", "none"] = "none"
    norm_cfg: dict[str, Any] = field(default_factory=dict)
    norm_first: bool = False
    scale_factor: int = 0

    def __post_init__(self) -> None:
        self.norm_cfg = _plain_norm_cfg(self.norm, self.norm_cfg)


@dataclass
class AttentionConfig:
    """Attention between patches of a feature map.

    Args:
        nhead: Number of heads.
        patch_size: Side of a patch.
    """

    nhead: int
    patch_size: int


@dataclass
class ConvNetConfig(PlainFields):
    """A stack of convolutions, as encoder or (transposed) decoder.

    Args:
        channels: Output channels of each layer, for decoders input channels.
        conv_cfgs: One config per layer.
        attention: Attention beside each layer.
        init_channel: Channels of the feature map that a decoder starts from.
    """

    channels: tuple[int, ...]
    conv_cfgs: tuple[ConvConfig, ...]
    attention: AttentionConfig | None = None
    init_channel: int = 16

    def __post_init__(self) -> None:
        self.channels = tuple(self.channels)
        self.conv_cfgs = tuple(self.conv_cfgs)

    def dictcfg2dict(self) -> None:
        super().dictcfg2dict()
        self.conv_cfgs = tuple(ConvConfig(**cfg) if isinstance(cfg, dict) else cfg for cfg in self.conv_cfgs)


@dataclass
class ResNetConfig(PlainFields):
    """A residual network with pixel shuffles, as encoder or decoder.

    Args:
        conv_channel: Channels inside.
        conv_kernel: Kernel of all layers but the outermost.
        f_kernel: Kernel of the layer next to the image.
        conv_activation: Activation of all layers but the decoder's last.
        out_activation: Activation of the decoder's last layer.
        n_res_blocks: Number of residual blocks.
        scale_factor: Scale of one resampling.
        n_scaling: Number of resamplings.
        norm: Kind of normalisation.
        norm_cfg: Keywords for the norm; emptied when `norm` is `"none"`.
        dropout: Rate; 0 leaves the layers out.
        init_channel: Channels of the feature map that a decoder starts from.
        padding_mode: What the padding holds.
        attention: Attention after each residual block.
    """

    conv_channel: int
    conv_kernel: int
    f_kernel: int
    conv_activation: str
    out_activation: str
    n_res_blocks: int
    scale_factor: int = 2
    n_scaling: int = 2
    norm: Literal["batch", "group", "none"] = "none"
    norm_cfg: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    init_channel: int = 16
    padding_mode: PaddingMode = "zeros"
    attention: AttentionConfig | None = None

    def __post_init__(self) -> None:
        self.norm_cfg = _plain_norm_cfg(self.norm, self.norm_cfg)


@dataclass
class TransformerConfig(PlainFields):
    """A transformer encoder.

    Args:
        d_model: Width of the tokens.
        nhead: Number of heads.
        dim_ff: Width inside the feed-forward part.
        n_layers: Number of layers.
        dropout: Rate.
        hidden_activation: Activation of the feed-forward part.
        output_activation: Activation after the output projection of `TransformerLayer`; its default is no
            known name and refused there.
    """

    d_model: int
    nhead: int
    dim_ff: int
    n_layers: int
    dropout: float = 0.1
    hidden_activation: Literal["ReLU", "GELU"] = "GELU"
    output_activation: str = "GeLU"


@dataclass
class ViTConfig(PlainFields):
    """A vision transformer, as encoder or decoder.

    Args:
        patch_size: Side of a patch.
        transformer_cfg: The blocks.
        cls_token: Prepend a class token, and read the result from it.
        init_channel: Unused.
        unpatchify: Unused.
        decoder_output_activation: Activation of a decoder's patches.
    """

    patch_size: int
    transformer_cfg: TransformerConfig
    cls_token: bool = True
    init_channel: int = 16
    unpatchify: bool = False
    decoder_output_activation: str = "Identity"


@dataclass
class UNetConfig:
    """A conditional U-Net.

    Args:
        channels: Channels of each level, from the full size down.
        conv_cfg: Every convolution; it has to keep the size.
        cond_pred_scale: Let the condition predict a scale beside the bias.
        nhead: Number of heads of the attention.
        has_attn: Whether there is attention; needs `nhead`.
        use_shuffle: Resample by pixel shuffles instead of strides.
        use_hypernet: Let a hypernetwork make the convolutions' weights (one-dimensional networks only).
        hyper_mlp_cfg: The hypernetwork's layers; None for a single linear map.

    Raises:
        AssertionError: `has_attn` without `nhead`.
    """

    channels: tuple[int, ...]
    conv_cfg: ConvConfig
    cond_pred_scale: bool = False
    nhead: int | None = None
    has_attn: bool = False
    use_shuffle: bool = False
    use_hypernet: bool = False
    hyper_mlp_cfg: MLPConfig | None = None

    def __post_init__(self) -> None:
        if self.has_attn:
            assert self.nhead is not None, "UNetConfig: has_attn=True needs nhead, got None"
        if isinstance(self.channels, list):
            self.channels = tuple(self.channels)


@dataclass
class SpatialSoftmaxConfig:
    """Expected pixel coordinates of each channel.

    Args:
        temperature: Divides the feature map; positive.
        eps: Unused.
        is_argmax: Weigh by the argmax, with the softmax's gradient.
        is_straight_through: Weigh by the softmax, with the identity added to its gradient.
        additional_layer: Layer behind it in an `Encoder`.
    """

    temperature: float = 1.0
    eps: float = 1e-6
    is_argmax: bool = False
    is_straight_through: bool = False
    additional_layer: MLPConfig | LinearConfig | None = None


@dataclass
class AdaptiveAveragePoolingConfig:
    """Average pooling to a given size.

    Args:
        output_size: Size of the result; an int stands for both axes.
        additional_layer: Layer behind it in an `Encoder`.
    """

    output_size: int | tuple[int, ...] = (1, 1)
    additional_layer: MLPConfig | LinearConfig | None = None

    def __post_init__(self) -> None:
        if isinstance(self.output_size, int):
            self.output_size = (self.output_size, self.output_size)
        elif isinstance(self.output_size, list):
            self.output_size = tuple(self.output_size)


@dataclass
class ContrastiveLearningConfig:
    """A contrastive loss.

    Args:
        dim_feature: Width of the embeddings.
        eval_func: The embedding networks.
        dim_input2: Unused.
        cross_entropy_like: Take the cross entropy of the score matrix.
    """

    dim_feature: int
    eval_func: MLPConfig
    dim_input2: int | None = None
    cross_entropy_like: bool = False


@dataclass
class SoftmaxTransConfig:
    """Soft one-hot code of numbers.

    Args:
        vector: Number of grid points.
        sigma: Width of the kernel.
        n_ignore: Number of trailing columns passed through.
        max: Last grid point.
        min: First grid point.
    """

    vector: int
    sigma: float
    n_ignore: int = 0
    max: float = 1.0
    min: float = -1.0


FullConnectionConfig = MLPConfig | LinearConfig | AdaptiveAveragePoolingConfig | SpatialSoftmaxConfig | None
BackboneConfig = ViTConfig | ConvNetConfig | ResNetConfig


@dataclass
class EncoderConfig(PlainFields):
    """An encoder: backbone and the layers behind it."""

    backbone: BackboneConfig
    full_connection: FullConnectionConfig


@dataclass
class DecoderConfig(PlainFields):
    """A decoder: the layers in front of the backbone, and the backbone."""

    backbone: BackboneConfig
    full_connection: MLPConfig | LinearConfig | None
