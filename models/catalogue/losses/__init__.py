"""Losses and their reductions."""
