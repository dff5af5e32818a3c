"""Residual networks of the three papers, and the plain networks they are compared with."""
