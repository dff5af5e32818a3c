"""How many threads torch's operators use while experiments run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Operators in one thread; afterwards in as many as before.

    Thin networks and small images gain nothing from more, and lose much where the cores are busy: with other
    experiments beside this one, or with other people's work.
    """
    import torch  # not above: the lab starts without it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
