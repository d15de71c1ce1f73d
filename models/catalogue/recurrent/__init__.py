"""Recurrent layers, lengths and truncated histories."""
