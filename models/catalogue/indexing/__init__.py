"""Gathers, scatters, segments and permutations."""
