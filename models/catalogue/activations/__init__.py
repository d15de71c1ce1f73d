"""Activation functions and their parameters."""
