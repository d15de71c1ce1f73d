"""Loops, in-place updates, decoding and state between calls."""
