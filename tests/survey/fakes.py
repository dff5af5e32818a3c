"""Work for worker processes that misbehaves; importable in a fresh Python process."""

from __future__ import annotations

import os
import time


def misbehave(job: str) -> str:
    """Does what ``job`` says, and returns the process that did it."""
    if job == "sleep":
        time.sleep(60)
    if job == "exit":
        os._exit(3)
    if job == "kill":
        os.kill(os.getpid(), 9)
    if job == "allocate":
        import torch

        try:
            torch.zeros(1 << 33, dtype=torch.uint8)
        except (RuntimeError, MemoryError):
            return "refused"
    return str(os.getpid())
