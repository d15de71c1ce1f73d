"""Models as people name them, torch on the left, a JAX port's `structure.json` on the right, in one line per layer.

A line is `kind sizes name -> path`; a name and a path with `{i}` stand for blocks 0 and 1. Kinds: `linear` (out, in),
`plain` (the same without bias), `stored` (torch stores it as (in, out)), `conv` (out, in, *kernel), `embed`, `norm`,
`rms`, `batch`, `bare`, `lstm` (in, hidden; the target sums its two biases).
"""

from __future__ import annotations

from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]
NOWHERE = "nowhere"  # in place of a path or a name: that side lacks the layer


@dataclass(frozen=True)
class Structure:
    """Shapes of both sides, and which tensors belong into which leaf."""

    source: Shapes
    target: Shapes
    truth: dict[str, tuple[str, ...]]


def structure(text: str) -> Structure:
    """The structure that lines describe."""
    found = Structure({}, {}, {})
    for line in text.strip().splitlines():
        left, _, path = line.strip().partition(" -> ")
        kind, sizes, name = left.split()
        for i in (0, 1) if "{i}" in line else (0,):
            shape = tuple(map(int, sizes.split(",")))
            for ours, theirs, before, after in _tensors(kind, shape):
                key, leaf = name.replace("{i}", str(i)) + ours, path.replace("{i}", str(i)) + theirs
                if kind == "batch" and theirs in {"/mean", "/var"}:
                    leaf = f"batch_stats/{leaf.removeprefix('params/')}"
                if name != NOWHERE:
                    found.source[key] = before
                if path != NOWHERE:
                    found.target[leaf], found.truth[leaf] = after, (*found.truth.get(leaf, ()), key)
    return found


def _tensors(kind: str, shape: tuple[int, ...]) -> list[tuple[str, str, tuple[int, ...], tuple[int, ...]]]:
    """Suffixes and shapes of a layer's tensors on both sides."""
    bias = (".bias", "/bias", shape[:1], shape[:1])
    gain = (".weight", "/scale", shape, shape)
    match kind:
        case "linear":
            return [(".weight", "/kernel", shape, shape[::-1]), bias]
        case "plain":
            return [(".weight", "/kernel", shape, shape[::-1])]
        case "stored":
            return [(".weight", "/kernel", shape, shape), (".bias", "/bias", shape[1:], shape[1:])]
        case "conv":
            return [(".weight", "/kernel", shape, (*shape[2:], shape[1], shape[0])), bias]
        case "embed":
            return [(".weight", "/embedding", shape, shape)]
        case "norm":
            return [gain, bias]
        case "rms":
            return [gain]
        case "batch":
            stats = [(".running_mean", "/mean", shape, shape), (".running_var", "/var", shape, shape)]
            return [gain, bias, *stats]
        case "lstm":
            inputs, hidden = shape
            rows = 4 * hidden
            biases = [(f".bias_{part}_l0", "/cell/dense_h/bias", (rows,), (rows,)) for part in ("ih", "hh")]
            return [
                (".weight_ih_l0", "/cell/dense_i/kernel", (rows, inputs), (inputs, rows)),
                (".weight_hh_l0", "/cell/dense_h/kernel", (rows, hidden), (hidden, rows)),
                *biases,
            ]
        case "bare":
            return [("", "", shape, shape)]
        case _:
            raise ValueError(kind)


ACCEPTED: dict[str, str] = {
    "BERT": """
        embed 31,8 bert.embeddings.word_embeddings -> embeddings/word_embeddings
        embed 17,8 bert.embeddings.position_embeddings -> embeddings/position_embeddings
        norm 8 bert.embeddings.LayerNorm -> embeddings/LayerNorm
        linear 8,8 bert.encoder.layer.{i}.attention.self.query -> encoder/layer/{i}/attention/self/query
        linear 8,8 bert.encoder.layer.{i}.attention.self.key -> encoder/layer/{i}/attention/self/key
        linear 8,8 bert.encoder.layer.{i}.attention.self.value -> encoder/layer/{i}/attention/self/value
        linear 8,8 bert.encoder.layer.{i}.attention.output.dense -> encoder/layer/{i}/attention/output/dense
        linear 24,8 bert.encoder.layer.{i}.intermediate.dense -> encoder/layer/{i}/intermediate/dense
        linear 8,24 bert.encoder.layer.{i}.output.dense -> encoder/layer/{i}/output/dense
        norm 8 bert.encoder.layer.{i}.output.LayerNorm -> encoder/layer/{i}/output/LayerNorm""",
    "GPT-2, stored (in, out)": """
        embed 31,8 transformer.wte -> wte
        embed 17,8 transformer.wpe -> wpe
        norm 8 transformer.h.{i}.ln_1 -> h/{i}/ln_1
        stored 8,24 transformer.h.{i}.attn.c_attn -> h/{i}/attn/c_attn
        norm 8 transformer.h.{i}.ln_2 -> h/{i}/ln_2
        stored 8,32 transformer.h.{i}.mlp.c_fc -> h/{i}/mlp/c_fc
        stored 32,8 transformer.h.{i}.mlp.c_proj -> h/{i}/mlp/c_proj
        norm 8 transformer.ln_f -> ln_f""",
    "Llama": """
        embed 31,8 model.embed_tokens -> params/embed_tokens
        plain 8,8 model.layers.{i}.self_attn.q_proj -> params/layers_{i}/self_attn/q_proj
        plain 4,8 model.layers.{i}.self_attn.k_proj -> params/layers_{i}/self_attn/k_proj
        plain 4,8 model.layers.{i}.self_attn.v_proj -> params/layers_{i}/self_attn/v_proj
        plain 8,8 model.layers.{i}.self_attn.o_proj -> params/layers_{i}/self_attn/o_proj
        plain 20,8 model.layers.{i}.mlp.gate_proj -> params/layers_{i}/mlp/gate_proj
        plain 20,8 model.layers.{i}.mlp.up_proj -> params/layers_{i}/mlp/up_proj
        plain 8,20 model.layers.{i}.mlp.down_proj -> params/layers_{i}/mlp/down_proj
        rms 8 model.layers.{i}.input_layernorm -> params/layers_{i}/input_layernorm
        rms 8 model.layers.{i}.post_attention_layernorm -> params/layers_{i}/post_attention_layernorm
        rms 8 model.norm -> params/norm""",
    "T5": """
        embed 31,8 shared -> shared
        plain 8,8 encoder.block.{i}.layer.0.SelfAttention.q -> encoder/block/{i}/layer/0/SelfAttention/q
        plain 8,8 encoder.block.{i}.layer.0.SelfAttention.k -> encoder/block/{i}/layer/0/SelfAttention/k
        plain 8,8 encoder.block.{i}.layer.0.SelfAttention.v -> encoder/block/{i}/layer/0/SelfAttention/v
        rms 8 encoder.block.{i}.layer.0.layer_norm -> encoder/block/{i}/layer/0/layer_norm
        plain 24,8 encoder.block.{i}.layer.1.DenseReluDense.wi -> encoder/block/{i}/layer/1/DenseReluDense/wi
        plain 8,24 encoder.block.{i}.layer.1.DenseReluDense.wo -> encoder/block/{i}/layer/1/DenseReluDense/wo
        rms 8 encoder.final_layer_norm -> encoder/final_layer_norm""",
    "torchvision ResNet": """
        conv 8,3,7,7 conv1 -> params/conv1
        batch 8 bn1 -> params/bn1
        conv 8,8,3,3 layer1.{i}.conv1 -> params/layer1_{i}/conv1
        batch 8 layer1.{i}.bn1 -> params/layer1_{i}/bn1
        conv 8,8,3,3 layer1.{i}.conv2 -> params/layer1_{i}/conv2
        batch 8 layer1.{i}.bn2 -> params/layer1_{i}/bn2
        linear 5,8 fc -> params/fc""",
    "timm ViT": """
        bare 1,1,8 cls_token -> cls_token
        bare 1,17,8 pos_embed -> pos_embed
        conv 8,3,4,4 patch_embed.proj -> patch_embed/proj
        norm 8 blocks.{i}.norm1 -> blocks/{i}/norm1
        linear 24,8 blocks.{i}.attn.qkv -> blocks/{i}/attn/qkv
        linear 8,8 blocks.{i}.attn.proj -> blocks/{i}/attn/proj
        norm 8 blocks.{i}.norm2 -> blocks/{i}/norm2
        linear 32,8 blocks.{i}.mlp.fc1 -> blocks/{i}/mlp/fc1
        linear 8,32 blocks.{i}.mlp.fc2 -> blocks/{i}/mlp/fc2
        norm 8 norm -> norm
        linear 5,8 head -> head""",
    "wav2vec": """
        conv 8,1,10 wav2vec2.feature_extractor.conv_layers.0.conv -> feature_extractor/conv_layers_0/conv
        conv 8,8,3 wav2vec2.feature_extractor.conv_layers.1.conv -> feature_extractor/conv_layers_1/conv
        norm 8 wav2vec2.feature_projection.layer_norm -> feature_projection/layer_norm
        linear 12,8 wav2vec2.feature_projection.projection -> feature_projection/projection
        linear 12,12 wav2vec2.encoder.layers.{i}.attention.q_proj -> encoder/layers_{i}/attention/q_proj
        linear 12,12 wav2vec2.encoder.layers.{i}.attention.k_proj -> encoder/layers_{i}/attention/k_proj
        norm 12 wav2vec2.encoder.layers.{i}.layer_norm -> encoder/layers_{i}/layer_norm""",
    "U-Net": """
        linear 32,8 time_embedding.linear_1 -> time_embedding/linear_1
        linear 32,32 time_embedding.linear_2 -> time_embedding/linear_2
        conv 8,3,3,3 conv_in -> conv_in
        norm 8 down_blocks.{i}.resnets.0.norm1 -> down_blocks_{i}/resnets_0/norm1
        conv 8,8,3,3 down_blocks.{i}.resnets.0.conv1 -> down_blocks_{i}/resnets_0/conv1
        linear 8,32 down_blocks.{i}.resnets.0.time_emb_proj -> down_blocks_{i}/resnets_0/time_emb_proj
        conv 8,8,3,3 down_blocks.{i}.downsamplers.0.conv -> down_blocks_{i}/downsamplers_0/conv
        conv 3,8,3,3 conv_out -> conv_out""",
    "Sequential, indices with gaps": """
        linear 7,3 net.0 -> net/layers_0
        linear 7,7 net.2 -> net/layers_2
        linear 2,7 net.4 -> net/layers_4""",
    "DistributedDataParallel": """
        linear 7,3 module.fc1 -> fc1
        norm 7 module.norm -> norm
        linear 2,7 module.fc2 -> fc2""",
    "compiled and below a trainer": """
        linear 7,3 _orig_mod.fc1 -> model/fc1
        linear 2,7 _orig_mod.fc2 -> model/fc2""",
    "CLIP's text side": """
        embed 31,8 text_model.embeddings.token_embedding -> text_model/embeddings/token_embedding
        linear 8,8 text_model.encoder.layers.{i}.self_attn.k_proj -> text_model/encoder/layers/{i}/self_attn/k_proj
        linear 8,8 text_model.encoder.layers.{i}.self_attn.v_proj -> text_model/encoder/layers/{i}/self_attn/v_proj
        linear 8,8 text_model.encoder.layers.{i}.self_attn.out_proj -> text_model/encoder/layers/{i}/self_attn/out_proj
        linear 24,8 text_model.encoder.layers.{i}.mlp.fc1 -> text_model/encoder/layers/{i}/mlp/fc1
        plain 6,8 text_projection -> text_projection
        bare 1 logit_scale -> logit_scale""",
    "NeRF, skip connection": """
        linear 16,13 pts_linears.0 -> pts_linears_0
        linear 16,29 pts_linears.1 -> pts_linears_1
        linear 1,16 alpha_linear -> alpha_linear
        linear 3,16 rgb_linear -> rgb_linear""",
    "graph convolutions": """
        linear 9,5 convs.0.lin -> convs/0/lin
        linear 9,9 convs.1.lin -> convs/1/lin
        batch 9 norms.{i} -> norms/{i}
        linear 4,9 classifier -> classifier""",
    "actor and critic": """
        linear 8,5 actor.0 -> actor/layers/0
        linear 3,8 actor.2 -> actor/layers/2
        linear 8,5 critic.0 -> critic/layers/0
        linear 1,8 critic.2 -> critic/layers/2
        bare 3 log_std -> log_std""",
    "EfficientNet's squeeze": """
        conv 8,3,3,3 conv_stem -> conv_stem
        batch 8 bn1 -> bn1
        conv 2,8,1,1 blocks.{i}.se.conv_reduce -> blocks/{i}/se/conv_reduce
        conv 8,2,1,1 blocks.{i}.se.conv_expand -> blocks/{i}/se/conv_expand
        linear 5,8 classifier -> classifier""",
    "LSTM tagger": """
        embed 31,5 word_embeddings -> embed
        lstm 5,7 lstm -> lstm
        linear 3,7 hidden2tag -> tag""",
    "DenseNet": """
        conv 8,3,7,7 features.conv0 -> params/features/conv0
        batch 8 features.norm0 -> params/features/norm0
        batch 8 features.denseblock1.denselayer1.norm1 -> params/features/denseblock1_denselayer1/norm1
        conv 16,8,1,1 features.denseblock1.denselayer1.conv1 -> params/features/denseblock1_denselayer1/conv1
        batch 16 features.denseblock1.denselayer1.norm2 -> params/features/denseblock1_denselayer1/norm2
        conv 4,16,3,3 features.denseblock1.denselayer1.conv2 -> params/features/denseblock1_denselayer1/conv2
        batch 12 features.transition1.norm -> params/features/transition1/norm
        conv 6,12,1,1 features.transition1.conv -> params/features/transition1/conv
        batch 6 features.norm5 -> params/features/norm5
        linear 5,6 classifier -> params/classifier""",
    "Mixer": """
        linear 12,6 blocks.{i}.mlp_tokens.fc1 -> blocks_{i}/mlp_tokens/fc1
        linear 6,12 blocks.{i}.mlp_tokens.fc2 -> blocks_{i}/mlp_tokens/fc2
        linear 12,6 blocks.{i}.mlp_channels.fc1 -> blocks_{i}/mlp_channels/fc1
        linear 6,12 blocks.{i}.mlp_channels.fc2 -> blocks_{i}/mlp_channels/fc2""",
}

REFUSED: dict[str, str] = {
    "siblings renamed to words that say nothing": """
        plain 6,5 mlp.w1 -> mlp/alpha
        plain 6,5 mlp.w3 -> mlp/beta_net""",
    "an encoder and a decoder renamed alike": """
        linear 6,5 left.fc -> first/fc
        linear 6,5 right.fc -> second/fc""",
    "a head that the target lacks": """
        linear 6,5 body -> body
        plain 3,6 head -> nowhere""",
    "LoRA beside its base": """
        plain 6,5 base_model.model.q.base_layer -> q
        plain 2,5 base_model.model.q.lora_A.default -> q/lora_a
        plain 6,2 base_model.model.q.lora_B.default -> q/lora_b""",
    "an adapter without its base": """
        plain 6,5 nowhere -> q
        plain 2,5 base_model.model.q.lora_A -> nowhere
        plain 6,2 base_model.model.q.lora_B -> nowhere""",
    "a flattened image": """
        conv 4,3,3,3 features.0 -> features/layers_0
        linear 7,100 classifier.0 -> classifier/layers_0
        linear 5,7 classifier.2 -> classifier/layers_2""",
    "attention's parts renamed": """
        plain 8,8 attn.a -> attn/query
        plain 8,8 attn.b -> attn/key
        plain 8,8 attn.c -> attn/value""",
    "directions renamed": """
        plain 6,5 layer.fwd_a -> layer/x
        plain 6,5 layer.fwd_b -> layer/y""",
    "experts without numbers": """
        plain 6,5 experts.red -> experts/north
        plain 6,5 experts.blue -> experts/south""",
    "tables of one size": """
        embed 7,5 user -> left
        embed 7,5 item -> right""",
    "gains of one size": """
        rms 6 pre -> x1
        rms 6 post -> x2""",
}
