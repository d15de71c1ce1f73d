"""How ports get networks wrong: known mistakes, each put into a small network where it can occur."""

from __future__ import annotations

from models.networks.faults import activations, attention, composites, layers, losses, norms, sampling, training

FAULTS = (
    *layers.FAULTS,
    *norms.FAULTS,
    *activations.FAULTS,
    *attention.FAULTS,
    *composites.FAULTS,
    *sampling.FAULTS,
    *losses.FAULTS,
    *training.FAULTS,
)
