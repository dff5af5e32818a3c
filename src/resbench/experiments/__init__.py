"""Experiments measure; quantities turn what they measured into the numbers that claims speak of."""
