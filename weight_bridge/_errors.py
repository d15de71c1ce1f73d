"""The exception tree. Every error is a headline and one line per problem, so that one run shows all there is to mend.

WeightBridgeError
├── UsageError           a path, an option or a `module:callable` that cannot be used at all   (exit code 2)
├── CheckpointError      the checkpoint is truncated, malformed or would run code
├── TargetError          the target cannot be built or described
├── MappingError         a rule file says something that cannot be read or cannot hold
├── PlanError            names, types and shapes do not settle every tensor and every leaf
├── ConversionError      the numbers themselves are refused (NaN, tied tensors that differ, overflow)
├── WriteError           the output could not be written; what stood there before is untouched
├── VerificationError    what was read back is not what the checkpoint holds
└── MisfitError          a transform cannot take arrays of these shapes
    └── Misfit           two layers cannot correspond
        └── Undecided    two layers correspond, but more than one transform fits and nothing decides
"""

from __future__ import annotations

from collections.abc import Iterable


class WeightBridgeError(Exception):
    """Root of the tree: a headline, and every problem found, each on a line of its own.

    Args:
      headline: who refuses what, in one line.
      problems: one line per problem; all of them, not the first.
    """

    def __init__(self, headline: str, problems: Iterable[str] = ()) -> None:
        self.headline = headline
        self.problems = tuple(problems)
        super().__init__("\n".join([headline, *(f"  - {problem}" for problem in self.problems)]))


class UsageError(WeightBridgeError):
    """A path, an option or a `module:callable` cannot be used at all."""


class CheckpointError(WeightBridgeError):
    """A checkpoint is truncated, malformed, or would run code when read."""


class TargetError(WeightBridgeError):
    """A target cannot be built or described."""


class MappingError(WeightBridgeError):
    """A rule file cannot be read, or a rule in it cannot hold."""


class PlanError(WeightBridgeError):
    """Names, types and shapes do not settle every tensor and every leaf."""


class ConversionError(WeightBridgeError):
    """The numbers themselves are refused."""


class WriteError(WeightBridgeError):
    """The output could not be written."""


class VerificationError(WeightBridgeError):
    """What was read back is not what the checkpoint holds."""


class MisfitError(WeightBridgeError):
    """A transform cannot take arrays of these shapes."""


class Misfit(MisfitError):
    """Two layers cannot correspond; the text says why."""


class Undecided(Misfit):
    """Two layers correspond, but more than one transform fits and nothing decides between them."""
