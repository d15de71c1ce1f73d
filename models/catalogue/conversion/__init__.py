"""Weights that are stored otherwise than they are used."""
