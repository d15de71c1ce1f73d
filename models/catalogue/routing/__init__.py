"""Sorting, ties and mixtures of experts."""
