"""Reshapes, transposes and channel orders."""
