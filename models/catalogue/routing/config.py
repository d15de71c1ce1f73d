"""Sizes of the routing family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoutingConfig:
    """A mixture of experts.

    Attributes:
      width: of a token.
      experts: how many there are.
      chosen: how many a token goes to.
      scale: of what the experts return.
    """

    width: int = 3
    experts: int = 5
    chosen: int = 2
    scale: float = 1.7
