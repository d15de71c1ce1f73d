"""Gradients that are not those of the formula."""
