"""One checkpoint, one habit: square matrices are stored as their namesakes whose shapes tell.

A torch module may store (in, out), as GPT-2's does. Where a matrix is not square, its shape tells; where it is, layers
of the same name tell, and without those it is refused once any other layer is known to depart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weight_bridge.conventions import Draft
from weight_bridge.names import Tokens
from weight_bridge.pairing import Match, Question


def consistent(matches: Sequence[Match]) -> tuple[list[Match], list[Question]]:
    """Returns the matches with square matrices stored as their namesakes, and those that nothing decides.

    Args:
      matches: all that was found.

    Returns:
      Matches, and a question for each that could be stored either way.
    """
    habits: dict[str, set[bool]] = {}
    departing: list[str] = []
    for found in matches:
        for part in found.drafts:
            if part.departs is not None and part.otherwise is None:
                habits.setdefault(_word(found.source.tokens), set()).add(part.departs)
                departing += [found.source.main.key] if part.departs else []
    kept: list[Match] = []
    questions: list[Question] = []
    for found in matches:
        habit = habits.get(_word(found.source.tokens), set())
        if not departing or not any(part.otherwise is not None for part in found.drafts) or habit == {False}:
            kept.append(found)
        elif habit == {True}:
            kept.append(replace(found, drafts=tuple(map(_departing, found.drafts))))
        else:
            questions.append(Question(found.source, found.target, _line(found, departing[0])))
    return kept, questions


def _departing(part: Draft) -> Draft:
    if part.otherwise is None:
        return part
    return replace(part, transform=part.otherwise, why=f"{part.why}, square, stored as its namesakes")


def _line(found: Match, other: str) -> str:
    ours = found.source.main
    return (
        f"{found.target.main.key} from {ours.key} {list(ours.spec.shape)}: square, and {other} is stored (in, out); "
        "nothing tells whether this is too; --source or a [[rule]] of --mapping does"
    )


def _word(place: Tokens) -> str:
    """The last word of a name, which layers of one kind share."""
    return next((token for token in reversed(place) if not token.isdigit()), "")
