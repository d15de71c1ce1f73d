"""The score as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from parity.faults.generic import ANYWHERE
from parity.faults.score import Outcome, Score, Tally


def render(score: Score, *, every: bool = False) -> Group:
    """A table per group, what survived, what could not be observed, and who was accused wrongly.

    Args:
      score: of a run.
      every: list every fault, not only those with something to tell.

    Returns:
      Something that rich prints.
    """
    parts: list[Table | Text] = [_groups(score)]
    shown = score.live if every else [o for o in score.live if not (o.caught and o.located and o.named)]
    if shown:
        parts.append(_outcomes(shown, "all faults" if every else "caught, but not located or not named; or not caught"))
    parts += _listed("survived", [f"{o.fault} in {o.pair}" for o in score.survivors], "red")
    same = [f"{o.fault} in {o.pair}" for o in score.outcomes if o.equivalent]
    parts += _listed("change nothing that can be observed", same, "dim")
    parts += _listed("fail as they are, so that faults in them prove nothing", score.accused, "red")
    return Group(*parts)


def text(score: Score, *, every: bool = False, width: int = 120) -> str:
    """The same as plain text."""
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(render(score, every=every))
    return captured.get()


def _groups(score: Score) -> Table:
    table = Table(title="porting faults", title_justify="left")
    table.add_column("group")
    for name in ("faults", "common practice", "caught", "located", "named"):
        table.add_column(name, justify="right")
    for name, tally in score.groups().items():
        table.add_row(name, *_cells(tally))
    table.add_section()
    known = [outcome for outcome in score.live if outcome.group != ANYWHERE]
    if len(known) < len(score.live):
        table.add_row("without those of any model", *_cells(Tally.of(known)), style="bold")
    table.add_row("all", *_cells(Tally.of(score.live)), style="bold")
    return table


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (tally.practice, tally.caught, tally.located, tally.named)
    return str(tally.faults), *(f"{count} ({100 * count / max(tally.faults, 1):.0f} %)" for count in counts)


def _outcomes(outcomes: Sequence[Outcome], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("fault", "pair", "caught by", "located", "named"):
        table.add_column(name, overflow="fold")
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    return table


def _row(outcome: Outcome) -> tuple[str, ...]:
    caught = f"{outcome.caught}, {outcome.precision}" if outcome.caught else "nothing"
    if outcome.verdict:
        caught += f" ({outcome.verdict})"
    where = outcome.where or "the model"
    blamed = "nothing" if outcome.blamed is None else outcome.blamed or "the model"
    located = "yes" if outcome.located else f"{blamed}, not {where}"
    return outcome.fault, outcome.pair, caught, located, "yes" if outcome.named else outcome.cause or "nothing"


def _listed(title: str, lines: Sequence[str], style: str) -> list[Text]:
    if not lines:
        return []
    return [Text(f"\n{title}: {len(lines)}", style=style), *(Text(f"  {line}", style=style) for line in lines)]
