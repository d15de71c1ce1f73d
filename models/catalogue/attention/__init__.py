"""Attention, masks, positions and decoding with a cache."""
