"""The command line: options in, exit codes out. 0 done and verified, 1 refused and nothing written, 2 usage error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from weight_bridge import mapping as written
from weight_bridge._errors import UsageError, WeightBridgeError
from weight_bridge.bridge import plan as make_plan
from weight_bridge.checkpoint import Checkpoint, describe, open_checkpoint, open_module
from weight_bridge.conversion import convert_file
from weight_bridge.plan import Plan
from weight_bridge.proving import prove as by_running
from weight_bridge.reversion import revert_file
from weight_bridge.source import source_module
from weight_bridge.verify import verify as verify_files
from weight_bridge.writers.staging import staged

app = typer.Typer(
    help="Torch checkpoints into JAX models and back: plan, prove, refuse; never lose a bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """Output formats."""

    safetensors = "safetensors"
    orbax = "orbax"
    msgpack = "msgpack"


class Dtype(StrEnum):
    """Floating dtypes to cast to."""

    keep = "keep"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


CheckpointPath = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="A .safetensors file, its index, a folder, or .pt/.pth/.bin.")
]
TargetName = Annotated[str, typer.Option("--target", help="package.module:callable, or structure.json.")]
SourceName = Annotated[str | None, typer.Option("--source", help="package.module:callable of the torch module.")]
MappingFile = Annotated[Path | None, typer.Option("--mapping", help="Rules in TOML, for what inference cannot know.")]
Key = Annotated[str | None, typer.Option("--key", help="Where the state dict is in a trainer's checkpoint: a.b")]
Drop = Annotated[list[str] | None, typer.Option("--drop", help="Pattern of tensors that may stay unused.")]
Missing = Annotated[list[str] | None, typer.Option("--allow-missing", help="Pattern of leaves that may stay empty.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what is only assumed.")]
CastTo = Annotated[Dtype, typer.Option("--dtype", help="Cast floating leaves.")]
AllowNan = Annotated[bool, typer.Option("--allow-nan", help="Let tensors with NaN pass.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def inspect(checkpoint: CheckpointPath, key: Key = None, as_json: AsJson = False) -> None:
    """Show names, shapes, dtypes, bytes and shared storage; headers only are read."""
    opened = open_checkpoint(checkpoint, key=key)
    records = describe(opened)
    if as_json:
        _emit({"checkpoint": opened.origin, "tensors": records})
        return
    for record in records:
        shared = f"  = {record['shares_storage_with']}" if record["shares_storage_with"] else ""
        typer.echo(f"{record['name']}  {record['dtype']}{record['shape']}  {record['bytes']} bytes{shared}")
    once = [record for record in records if not record["shares_storage_with"]]
    typer.echo(f"{len(records)} tensors, {sum(record['bytes'] for record in once)} bytes")


@app.command()
def plan(
    checkpoint: CheckpointPath,
    target: TargetName,
    source: SourceName = None,
    mapping: MappingFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write the complete mapping as TOML.")] = None,
    key: Key = None,
    drop: Drop = None,
    allow_missing: Missing = None,
    strict: Strict = False,
    dtype: CastTo = Dtype.keep,
    as_json: AsJson = False,
) -> None:
    """Show the mapping that a conversion would use, and why; no tensor is read."""
    opened = open_checkpoint(checkpoint, key=key)
    decided = _plan(opened, target, source, mapping, drop, allow_missing, strict, dtype)
    if save is not None:
        with staged(save) as stage:
            stage.at.write_text(written.dumps(decided.to_mapping()), encoding="utf-8")
            stage.commit()
    typer.echo(decided.to_json() if as_json else str(decided))


@app.command()
def convert(
    checkpoint: CheckpointPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file, or a folder for model.<format>.")],
    target: TargetName,
    source: SourceName = None,
    mapping: MappingFile = None,
    file_format: Annotated[Format, typer.Option("--format", help="Kind of output.")] = Format.safetensors,
    max_shard_size: Annotated[
        str, typer.Option("--max-shard-size", help="Larger safetensors in a folder become several files: 500MB, 5GB.")
    ] = "5GB",
    dtype: CastTo = Dtype.keep,
    drop: Drop = None,
    allow_missing: Missing = None,
    strict: Strict = False,
    allow_nan: AllowNan = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Plan, stream, write atomically, read back and verify."""
    opened = open_checkpoint(checkpoint, key=key)
    decided = _plan(opened, target, source, mapping, drop, allow_missing, strict, dtype)
    total = 2 * sum(spec.nbytes for step in decided.steps for spec in step.target_specs)
    with _progress("converting", total) as progress:
        options: dict[str, Any] = {"file_format": file_format.value, "shard": _bytes(max_shard_size)}
        receipt = convert_file(decided, opened, out, **options, allow_nan=allow_nan, progress=progress)
    for loss in receipt.losses:
        _say(f"warning: {loss}")
    notes = [f"ignored {entry.name}: {entry.reason}" for entry in decided.ignored]
    notes += [f"left empty {entry.path}: {entry.reason}" for entry in decided.unfilled]
    for note in notes:
        _say(note)
    if as_json:
        _emit({**asdict(receipt), "verdicts": decided.counts(), "notes": notes})
        return
    counts = ", ".join(f"{number} {verdict}" for verdict, number in decided.counts().items())
    typer.echo(f"{receipt.out}: {receipt.leaves} leaves ({counts}); verified: {receipt.proof}")


@app.command()
def revert(
    converted: Annotated[Path, typer.Argument(metavar="CONVERTED", help="What convert wrote, trained since or not.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .safetensors or .pt file.")],
    target: TargetName,
    source: Annotated[str, typer.Option("--source", help="The checkpoint, or package.module:callable of the module.")],
    mapping: MappingFile = None,
    key: Key = None,
    drop: Drop = None,
    allow_missing: Missing = None,
    strict: Strict = False,
    allow_nan: AllowNan = False,
    as_json: AsJson = False,
) -> None:
    """Carry a converted state back to a torch state dict."""
    found = open_checkpoint(converted)
    base = _base(source, key)
    decided = _plan(base, target, None, mapping, drop, allow_missing, strict, Dtype.keep)
    with _progress("reverting", 2 * sum(tensor.spec.nbytes for tensor in base.tensors.values())) as progress:
        reverted = revert_file(decided, found, base, out, allow_nan=allow_nan, progress=progress)
    for line in [
        *map(str, reverted.losses),
        *reverted.folded,
        *(f"{name}: neither leaf nor source holds it" for name in reverted.absent),
    ]:
        _say(f"warning: {line}")
    if as_json:
        _emit(asdict(reverted))
        return
    kept = f"; {', '.join(reverted.restored)} as in the source" if reverted.restored else ""
    typer.echo(f"{reverted.out}: {reverted.tensors} tensors, read back bit for bit{kept}")


@app.command()
def verify(
    target: TargetName,
    checkpoint: Annotated[
        str | None,
        typer.Argument(metavar="CHECKPOINT", help="What was converted; with --prove, the source by default."),
    ] = None,
    converted: Annotated[
        Path | None, typer.Argument(metavar="CONVERTED", help="What convert wrote; with --prove it may be left out.")
    ] = None,
    source: SourceName = None,
    mapping: MappingFile = None,
    key: Key = None,
    drop: Drop = None,
    allow_missing: Missing = None,
    strict: Strict = False,
    dtype: CastTo = Dtype.keep,
    by_gradients: Annotated[
        bool, typer.Option("--prove", help="Run both models; gradients must agree leaf by leaf.")
    ] = False,
    inputs: Annotated[
        str | None,
        typer.Option("--inputs", help="package.module:callable of the inputs to run with, as torch has them."),
    ] = None,
    layout: Annotated[str | None, typer.Option("--layout", help="How the target's axes differ: NCHW->NHWC.")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove an existing conversion against its checkpoint; with --prove, the mapping itself by gradients."""
    if by_gradients and source is None:
        raise UsageError("--prove runs both models; say --source package.module:callable")
    if not by_gradients and (checkpoint is None or converted is None):
        raise UsageError("verify needs CHECKPOINT and CONVERTED, or --prove")
    opened = _base(source or "", key) if checkpoint is None else open_checkpoint(checkpoint, key=key)
    decided = _plan(opened, target, source, mapping, drop, allow_missing, strict and not by_gradients, dtype)
    record: dict[str, Any] = {"ok": True, "checkpoint": opened.origin}
    if by_gradients:
        decided = by_running(decided, source, target, inputs=inputs, layout=layout)
        record |= {"verdicts": decided.counts(), "notes": list(decided.notes)}
    done = None
    if converted is not None:
        found = open_checkpoint(converted)
        with _progress("verifying", sum(s.nbytes for step in decided.steps for s in step.target_specs)) as progress:
            done = verify_files(decided, opened, found, progress=progress)
        record |= {"converted": found.origin, **asdict(done)}
    if as_json:
        _emit(record)
        return
    if by_gradients:
        typer.echo(str(decided))
    if done is not None:
        typer.echo(f"{record['converted']} is what {opened.origin} converts to: {done}")


def _plan(
    opened: Checkpoint,
    target: str,
    source: str | None,
    mapping: Path | None,
    drop: list[str] | None,
    allow_missing: list[str] | None,
    strict: bool,
    dtype: Dtype,
) -> Plan:
    decided = make_plan(
        opened,
        target,
        mapping=mapping,
        source=source,
        drop=drop or (),
        allow_missing=allow_missing or (),
        strict=strict,
        dtype=None if dtype is Dtype.keep else dtype.value,
    )
    leaves = [*(path for step in decided.steps for path in step.targets), *(left.path for left in decided.unfilled)]
    for option, patterns, names in (("--drop", drop, opened.tensors), ("--allow-missing", allow_missing, leaves)):
        for pattern in patterns or ():
            if not any(written.pattern_matches(pattern, name) for name in names):
                _say(f"warning: {option} {pattern!r} matches nothing")
    return decided


def _bytes(size: str) -> int:
    """A size such as 500MB or 5GB, in powers of 1000 as disks have it."""
    found = re.fullmatch(r"(\d+)\s*([KMGT]?)B?", size.strip().upper())
    if not found or not int(found[1]):
        raise UsageError(f"--max-shard-size {size}: expected a size such as 500MB or 5GB")
    return int(found[1]) * 1000 ** " KMGT".index(found[2] or " ")


def _base(source: str, key: str | None) -> Checkpoint:
    """The names, shapes and dtypes that a reversion aims at."""
    if Path(source).exists():
        return open_checkpoint(source, key=key)
    if ":" not in source:
        raise UsageError(f"--source {source}: neither a path that exists nor package.module:callable")
    return open_module(source_module(source, meta=False))


@contextmanager
def _progress(title: str, total: int) -> Generator[Callable[[int], None]]:
    """A progress bar on stderr if that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


def _emit(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, indent=2))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      arguments: the words after the program's name; those of the process by default.

    Returns:
      0 done and verified, 1 refused and nothing written, 2 usage error.
    """
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # `package.module:callable` names the user's own code
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="weight-bridge", standalone_mode=True)
    except UsageError as error:
        _say(f"usage error: {error}")
        return 2
    except WeightBridgeError as error:
        _say(f"refused: {error}")
        return 1
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0
