"""Measurements: what was seen, with its interval and where it comes from."""

from resbench.records.measurement import Measurement, Scalar, Value

__all__ = ["Measurement", "Scalar", "Value"]
