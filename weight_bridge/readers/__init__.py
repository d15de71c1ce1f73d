"""One file per kind of checkpoint; each returns `name → (spec, read, storage)` and reads headers only."""

from __future__ import annotations
