"""An embedding that computes in the precision of its table."""

from __future__ import annotations

from flax import nnx


class Embed(nnx.Embed):
    """Flax's layer, which otherwise casts to the precision that its table was created in: float32 in a float64 run."""

    def __init__(self, count: int, features: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(count, features, rngs=rngs)
        self.dtype = None
