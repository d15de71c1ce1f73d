"""The `parity` command."""

from __future__ import annotations

import sys
import warnings
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from parity._errors import ParityError
from parity.files import require_file, require_html, write_text

app = typer.Typer(
    name="parity",
    help="Numerical parity between PyTorch and JAX: is the port right, and if not, where and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_pairs(
    package: Annotated[str, typer.Argument(help="package or module that holds pairs")] = "models",
) -> None:
    """List the pairs and checks found."""
    from parity.discovery import require_pairs

    for module, name, pair in require_pairs(package):
        typer.echo(f"{module}:{name}  candidates {', '.join(pair.candidates)}  checks {', '.join(pair.checks)}")


@app.command()
def check(
    pair: Annotated[str, typer.Argument(help="package.module:PAIR")],
    candidate: Annotated[str | None, typer.Option(help="nnx, linen, ...; all of the pair's by default")] = None,
    examples: Annotated[int, typer.Option(min=1, help="how many examples to draw")] = 25,
    precision: Annotated[str, typer.Option(help="float64, float32, bfloat16 or float16")] = "float64",
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    seed: Annotated[int, typer.Option(help="of everything drawn")] = 0,
    checks: Annotated[str | None, typer.Option(help="all, or names with commas between; the pair's by default")] = None,
    json: Annotated[Path | None, typer.Option(help="write the report as JSON")] = None,
    html: Annotated[Path | None, typer.Option(help="write the report as one HTML file")] = None,
) -> None:
    """Explore one pair: exit 0 for parity, 1 for divergence, 2 for a usage error."""
    from parity.checks import chosen_by
    from parity.discovery import load_pair
    from parity.harness import check as run
    from parity.reproduction import command

    _require(precision, ("float64", "float32", "bfloat16", "float16"), "--precision")
    _require(device, ("cpu", "gpu"), "--device")
    if json is not None:
        require_file(json, "--json")
    if html is not None:
        require_html("--html")
        require_file(html, "--html")
    chosen = load_pair(pair)
    names = [chosen.candidate(candidate)[0]] if candidate else list(chosen.candidates)
    how: dict[str, Any] = {"examples": examples, "precision": precision, "device": device, "seed": seed}
    reports = [
        run(
            chosen,
            candidate=name,
            checks=chosen_by(checks),
            reproduce=command(pair, name, checks=checks, **how),
            **how,
        )
        for name in names
    ]
    for report in reports:
        typer.echo(str(report))
    _write(reports, json, html)
    raise typer.Exit(0 if all(report.ok for report in reports) else 1)


@app.command()
def faults(
    target: Annotated[str, typer.Argument(help="package.module:PAIR, or a package or module of pairs")] = "models",
    candidate: Annotated[str, typer.Option(help="which candidate of a pair is broken")] = "nnx",
    examples: Annotated[int, typer.Option(min=1, help="how many examples per configuration")] = 6,
    generic: Annotated[bool, typer.Option(help="also the faults that any model may have")] = True,
    every: Annotated[bool, typer.Option("--every", help="list every fault")] = False,
    group: Annotated[str | None, typer.Option(help="only the faults of this group")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="file of outcomes: those in it are taken over, new ones join")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="write the score as JSON")] = None,
) -> None:
    """Inject known porting faults: which are caught, located and named; exit 0 if all are caught, 1 otherwise."""
    from rich.console import Console

    from parity.faults.discovery import pairs_and_faults
    from parity.faults.kept import keeping, kept
    from parity.faults.progress import watched
    from parity.faults.run import run
    from parity.faults.table import render

    if keep is not None:
        require_file(keep, "--keep")
    if json is not None:
        require_file(json, "--json")
    pairs, chosen = pairs_and_faults(target, generic=generic)
    _require(candidate, tuple(dict.fromkeys(name for pair in pairs for name in pair.candidates)), "--candidate")
    if group is not None:
        _require(group, tuple(dict.fromkeys(fault.group for fault in chosen)), "--group")
        chosen = [fault for fault in chosen if fault.group == group]
    known = kept(keep) if keep is not None else {}
    with watched() as tell:
        note = keeping(keep, known, tell) if keep is not None else tell
        score = run(pairs, chosen, candidate=candidate, examples=examples, progress=note, known=known)
    Console(width=None if sys.stdout.isatty() else 140).print(render(score, every=every))
    if json is not None:
        write_text(json, dumps(score.to_dict(), indent=2) + "\n")
    raise typer.Exit(0 if score.ok else 1)


def _write(reports: list[Any], json: Path | None, html: Path | None) -> None:
    """Writes the files that were asked for."""
    if json is not None:
        from parity.reports.json import render_json

        write_text(json, render_json(reports))
    if html is not None:
        from parity.reports.html import render_html

        write_text(html, render_html(reports))


def _require(value: str, among: tuple[str, ...], option: str) -> None:
    """Refuses a value that an option does not know."""
    if value not in among:
        raise typer.BadParameter(f"{value!r}: expected one of {', '.join(among)}", param_hint=option)


def main() -> None:
    """Runs the command; expected errors go to stderr and exit with 2."""
    with warnings.catch_warnings():
        warnings.filterwarnings("once", category=UserWarning, append=True)  # models warn at each of their many runs
        try:
            app()
        except ParityError as error:
            typer.echo(f"parity: {error}", err=True)
            sys.exit(2)
