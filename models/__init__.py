"""Verified PyTorch/JAX model pairs; one folder is one claim."""
