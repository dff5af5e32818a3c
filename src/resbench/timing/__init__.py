"""Throughput: cases, clocks, paired comparison, history; ``worker`` is the part that runs where code is timed."""
