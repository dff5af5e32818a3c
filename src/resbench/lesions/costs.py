"""What the steps of a network cost, counted and not measured: the same number in every process."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from resbench.lesions.executable import Executable
from resbench.lesions.trie import Step

__all__ = ["step_costs"]


def step_costs(executable: Executable, steps: Iterable[Step], images: Tensor) -> dict[Step, int]:
    """The multiply-adds of each of ``steps`` on these images, and one more for every number that it puts out.

    The latter tells steps without products apart from nothing.  A unit costs the same wherever it stands.
    """
    wanted, costs = set(steps), {}
    with torch.no_grad():
        value = executable.stem(images)
        for at in range(executable.count):
            if (without := Step("without", at)) in wanted:
                costs[without] = _counted(executable, without, value)[1]
            value, costs[Step("apply", at)] = _counted(executable, Step("apply", at), value)
            if at in executable.between:
                value, costs[Step("between", at)] = _counted(executable, Step("between", at), value)
    return costs


def _counted(executable: Executable, step: Step, value: Tensor) -> tuple[Tensor, int]:
    with FlopCounterMode(display=False) as counter:
        if step.kind == "apply" and executable.units:  # take may replay a CUDA graph, which hides its products
            unit = executable.units[step.at]
            result = unit.pieces.get("run", unit.run)(value)
        else:
            result = executable.take(step, value)
    return result, int(counter.get_total_flops()) // 2 + result.numel()
