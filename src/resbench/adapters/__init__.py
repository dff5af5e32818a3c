"""Any network as a list of residual units, and lesions on it."""

from resbench.adapters.adapting import adapt, output_of
from resbench.adapters.editing import deleted, duplicated, edited, exchanged, sampled
from resbench.adapters.errors import CannotAdapt
from resbench.adapters.observing import Seen, observe
from resbench.adapters.unit import ResidualUnit

__all__ = [
    "CannotAdapt",
    "ResidualUnit",
    "Seen",
    "adapt",
    "deleted",
    "duplicated",
    "edited",
    "exchanged",
    "observe",
    "output_of",
    "sampled",
]
