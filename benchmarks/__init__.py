"""Suites for asv (``suites``), and benchmarks of the benchmark: ``detection``, ``against_peers``, ``change_points``."""
