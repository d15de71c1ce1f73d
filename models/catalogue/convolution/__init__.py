"""Convolutions, padding and pooling."""
