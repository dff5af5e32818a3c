"""How the cost of lesions grows, and what a second process saves: ``python -m benchmarks.scaling``.

Speed-up: all single deletions by ``resbench lesion``, in one process of one thread and under torchrun in two; they take
turns, and a ratio is formed within each round.  "Sweep" is what the record says of its own time, from the loaded
network to the gathered results; "command" is the whole of it, with Python's start.  What does not depend on the number
of images (to make the network ready, and to check that) takes about as long as a dozen passes of a batch, in each
process: few images show it, many hide it.

Exponents: the slope of log time against log size in one process of one thread, for images, units (all single
deletions) and lesions (random deletions).  Beside it the slope of the counted cost (multiply-adds in the tree of
steps): what the time would follow if every multiply-add took equally long and nothing else took time.

Random images and weights; sizes take turns, and a slope is fitted to each round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resbench.lesions.plans import Plan, deleted, random_subsets, whole
from resbench.lesions.running import Runner
from resbench.targets.images import Images
from resbench.targets.load import target_of

__all__ = ["GOAL", "Growth", "Speedup", "as_json", "as_table", "grown", "main", "slope", "speed_up"]

GOAL = 1.7
"""Of two processes over one, of one thread each."""

_CLASSES = 10


@dataclass(frozen=True)
class Speedup:
    """``sweep`` and ``command``: seconds of every round, by the number of processes."""

    network: str
    images: int
    sweep: Mapping[int, Sequence[float]]
    command: Mapping[int, Sequence[float]]

    @staticmethod
    def ratios(seconds: Mapping[int, Sequence[float]]) -> list[float]:
        """One process over two."""
        return [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]


@dataclass(frozen=True)
class Growth:
    """``seconds[round][size]``; ``counted``: multiply-adds of each size."""

    of: str
    how: str
    sizes: Sequence[int]
    seconds: Sequence[Sequence[float]]
    counted: Sequence[float]

    @property
    def exponents(self) -> list[float]:
        """One a round."""
        return [slope(self.sizes, seconds) for seconds in self.seconds]


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Of the least-squares line through ``log(cost)`` against ``log(size)``."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def speed_up(network: str, images: int, side: int, rounds: int) -> Speedup:
    """Let one process and two take turns.

    Raises:
        RuntimeError: a command failed; what it said.
    """
    sweep: dict[int, list[float]] = {1: [], 2: []}
    command: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        data = Path(folder) / "images.npz"
        pixels = generator.integers(0, 256, (images, side, side, 3), dtype=np.uint8)
        np.savez(data, images=pixels, labels=generator.integers(0, _CLASSES, images))
        for index in range(rounds):
            for processes in (1, 2) if index % 2 else (2, 1):
                began = time.perf_counter()
                sweep[processes].append(_sweep(network, data, processes))
                command[processes].append(time.perf_counter() - began)
    return Speedup(network, images, sweep, command)


def _sweep(network: str, data: Path, processes: int) -> float:
    """The seconds that the record of a command tells."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    asked = ["-m", "resbench", "lesion", network, "--data", f"npz:{data}", "--fresh", "--format", "json"]
    done = subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else []), *asked],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        own = [line for line in lines if line.startswith("resbench: ")]  # torchrun's report comes after them
        raise RuntimeError((own or lines or ["no word"])[-1])
    return float(json.loads(done.stdout)["engine"]["seconds"])


Sweep = tuple[Runner, Sequence[Plan], Images]


def grown(rounds: int, small: bool = False) -> list[Growth]:
    """Time sweeps of several sizes.  ``small``: only to see that it works."""
    few = 8 if small else 64
    images = [few * 2**i for i in range(2 if small else 4)]
    networks = ["resnet20-preact", "resnet32-preact", "resnet56-preact", "resnet110-preact"][: 2 if small else 4]
    lesions = [4, 8] if small else [8, 16, 32, 64]
    first = _runner(networks[0], images[-1])
    each = [_runner(name, few // 4) for name in networks]
    units = [len(one.target.units) for one in each]
    deep = _runner(networks[min(2, len(networks) - 1)], few // 2)
    return [
        _growth("images", f"single deletions of {units[0]} units", images, rounds,
                [(first, _single(first), first.images.subset(range(n))) for n in images]),
        _growth("units", f"single deletions, {few // 4} images", units, rounds,
                [(one, _single(one), one.images) for one in each]),
        _growth("lesions", f"random deletions of {len(deep.target.units)} units, {few // 2} images", lesions, rounds,
                [(deep, _random(deep, n), deep.images) for n in lesions]),
    ]  # fmt: skip


def _runner(network: str, images: int) -> Runner:
    from resbench.networks import zoo

    torch.manual_seed(0)
    pixels = torch.randn(images, 3, 32, 32)
    data = Images.of_tensors(pixels, torch.arange(images) % _CLASSES)
    return Runner(target_of(zoo.create(network), data=data), data, workers=1)


def _single(runner: Runner) -> list[Plan]:
    count = len(runner.target.units)
    return [whole(count), *(deleted(count, [unit.index]) for unit in runner.target.units if unit.deletable)]


def _random(runner: Runner, lesions: int) -> list[Plan]:
    """Of one to five units in turn; a longer list begins with a shorter one."""
    units = [unit.index for unit in runner.target.units if unit.deletable]
    sizes = [1 + i % 5 for i in range(lesions)]
    return [
        deleted(len(runner.target.units), gone) for gone in random_subsets(units, sizes, 1, np.random.default_rng(1))
    ]


def _growth(of: str, how: str, sizes: Sequence[int], rounds: int, sweeps: Sequence[Sweep]) -> Growth:
    seconds = []
    for index in range(rounds):
        found = [0.0] * len(sweeps)
        for position in range(len(sweeps))[:: 1 if index % 2 else -1]:
            runner, plans, images = sweeps[position]
            found[position] = _seconds(lambda r=runner, p=plans, i=images: r.run(p, i))  # type: ignore[misc]
        seconds.append(found)
    return Growth(of, how, sizes, seconds, [one.cost(plans) * len(images) for one, plans, images in sweeps])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def as_json(speed: Speedup | None, growths: Sequence[Growth]) -> dict[str, Any]:
    """Medians and ranges over rounds; the raw seconds as well."""
    from resbench.records.environment import environment

    found: dict[str, Any] = {"environment": environment()}
    if speed is not None:
        found["speed_up"] = {
            "network": speed.network,
            "images": speed.images,
            "goal": GOAL,
            "reached": statistics.median(Speedup.ratios(speed.sweep)) >= GOAL,
            "sweep": _summary(Speedup.ratios(speed.sweep)),
            "command": _summary(Speedup.ratios(speed.command)),
            "seconds": {"sweep": speed.sweep, "command": speed.command},
        }
    if growths:
        found["exponents"] = [
            {
                "of": one.of,
                "how": one.how,
                "sizes": list(one.sizes),
                "exponent": _summary(one.exponents),
                "counted": slope(one.sizes, one.counted),
                "seconds": [list(seconds) for seconds in one.seconds],
            }
            for one in growths
        ]
    return found


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def as_table(speed: Speedup | None, growths: Sequence[Growth]) -> str:
    """At most 80 columns."""
    lines = []
    if speed is not None:
        lines.append(f"{speed.network}, single deletions, {speed.images} images, one thread a process")
        lines.append(f"{'':<12}{'1 process':>10}{'2':>10}   ratio")
        for name, seconds in (("sweep", speed.sweep), ("command", speed.command)):
            one, two = (statistics.median(seconds[processes]) for processes in (1, 2))
            lines.append(f"  {name:<10}{one:>8.1f} s {two:>8.1f} s   {_range(Speedup.ratios(seconds))}")
        reached = statistics.median(Speedup.ratios(speed.sweep)) >= GOAL
        lines += [f"  goal of the sweep: at least {GOAL:g}: {'reached' if reached else 'missed'}", ""]
    if growths:
        lines.append(f"{'time grows with':<16}{'exponent':<22}{'counted':<10}sizes")
        for one in growths:
            sizes = ", ".join(map(str, one.sizes))
            lines.append(f"{one.of:<16}{_range(one.exponents):<22}{slope(one.sizes, one.counted):<10.2f}{sizes}")
            lines.append(f"{'':<16}{one.how}")
    return "\n".join(lines).rstrip()


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured, goal reached or not; 2: bad usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("speed-up", "exponents"))
    parser.add_argument("--network", default="resnet56-preact", help="of the speed-up: a network of the zoo")
    parser.add_argument("--images", type=int, default=1024, help="of the speed-up")
    parser.add_argument("--size", type=int, default=32, help="of the speed-up: their side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="exponents of tiny sizes, only to see that it works")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    if min(given.rounds, given.size) < 1 or given.images < 2:
        parser.error("at least 2 images, and 1 of everything else")
    speed, growths = None, []
    if given.only != "exponents":
        try:
            speed = speed_up(given.network, given.images, given.size, given.rounds)
        except RuntimeError as error:
            parser.error(str(error))
    if given.only != "speed-up":
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            growths = grown(given.rounds, given.small)
        finally:
            torch.set_num_threads(before)
    print(json.dumps(as_json(speed, growths), indent=1) if given.format == "json" else as_table(speed, growths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
