"""What the tools time to show that they see a slowdown: one residual branch, so and so many times a step.

Identical code does it 20 times; 5 % slower is 21 times, 10 % 22, 20 % 24.  The slowdown is known by construction, and
it is of the kind that a change of code makes: more of the same work, not sleep.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["BATCH", "MODULE", "REPEATS", "SIDE", "SLOWDOWNS", "UNIT", "WIDTH", "repeats", "write"]

MODULE = "subject"
UNIT = "preact"
WIDTH, SIDE = 64, 8
"""CIFAR's stage 3 (He 2015, section 4.2)."""

BATCH = 4
"""Images: about half a millisecond a branch on one core, ten a step."""

REPEATS = 20
SLOWDOWNS = (5, 10, 20)
"""Per cent."""

_SOURCE = '''"""One step is {repeats} times one residual unit's forward pass."""

import sys
from functools import cache

sys.path.insert(0, {source!r})

import torch
from torch import nn

from resbench.networks.variants import create_unit

torch.set_num_threads(1)


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.unit = create_unit({unit!r}, {width}, {width})

    def forward(self, x):
        for _ in range({repeats}):
            output = self.unit(x)
        return output


def build():
    torch.manual_seed(0)
    return Repeated().eval()


@cache
def make_step():
    module, input = build(), torch.randn({batch}, {width}, {side}, {side})

    @torch.inference_mode()
    def step():
        return module(input)

    return step
'''


def repeats(slowdown: int) -> int:
    """Branches in a step that is ``slowdown`` per cent slower."""
    extra, rest = divmod(REPEATS * slowdown, 100)
    if rest:
        raise ValueError(f"{slowdown} % of {REPEATS} branches is no whole number of them")
    return REPEATS + extra


def write(folder: Path, slowdown: int) -> Path:
    """``subject.py`` in ``folder``, which every tool imports; returns the file."""
    import resbench

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{MODULE}.py"
    source = str(Path(resbench.__file__).resolve().parents[1])
    text = _SOURCE.format(repeats=repeats(slowdown), source=source, unit=UNIT, width=WIDTH, side=SIDE, batch=BATCH)
    file.write_text(text)
    return file
