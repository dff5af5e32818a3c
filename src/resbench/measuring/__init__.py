"""Measuring once what is judged often: studies of given networks to recorded evidence."""
