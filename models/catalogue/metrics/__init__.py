"""Metrics and statistics of values."""
