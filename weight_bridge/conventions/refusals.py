"""Tensors and leaves for which no weights can do, told by name or type; the message says what can be done."""

from __future__ import annotations

import re
from collections.abc import Iterable

from weight_bridge.structure import Layer
from weight_bridge.units import Owner, Tensors

_ADAPTER = re.compile(r"(^|\.)(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|modules_to_save|ia3_l)(\.|$)")
_PREFIX = "base_model.model."


def adapters(names: Iterable[str]) -> tuple[str, tuple[str, ...]] | None:
    """Returns the line that refuses a PEFT checkpoint, and the names it accounts for; None for any other checkpoint.

    Args:
      names: of every tensor that no written rule uses.
    """
    listed = tuple(names)
    found = [name for name in listed if _ADAPTER.search(name)]
    if not found:
        return None
    whole = any(".base_layer." in name for name in listed)
    what = "a model with LoRA adapters beside its weights" if whole else "a PEFT adapter without its base model"
    merge = "Merge it in torch" if whole else "Load it onto its base in torch (PeftModel.from_pretrained), merge it"
    return (
        f"{found[0]} and {len(found) - 1} more: {what}; its scaling is not in the tensors. "
        f"{merge} (model.merge_and_unload()) and convert the merged state dict"
    ), listed if not whole or all(name.startswith(_PREFIX) for name in listed) else tuple(found)


def of_tensor(owner: Owner, label: str, layer: Layer | None, tensors: Tensors) -> str | None:
    """Returns why no target can take a tensor of the checkpoint, where its layer is the reason.

    Args:
      owner: the module that holds it.
      label: its name there.
      layer: that module's type, if known.
      tensors: the checkpoint's, by owner.
    """
    kind = layer.kind if layer is not None else ""
    held = tensors.owners.get(owner, {})
    if label in {"bias_k", "bias_v"} and ("in_proj_weight" in held or "q_proj_weight" in held):
        return "torch's MultiheadAttention was built with add_bias_kv=True; no target appends a learned key and value"
    if label.startswith("weight_hr") and any(name.startswith("weight_hh") for name in held):
        return "torch's LSTM was built with proj_size; no target projects the hidden state"
    if label in {"running_mean", "running_var"} and "InstanceNorm" in kind:
        return f"{layer} keeps running statistics (track_running_stats=True); no target's instance normalisation does"
    if "parametrizations" in owner:
        return (
            "a parametrization that is neither weight_norm nor spectral_norm; "
            "torch.nn.utils.parametrize.remove_parametrizations puts the weight itself into the state dict"
        )
    return None


def of_leaf(owner: Owner, label: str, layer: Layer | None) -> str | None:
    """Returns why no checkpoint can fill a leaf, where its layer is the reason."""
    kind = layer.kind if layer is not None else ""
    wrapped = "SpectralNorm" in kind or any(part.lower().replace("_", "").startswith("spectralnorm") for part in owner)
    kept = re.findall(r"\w+", label)[-1:]
    if wrapped and "equinox" not in kind and kept in (["u"], ["u0"], ["sigma"], ["sigma0"]):
        return (
            "this spectral normalisation iterates once more in each call, torch's does not in evaluation; "
            "build the plain layer, which takes the normalised weight"
        )
    return None
