"""Resizing, spectra and preprocessing."""
