"""What all paths cost, in ordinary backward passes: ``python -m benchmarks.path_speed``.

The exact gradient by path length of a 54-unit network (resnet110-preact, random weights, eval mode) for one small batch
of random images, against the backward pass of the same batch.  Everything is measured in one run: in every round each
contestant takes its turn, the next round in reverse order; a ratio is formed within each round, and its median is
reported.  One thread unless told otherwise.

The unit of cost, ``backward``, is the backward pass of training: to all parameters, the forward pass before it not
counted.  ``backward-input`` is the cheaper one that a gradient at the first unit needs, without any weight's; every
path is made of such passes.  The exact spectrum counts its forward pass.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.experiments.linearised import linearised
from resbench.experiments.path_exact import exact_lengths
from resbench.experiments.path_gradients import gradient_by_length_exact, sample_paths
from resbench.networks.residual import ResidualNetwork
from resbench.targets.load import target_of
from resbench.targets.target import UserTarget

__all__ = ["GOAL", "Speed", "as_table", "contestants", "main", "measure"]

GOAL = 40.0
"""Ordinary backward passes that the exact spectrum may take."""

PAPER_PATHS = 54_000
"""Veit 2016, section 5.2: 1,000 paths for each of 54 lengths, one pass each."""

UNIT, UNIT_INPUT = "backward", "backward-input"
PASSES = 5
"""Backward passes in a turn."""

Turn = Callable[[], float]
"""One turn of a contestant: seconds for one piece of its work."""

_WORDS = {
    UNIT: "backward pass, to all parameters",
    UNIT_INPUT: "backward pass, to the first unit only",
    "exact": "all paths by length, with the forward pass",
    "target": "the same, of any adapted model, checked",
    "participation": "the same, and which units they pass",
    "path": "one sampled path (one of each length, mean)",
}


@dataclass(frozen=True)
class Speed:
    """``seconds``: of each contestant, one value a round."""

    network: str
    units: int
    batch: int
    size: int
    threads: int
    seconds: Mapping[str, Sequence[float]]

    def ratios(self, name: str, unit: str = UNIT) -> list[float]:
        """To the backward pass of the same round."""
        return [one / other for one, other in zip(self.seconds[name], self.seconds[unit], strict=True)]


def contestants(network: ResidualNetwork, images: Tensor, labels: Tensor) -> dict[str, Turn]:
    """Everything that is timed."""
    target = target_of(network, images)
    n = len(network.residual_units())

    def sampled() -> float:
        full = linearised(network, images, labels)
        generator = torch.Generator().manual_seed(0)
        return _seconds(lambda: sample_paths(full, range(n + 1), 1, generator, chunk=8)) / (n + 1)

    def lengths(of: UserTarget, participation: bool) -> float:
        return _seconds(lambda: exact_lengths(of, images, labels, participation=participation))

    return {
        UNIT: lambda: _backward(network, images, labels),
        UNIT_INPUT: lambda: _backward_input(network, images, labels),
        "exact": lambda: _seconds(lambda: gradient_by_length_exact(network, images, labels)),
        "target": lambda: lengths(target, False),
        "participation": lambda: lengths(target, True),
        "path": sampled,
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _backward(network: ResidualNetwork, images: Tensor, labels: Tensor) -> float:
    total = 0.0
    for _ in range(PASSES):
        network.zero_grad(set_to_none=True)
        total += _seconds(F.cross_entropy(network(images), labels).backward)
    network.zero_grad(set_to_none=True)
    return total / PASSES


def _backward_input(network: ResidualNetwork, images: Tensor, labels: Tensor) -> float:
    total = 0.0
    for _ in range(PASSES):
        start = x = network.stem(images).detach().requires_grad_()
        for unit in network.residual_units():
            x = unit(x)
        loss = F.cross_entropy(network.head(x), labels)
        total += _seconds(lambda loss=loss, start=start: torch.autograd.grad(loss, start))  # type: ignore[misc]
    return total / PASSES


def measure(name: str, *, batch: int, size: int, rounds: int, threads: int) -> Speed:
    """Let the contestants take turns; the first round warms up and is not counted.

    Raises:
        ValueError: not a residual network of the zoo.
    """
    from resbench.networks import zoo

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        network = zoo.create(name)
        if not isinstance(network, ResidualNetwork):
            raise ValueError(f"{name} is no residual network")
        network.eval()
        images, labels = torch.randn(batch, 3, size, size), torch.arange(batch) % 10
        turns = contestants(network, images, labels)
        seconds: dict[str, list[float]] = {key: [] for key in turns}
        for index in range(rounds + 1):
            for key in list(turns)[:: 1 if index % 2 else -1]:
                took = turns[key]()
                if index:
                    seconds[key].append(took)
        return Speed(name, len(network.residual_units()), batch, size, threads, seconds)
    finally:
        torch.set_num_threads(before)


def as_json(speed: Speed) -> dict[str, Any]:
    """Medians and ranges; the raw seconds as well."""
    from resbench.records.environment import environment

    return {
        "network": speed.network,
        "units": speed.units,
        "batch": speed.batch,
        "input": [3, speed.size, speed.size],
        "threads": speed.threads,
        "goal": GOAL,
        "reached": statistics.median(speed.ratios("exact")) <= GOAL,
        "ratios": {name: _summary(speed.ratios(name)) for name in speed.seconds if name != UNIT},
        "ratios_to_backward_input": {
            name: _summary(speed.ratios(name, UNIT_INPUT)) for name in speed.seconds if name not in (UNIT, UNIT_INPUT)
        },
        "floor_in_backward_input": floor(speed.units),
        "paper_over_exact": _paper(speed),
        "seconds": {name: list(values) for name, values in speed.seconds.items()},
        "environment": environment(),
    }


def floor(units: int) -> float:
    """Backward passes to the input that the branches' products alone amount to: 1, 2, ..., n rows through n units."""
    return (units + 1) / 2


def _paper(speed: Speed) -> float:
    """How many times the exact spectrum the paper's 54,000 sampled paths would take, from the time of a path here."""
    return PAPER_PATHS * statistics.median(speed.ratios("path", "exact"))


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def as_table(speed: Speed) -> str:
    """At most 80 columns."""
    rounds = len(speed.seconds[UNIT])
    lines = [
        f"{speed.network}: {speed.units} units, {speed.batch} images {speed.size}x{speed.size}, "
        f"{speed.threads} thread{'s' if speed.threads > 1 else ''}, {rounds} rounds",
        "",
        f"{'':<44}{'median':>9}{'in backward passes':>25}",
    ]
    for name, values in speed.seconds.items():
        ratios = speed.ratios(name)
        cost = "1" if name == UNIT else f"{_digits(statistics.median(ratios))} ({_digits(min(ratios))}-"
        cost += "" if name == UNIT else f"{_digits(max(ratios))})"
        lines.append(f"{_WORDS[name]:<44}{1e3 * statistics.median(values):>6.0f} ms{cost:>25}")
    exact, strict = (statistics.median(speed.ratios("exact", unit)) for unit in (UNIT, UNIT_INPUT))
    verdict = "reached" if exact <= GOAL else "missed"
    lines += [
        "",
        f"goal: at most {GOAL:g} backward passes: {verdict} ({exact:.1f})",
        f"in passes to the first unit only: {strict:.1f}; the products alone are {floor(speed.units):g}",
        f"the paper's {PAPER_PATHS:,} sampled paths: {_paper(speed):,.0f} times as long, extrapolated",
    ]
    return "\n".join(lines)


def _digits(value: float) -> str:
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value < 100 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured, goal reached or not; 2: bad usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.path_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet110-preact", help="a residual network of the zoo")
    parser.add_argument("--batch", type=int, default=4, help="images")
    parser.add_argument("--size", type=int, default=32, help="their side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    if min(given.batch, given.size, given.rounds, given.threads) < 1 or given.batch < 2:
        parser.error("at least 2 images, and 1 of everything else")
    from resbench.errors import UserError

    try:
        speed = measure(given.network, batch=given.batch, size=given.size, rounds=given.rounds, threads=given.threads)
    except (UserError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps(as_json(speed), indent=1) if given.format == "json" else as_table(speed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
