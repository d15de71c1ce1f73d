"""From a plan to files: piece by piece, atomically, read back and proved before the output gets its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from weight_bridge._errors import ConversionError
from weight_bridge.bridge import unequal_problems
from weight_bridge.casts import CastLoss
from weight_bridge.checkpoint import CONVERTED, Checkpoint, open_path
from weight_bridge.joint import rearranges
from weight_bridge.plan import Plan, Step
from weight_bridge.results import results
from weight_bridge.scan import nan_problems
from weight_bridge.verify import Proof, verify
from weight_bridge.writers import SHARD, Sink, output
from weight_bridge.writers.staging import staged

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
    shard: int = SHARD,
    progress: Progress = lambda _: None,
) -> Receipt:
    """Carries a plan out to disk; no more than the largest tensor and its result are in memory at once.

    Args:
      decided: the plan.
      checkpoint: the tensors it was made for.
      out: a file, or a folder to put `model.<format>` into.
      file_format: `safetensors`, `msgpack` or `orbax`.
      allow_nan: let tensors with NaN pass.
      shard: bytes above which safetensors in a folder are several files and an index.
      progress: told the bytes of each step, twice: written and verified.

    Returns:
      What was written and proved.

    Raises:
      ConversionError: NaN, or tied tensors that differ; all are listed and nothing is written.
      WriteError: the place cannot be written.
      VerificationError: what was read back differs; nothing is left.
    """
    specs = {path: spec for step in decided.steps for path, spec in zip(step.targets, step.target_specs, strict=True)}
    form = output(out, file_format, sum(spec.nbytes for spec in specs.values()), shard)
    problems = unequal_problems(decided, checkpoint)
    losses: list[CastLoss] = []
    with staged(form.place, sum(spec.nbytes for spec in specs.values())) as stage:
        with form.open(stage.at, specs, CONVERTED) as sink:
            for step in decided.steps:
                found, lost = _carried(step, checkpoint, None if problems else sink, allow_nan=allow_nan)
                problems += found
                losses += lost
                progress(sum(spec.nbytes for spec in step.target_specs))
            if problems:
                raise ConversionError(f"{checkpoint.origin} cannot be converted; nothing was written", problems)
        proof = verify(decided, checkpoint, open_path(stage.at, suffix=form.suffix), progress=progress)
        stage.commit()
    return Receipt(str(form.place), len(specs), proof, tuple(losses))


def _carried(
    step: Step, checkpoint: Checkpoint, sink: Sink | None, *, allow_nan: bool
) -> tuple[list[str], list[CastLoss]]:
    """Problems of one step's tensors, and what its cast lost; its leaves are written unless there are problems.

    Where a step only moves elements, NaN is looked for in what is written, while it is at hand.
    """
    arrays = {name: checkpoint.tensors[name].read() for name in step.sources}
    later = sink is not None and rearranges(step.transform)
    if problems := [] if allow_nan or later else nan_problems(arrays):
        return problems, []
    losses: list[CastLoss] = []
    suspect = False
    try:
        for result in results(step, arrays):
            if sink is not None:
                lost, nan = result.into(sink)
                losses += lost
                suspect |= nan
    except ConversionError as error:
        return [error.headline], []
    return (nan_problems(arrays) if suspect and later and not allow_nan else []), losses
