"""How much faster training is than in the loop a user would write: ``python -m benchmarks.training_speed``.

ResNet-110 (pre-activation) at 32x32, batch 128.  Everything is measured in one run: the user's loop
(``benchmarks/user_training.py``: PIL images, torchvision's transforms, a DataLoader with workers, eager modules) and
resbench's take turns of as many steps, at the same precision; a ratio is formed within each round, and the median is
reported.  Loaders are started, algorithms chosen and graphs captured before the first turn.

The floor: the step's multiply-adds over the rate of the best matrix product of this machine and over that of the
network's convolutions alone, and the bytes that it must move over the rate of a copy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.training_contest import Contestant, Noise, Ours, Turns, Users, interval, take_turns, users_network
from benchmarks.training_floor import Floor, StepWork, floor_of, work_of
from resbench.errors import UserError

__all__ = ["GOAL", "GOAL_CUDA", "SCHEMA", "Speed", "as_json", "as_table", "main", "measure"]

SCHEMA = "resbench.training-speed/1"

GOAL, GOAL_CUDA = 1.3, 5.0
"""Times the speed of the user's loop at the same precision, on a CPU and on a GPU."""

IMAGES = 50_000
_TURN, _TURN_CUDA = 0.5, 1.0
_FEWEST_CUDA = 50
"""Steps of a turn on a GPU: many times what the loader's workers made in advance."""

_WARM, _WARM_CUDA = 1, 20
"""Steps before anything counts, and another: momentum, cuDNN's choice, and the capture of graphs after the third."""

Doing = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """``turns`` and ``floors`` by precision; ``load``: runnable processes before and after."""

    network: str
    batch: int
    side: int
    device: str
    threads: int
    workers: int
    work: StepWork
    turns: Mapping[str, Turns]
    floors: Mapping[str, Floor]
    load: tuple[float, float]

    @property
    def goal(self) -> float:
        return GOAL_CUDA if self.device.startswith("cuda") else GOAL

    def rate(self, seconds: Sequence[float]) -> float:
        """Images a second, in the median round."""
        return self.batch / statistics.median(seconds)

    def ratio(self, precision: str) -> float:
        """Ours over the user's, in the median round."""
        return statistics.median(self.turns[precision].ratios())


def measure(
    network: str,
    precisions: Sequence[str],
    *,
    batch: int,
    side: int,
    images: int,
    device: torch.device,
    workers: int,
    seconds: float,
    doing: Doing = lambda text: None,
) -> Speed:
    """Raises: UserError where the user's loop has no such network, or without torchvision."""
    cuda = device.type == "cuda"
    doing("preparing")
    model = users_network(network)
    data = Noise.of(images, side, classes=10)
    before = os.getloadavg()[0]
    pairs: dict[str, tuple[Contestant, Contestant]] = {
        precision: (
            Users(network, data, batch, workers, precision, device),
            Ours(network, data, batch, precision, device),
        )
        for precision in precisions
    }
    turns = take_turns(
        pairs,
        seconds=seconds,
        turn=_TURN_CUDA if cuda else _TURN,
        fewest_steps=_FEWEST_CUDA if cuda else 1,
        warmup=_WARM_CUDA if cuda else _WARM,
        doing=doing,
    )
    doing("measuring the rates of this machine")
    work, threads = work_of(model, side), torch.get_num_threads()
    return Speed(
        network=network,
        batch=batch,
        side=side,
        device=str(device),
        threads=threads,
        workers=workers,
        work=work,
        turns=turns,
        floors={precision: floor_of(work, batch, str(device), threads, precision) for precision in precisions},
        load=(before, os.getloadavg()[0]),
    )


def as_json(speed: Speed) -> dict[str, Any]:
    """Medians and intervals; the raw seconds as well."""
    from resbench.records.environment import environment

    return {
        "schema": SCHEMA,
        "network": speed.network,
        "batch": speed.batch,
        "input": [3, speed.side, speed.side],
        "device": speed.device,
        "threads": speed.threads,
        "loader_workers": speed.workers,
        "goal": speed.goal,
        "multiply_adds_an_image": speed.work.macs,
        "parameters": speed.work.parameters,
        "precisions": {precision: _precision_json(speed, precision) for precision in speed.turns},
        "load": list(speed.load),
        "environment": environment(),
    }


def _precision_json(speed: Speed, precision: str) -> dict[str, Any]:
    turns, floor = speed.turns[precision], speed.floors[precision]
    low, high, sure = interval(turns.ratios())
    return {
        "ratio": {"median": speed.ratio(precision), "low": low, "high": high, "confidence": sure},
        "reached": speed.ratio(precision) >= speed.goal,
        "images_per_second": {"user": speed.rate(turns.users), "resbench": speed.rate(turns.ours)},
        "floor_seconds_a_step": asdict(floor),
        "of_floor": {"user": _of_floor(floor, turns.users), "resbench": _of_floor(floor, turns.ours)},
        "steps_a_turn": turns.steps,
        "seconds_a_step": {"user": list(turns.users), "resbench": list(turns.ours)},
    }


def _of_floor(floor: Floor, seconds: Sequence[float]) -> dict[str, float]:
    """The least time over the time taken."""
    return {name: least / statistics.median(seconds) for name, least in asdict(floor).items()}


def as_table(speed: Speed) -> str:
    """At most 80 columns."""
    lines = [
        f"{speed.network}: {speed.work.parameters:,} parameters, 3x{speed.side}x{speed.side}, batch {speed.batch}",
        f"{speed.device}, {speed.threads} thread{'s' * (speed.threads > 1)}; the user's loader: "
        f"{speed.workers} worker{'s' * (speed.workers != 1)}; load {speed.load[0]:.1f} to {speed.load[1]:.1f}",
        "",
        f"{'':<20}{'images/s':>9}{'ms a step':>11}{'times the user':>20}{'of floor*, %':>20}",
    ]
    verdicts, taken, busier = list[str](), list[str](), False
    for precision, turns in speed.turns.items():
        low, high, _ = interval(turns.ratios())
        ratio, floor = speed.ratio(precision), speed.floors[precision]
        lines.append(_row(speed, f"user's loop, {precision}", turns.users, "1", floor))
        lines.append(_row(speed, f"resbench, {precision}", turns.ours, f"{ratio:.2f} ({low:.2f}-{high:.2f})", floor))
        verdicts.append(f"{precision} {'reached' if ratio >= speed.goal else 'missed'} ({ratio:.2f})")
        taken.append(f"{precision} {len(turns.ours)} rounds of {turns.steps} step{'s' * (turns.steps > 1)}")
        busier = busier or max(_of_floor(floor, turns.ours).values()) > 1.0
    lines += [f"goal: at least {speed.goal:g} times: {', '.join(verdicts)}", f"in turns: {', '.join(taken)}"]
    if busier:
        lines.append("above 100 %: the machine was busier while its rates were measured")
    return "\n".join(lines)


def _row(speed: Speed, words: str, seconds: Sequence[float], ratio: str, floor: Floor) -> str:
    floors = " / ".join(f"{100 * share:.0f}" for share in _of_floor(floor, seconds).values())
    milliseconds = 1e3 * statistics.median(seconds)
    return f"{words:<20}{speed.rate(seconds):>9.1f}{milliseconds:>11.1f}{ratio:>20}{floors:>20}"


_NOTES = """
The ratio: the median round's, and an interval of 95 % for it (below six rounds
the range).
* the least time over the time taken: of the multiply-adds, by the rate of
  matrix products / of the network's convolutions alone, forwards and backwards;
  of the bytes that must move, by that of copies"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured, goals reached or not; 2: bad usage."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.batch < 2 or given.images < given.batch or given.side < 8 or min(given.threads, given.seconds) < 0:
        parser.error("at least 2 images in a batch, a batch of --images, and 8 pixels; nothing below 0")
    if given.workers is not None and given.workers < 0:
        parser.error("--workers is 0 or more")
    threads = torch.get_num_threads()
    try:
        device, precisions = _device(given.device), _precisions(given.precision, given.device)
        torch.set_num_threads(given.threads or threads)
        speed = measure(
            given.network,
            precisions,
            batch=given.batch,
            side=given.side,
            images=given.images,
            device=device,
            workers=given.workers if given.workers is not None else 4 if device.type == "cuda" else 2,
            seconds=given.seconds,
            doing=lambda text: print(f"training_speed: {text}", file=sys.stderr, flush=True),
        )
        found = as_json(speed)
        if given.record is not None:
            _write(given.record, found)
    except UserError as error:
        parser.error(str(error))
    except torch.OutOfMemoryError:
        parser.error(f"out of memory on {given.device}: a smaller --batch, or one --precision at a time")
    finally:
        torch.set_num_threads(threads)
    print(json.dumps(found, indent=1) if given.format == "json" else as_table(speed) + "\n" + _NOTES)
    return 0


def _device(name: str) -> torch.device:
    """Raises: UserError where there is none."""
    from resbench.checking import check_device

    check_device(name)
    return torch.device(name)


def _precisions(words: str, device: str) -> list[str]:
    """Raises: UserError where one is unknown there."""
    cuda = device.startswith("cuda")
    known = ("bf16", "tf32", "float32") if cuda else ("float32", "bf16")
    found = list(dict.fromkeys(words.split(","))) if words else list(known[:2])
    for word in found:
        if word not in known:
            raise UserError(f"--precision {word}: on {device} one of {', '.join(known)}")
    return found


def _write(path: Path, found: dict[str, Any]) -> None:
    """Raises: UserError."""
    from resbench.records.places import write_atomically

    write_atomically(path, json.dumps(found, indent=1).encode() + b"\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet110-preact", help="resnet<depth> or resnet<depth>-preact")
    parser.add_argument("--precision", default="", help="some of float32, tf32 (GPU) and bf16, with commas between")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=32, help="of the images, which are noise")
    parser.add_argument("--images", type=int, default=IMAGES, help="of the data set")
    parser.add_argument("--workers", type=int, help="of the user's loader; 2, or 4 beside a GPU, without")
    parser.add_argument("--seconds", type=float, default=120.0, help="for all turns, about; at least three rounds")
    parser.add_argument("--threads", type=int, default=0, help="of both; torch's own choice without")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--record", type=Path, help="also write the result there, as JSON")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
