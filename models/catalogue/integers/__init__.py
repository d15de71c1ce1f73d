"""Integer division, shifts and casts."""
