"""From a plan to files: tensor by tensor, atomically, read back and proved before the output gets its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from weight_bridge._errors import ConversionError
from weight_bridge.bridge import nan_problems, unequal_problems
from weight_bridge.casts import CastLoss, cast_loss
from weight_bridge.checkpoint import Checkpoint, open_converted
from weight_bridge.plan import Plan, Step
from weight_bridge.spec import Array
from weight_bridge.transforms import Cast, Chain, chain
from weight_bridge.verify import Proof, verify
from weight_bridge.writers import place, sink
from weight_bridge.writers.staging import staged

METADATA = {"format": "flax", "producer": "weight_bridge"}

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Receipt:
    """What a conversion wrote.

    Args:
      out: where.
      leaves: how many.
      proof: what reading back established.
      losses: elements that a cast could not keep.
    """

    out: str
    leaves: int
    proof: Proof
    losses: tuple[CastLoss, ...]

    def to_json(self) -> str:
        """Returns the receipt as one JSON object."""
        return json.dumps(asdict(self), indent=2)


def convert_file(
    decided: Plan,
    checkpoint: Checkpoint,
    out: Path,
    *,
    file_format: str = "safetensors",
    allow_nan: bool = False,
    progress: Progress = lambda _: None,
) -> Receipt:
    """Carries a plan out to disk.

    Args:
      decided: the plan.
      checkpoint: the tensors it was made for.
      out: a file, or a folder to put `model.<format>` into.
      file_format: `safetensors`, `msgpack` or `orbax`.
      allow_nan: let tensors with NaN pass.
      progress: told the bytes of each step, twice: written and verified.

    Returns:
      What was written and proved.

    Raises:
      ConversionError: NaN, or tied tensors that differ; all are listed and nothing is written.
      WriteError: the place cannot be written.
      VerificationError: what was read back differs; nothing is left.
    """
    final = place(out, file_format)
    problems = unequal_problems(decided, checkpoint)
    losses: list[CastLoss] = []
    specs = {path: spec for step in decided.steps for path, spec in zip(step.targets, step.target_specs, strict=True)}
    with staged(final) as stage:
        with sink(file_format, stage.at, specs, METADATA) as output:
            for step in decided.steps:
                arrays = {name: checkpoint.tensors[name].read() for name in step.sources}
                problems += [] if allow_nan else nan_problems(arrays)
                results = step.apply(arrays)
                losses += step_losses(step, tuple(arrays.values()), results)
                for path, array in zip(step.targets, results, strict=True):
                    if not problems:
                        output.put(path, array)
                progress(sum(spec.nbytes for spec in step.target_specs))
            if problems:
                raise ConversionError(f"{checkpoint.origin} cannot be converted; nothing was written", problems)
        proof = verify(decided, checkpoint, open_converted(stage.at, file_format), progress=progress)
        stage.commit()
    return Receipt(str(final), len(specs), proof, tuple(losses))


def step_losses(step: Step, given: tuple[Array, ...], results: tuple[Array, ...]) -> list[CastLoss]:
    """Returns what a step's last cast lost."""
    parts = step.transform.parts if isinstance(step.transform, Chain) else (step.transform,)
    if not isinstance(parts[-1], Cast):
        return []
    before = chain(*parts[:-1]).apply(given)
    found = [cast_loss(path, b, a) for path, b, a in zip(step.targets, before, results, strict=True)]
    return [loss for loss in found if loss is not None]
