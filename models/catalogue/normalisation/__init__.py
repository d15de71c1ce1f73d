"""Normalisation layers and their running statistics."""
