"""Data sets: the embedded digits."""
