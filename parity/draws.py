"""Hypothesis under which every draw follows from the seed alone, whatever else the process has imported."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

BACKEND = "parity"

SEED_BITS = 63
"""What every generator takes as a seed, torch's among them."""

EVERY_CHECK: list[Any] = list(HealthCheck)  # typed as the metaclass's members


class SeededProvider(HypothesisProvider):
    """Hypothesis' own draws without its pool of constants.

    Now and then Hypothesis draws a number that it found in the source of the local modules imported so far. A test
    suite has imported more of them than the command that is to repeat one failure.
    """

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


def drawing(
    body: Callable[..., None],
    *strategies: st.SearchStrategy[Any],
    examples: int,
    seed: int,
    keep: str | None = None,
    shrink: bool = False,
) -> None:
    """Calls a function on drawn values; the same arguments draw the same values in every process.

    Args:
      body: takes one value of each strategy. Where it raises, and `shrink` says so, smaller values are looked for that
        make it raise too.
      *strategies: what is drawn.
      examples: how many times.
      seed: of everything drawn.
      keep: name under which failing values are kept and tried first the next time; none are kept without.
      shrink: look for the smallest failing values.

    Raises:
      Exception: what `body` raised last, on the smallest values.
    """
    phases = Phase.explicit, Phase.generate, *((Phase.reuse,) if keep else ()), *((Phase.shrink,) if shrink else ())
    with _registered():
        chosen = settings(
            max_examples=examples,
            deadline=None,
            database=_database(keep) if keep else None,
            phases=phases,
            suppress_health_check=EVERY_CHECK,  # they time and size the draws; here a first draw compiles a model
            print_blob=False,
            report_multiple_bugs=False,
            derandomize=False,
            backend=BACKEND,
        )
        hypothesis.seed(seed)(chosen(hypothesis.given(*strategies)(body)))()


@contextmanager
def _registered() -> Generator[None]:
    """Makes the provider known to Hypothesis for a while."""
    before = AVAILABLE_PROVIDERS.get(BACKEND)
    AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.{SeededProvider.__name__}"  # a name, as older versions of it want
    try:
        yield
    finally:
        if before is None:
            del AVAILABLE_PROVIDERS[BACKEND]


def _database(name: str) -> ExampleDatabase | None:
    """Failing examples of one name, beside Hypothesis' own; none where the profile keeps none."""
    kept = settings().database
    if not isinstance(kept, DirectoryBasedExampleDatabase):
        return kept
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return DirectoryBasedExampleDatabase(kept.path / "parity" / safe)
