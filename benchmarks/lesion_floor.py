"""What a sweep of lesions must cost in multiply-adds: their rates are :mod:`benchmarks.floor`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from resbench.lesions.executable import Executable
from resbench.lesions.plans import Plan
from resbench.lesions.trie import Step, build, steps_of

__all__ = ["Work", "work_of"]

Macs = float


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one image under a list of lesions: each evaluated ``alone``, and with what they ``share``."""

    alone: Macs
    shared: Macs


def work_of(executable: Executable, plans: Sequence[Plan], example: Tensor) -> Work:
    """Count them.  ``example``: the images that the executable takes, ``(N, C, H, W)``."""
    programs = [steps_of(plan, executable.between) for plan in plans]
    steps, stem, head = _costs(executable, example, {step for program in programs for step in program})
    root = build(programs)
    leaves = sum(bool(node.plans) for node in root)
    alone = sum(stem + head + sum(steps[step] for step in program) for program in programs)
    return Work(alone / len(example), (stem + root.cost(steps) + head * leaves) / len(example))


def _costs(executable: Executable, example: Tensor, wanted: set[Step]) -> tuple[dict[Step, Macs], Macs, Macs]:
    """Multiply-adds of each step, at its own position, of the stem and of the head."""
    costs: dict[Step, Macs] = {}

    def counted(work: Callable[[], Tensor]) -> tuple[Tensor, Macs]:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            result = work()
        return result, counter.get_total_flops() / 2

    value, stem = counted(lambda: executable.stem(example))
    for position in range(executable.count):
        for step in (Step("without", position), Step("apply", position)):
            if step in wanted or step.kind == "apply":
                after, costs[step] = counted(partial(executable.take, step, value))
        value = after
        if position in executable.between:
            step = Step("between", position)
            value, costs[step] = counted(partial(executable.take, step, value))
    return costs, stem, counted(lambda: executable.head(value))[1]
