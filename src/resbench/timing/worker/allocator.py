"""The C library's allocator, told not to learn.

glibc hands large blocks back to the system when they are freed, or does not, by thresholds that it adapts to what the
process happened to free before.  Where it does, every step pays for page faults again.  In eight fresh processes, on a
busy machine of two cores, the fastest of 100 runs of one and the same inference step (pre-activation unit, 16 channels,
32x32, 32 images) took 5.1 to 10.9 ms; with the thresholds pinned 4.48 to 4.59 ms.  That is a lottery, not the code
under test, so it is switched off: freed memory stays with the process.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["pin_allocator"]

# malloc.h; mallopt(3)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MMAP = 32 << 20  # the most that every version of glibc takes (mallopt(3), DEFAULT_MMAP_THRESHOLD_MAX on 64 bits)
_TRIM = (1 << 31) - 1  # mallopt takes an int
_PAD = 64 << 20


def pin_allocator() -> bool:
    """Let this process keep what it frees, from now on; whether its C library has these settings (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _MMAP), (_M_TRIM_THRESHOLD, _TRIM), (_M_TOP_PAD, _PAD))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
