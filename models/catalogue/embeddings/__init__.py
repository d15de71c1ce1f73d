"""Embeddings, positions and tied heads."""
