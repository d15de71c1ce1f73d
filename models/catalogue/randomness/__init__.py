"""Dropout, noise and sampling."""
