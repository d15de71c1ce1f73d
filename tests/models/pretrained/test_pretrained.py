"""Pretrained weights out of installed packages: converted by the command without rules, as good in JAX as in torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import parity
from models.minilm import pretrained as minilm
from models.minilm.pair import SENTENCES
from models.silero import pretrained as silero
from models.silero.pair import VOICE
from tests.models.pretrained.measured import compared
from weight_bridge._cli import main

FLOAT64 = 1e-12
# Below float64 torch's own rounding is the yardstick, taken over all arrays: a small one may be luckier than most.
FLOAT32 = 4.0
TEXTS = (
    "A man is eating food.",
    "Someone has a meal.",
    "The girl is carrying a baby while the long train leaves the station.",
)


def converted_by_the_command(package: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    target, out = f"{package.__name__}:nnx", folder / "converted.safetensors"
    assert main(["convert", str(package.checkpoint()), str(out), "--target", target]) == 0
    return out, capsys.readouterr().out


def reference(package: Any) -> torch.nn.Module:
    model = package.torch_model()
    tensors = load_file(package.checkpoint())
    surplus = model.load_state_dict(tensors, strict=False)
    assert not surplus.missing_keys
    assert set(surplus.unexpected_keys) <= {"embeddings.position_ids"}
    return model


def called(model: Any, *inputs: Any) -> Any:
    return model(*inputs)


def heard(model: Any, *inputs: Any) -> Any:
    return dict(zip(("speech", "state"), model(*inputs), strict=True))


def assert_as_good(errors: tuple[dict[str, float], dict[str, float], dict[str, float]]) -> None:
    wide, single, narrow = errors
    assert max(wide.values()) < FLOAT64, max(wide.items(), key=lambda item: item[1])
    assert 0 < max(single.values()) < FLOAT32 * max(narrow.values()), max(single.items(), key=lambda item: item[1])


def test_minilm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, said = converted_by_the_command(minilm, tmp_path, capsys)
    assert "103 leaves" in said
    model = reference(minilm)
    # Softmax cancels a key's bias: its gradient is rounding, and is compared with the query's.
    biases = [name for name, _ in model.named_parameters() if name.endswith("self.key.bias")]
    scales = {name: name.replace("key", "query") for name in biases}
    assert_as_good(compared(model, minilm.nnx, path, called, minilm.tokenize(TEXTS), scales))


def test_silero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, said = converted_by_the_command(silero, tmp_path, capsys)
    assert "23 leaves" in said
    rng = np.random.default_rng(0)
    chunk = 0.1 * rng.standard_normal((3, silero.CONTEXT + silero.CHUNK))
    inputs = chunk, 0.3 * rng.standard_normal((2, 3, silero.CONFIG.channels[-1]))
    assert_as_good(compared(reference(silero), silero.nnx, path, heard, inputs, {}))


# Our name → the shipped program's, whose weights are others: it was trained for two sampling rates.
SHIPPED = {
    "stft_conv": "stft.forward_basis_buffer",
    "lstm_cell": "decoder.rnn",
    "final_conv": "decoder.decoder.2",
} | {f"conv{i + 1}": f"encoder.{i}.reparam_conv" for i in range(4)}


@pytest.mark.filterwarnings("ignore:`torch.jit.*deprecated:DeprecationWarning")  # the program is shipped in that form
def test_the_torch_detector_computes_what_the_program_of_the_package_does() -> None:
    shipped: Any = torch.jit.load(silero.folder() / "silero_vad.jit", map_location="cpu").eval()._model
    held = dict(shipped.state_dict())
    ours = silero.torch_model().eval()
    places = {name: SHIPPED[name.split(".")[0]] + name.removeprefix(name.split(".")[0]) for name in ours.state_dict()}
    ours.load_state_dict({name: held[place.replace("buffer.weight", "buffer")] for name, place in places.items()})
    rng = np.random.default_rng(1)
    state, theirs = torch.zeros(2, 2, 128), torch.zeros(2, 2, 128)
    for _ in range(4):
        chunk = torch.from_numpy(rng.standard_normal((2, silero.CONTEXT + silero.CHUNK)).astype(np.float32))
        with torch.no_grad():
            speech, state = ours(chunk, state)
            wanted, theirs = shipped(chunk, theirs)
        assert torch.equal(speech, wanted)
        assert torch.equal(state, theirs)


@pytest.mark.parity
@pytest.mark.parametrize("pair", [SENTENCES, VOICE], ids=lambda pair: re.split(" ", pair.name)[0])
def test_small_ones_with_drawn_weights(pair: parity.Pair) -> None:
    report = parity.check(pair, examples=2)
    assert report.ok, report
