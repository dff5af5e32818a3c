"""How much faster lesions are than in the loop a user would write: ``python -m benchmarks.lesion_speed``.

Resnet56 (27 units) at 32x32: every single deletion, 200 random deletions of 1 to 20 units, and all pairs.  Everything
is measured in one run: the images are cut into slices, and on each slice the user's loop (``benchmarks/user_loop.py``)
and the engine take turns; a ratio is formed within each slice, and the median is reported.  Predictions are compared:
where one differs, the two logits must be tied, or the command says DIFFERENT and ends with exit code 1.

The floor: the multiply-adds of what each computes, over the rate of the best matrix product of this machine, and over
that of the network's convolutions alone.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.floor import convolution_rate, convolutions, matrix_rate
from benchmarks.lesion_contest import LOOP, TIE, Contest, Sweep
from benchmarks.lesion_subject import random_subject
from resbench.errors import UserError
from resbench.targets.load import load_target
from resbench.targets.options import TargetOptions
from resbench.targets.target import UserTarget

__all__ = ["GOALS", "GOALS_CUDA", "Speed", "as_json", "as_table", "main", "measure"]

GOALS = {"single": 3.5, "multi": 1.8, "pairs": 3.0}
"""Times the loop's speed, on a CPU."""

GOALS_CUDA = {"single": 6.0}
"""On a GPU, in bfloat16."""

AGREEMENT = 0.999
"""Share of the predictions on a GPU that are the loop's."""

WHOLE = 10_000
"""Images of a whole test set, for which totals are extrapolated."""

_WORDS = {
    LOOP: "user's loop",
    "float32": "engine, float32",
    "screened": "engine, screened",
    "bfloat16": "engine, bfloat16",
}


@dataclass(frozen=True)
class Speed:
    """``rates``: multiply-adds a second, of ``matrix`` products and of the network's ``convolutions``, by format."""

    network: str
    units: int
    input: tuple[int, ...]
    trained: bool
    threads: int
    device: str
    loader: str
    preparation: Mapping[str, float]
    rates: Mapping[str, Mapping[str, float]]
    sweeps: Mapping[str, Sweep]
    absent: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def total(self, sweep: Sweep, name: str) -> float:
        """Seconds for :data:`WHOLE` images with all preparation, extrapolated."""
        once = self.preparation.get(name, 0.0) + sweep.calibration[name]
        return once + WHOLE * sweep.image_seconds(name)

    def of_floor(self, sweep: Sweep, name: str, rate: str) -> float:
        """The least time for what the contestant computes, over its time."""
        macs = sweep.work.alone if name == LOOP else sweep.work.shared
        return macs / self.rates[rate][_number_format(name, self.device)] / sweep.image_seconds(name)

    def goal(self, mode: str, name: str) -> float | None:
        """That of a contestant; None where there is none for it."""
        if self.device.startswith("cuda"):
            return GOALS_CUDA.get(mode) if name == "bfloat16" else None
        return GOALS.get(mode) if name != LOOP else None

    def reached(self, mode: str, name: str) -> bool | None:
        """Whether the median ratio reaches the goal, with predictions that agree as they should."""
        goal, sweep = self.goal(mode, name), self.sweeps[mode]
        return None if goal is None else statistics.median(sweep.ratios(name)) >= goal and self.agrees(sweep, name)

    def agrees(self, sweep: Sweep, name: str) -> bool:
        """Whether the predictions are the loop's as far as they should be: on a GPU the loop runs in TF32."""
        found = sweep.differences[name]
        return found.agreement >= AGREEMENT if self.device.startswith("cuda") else found.identical

    @property
    def different(self) -> bool:
        """Whether some prediction differs that is no tie."""
        return any(not self.agrees(sweep, name) for sweep in self.sweeps.values() for name in sweep.differences)


def _number_format(name: str, device: str) -> str:
    """In which a contestant multiplies; torch's convolutions on a GPU take TF32 where nobody says otherwise."""
    if name in ("screened", "bfloat16"):
        return "bfloat16"
    return "tf32" if name == LOOP and device.startswith("cuda") else "float32"


def measure(
    target: UserTarget,
    *,
    modes: Mapping[str, int],
    size: int,
    loader: str = "tensors",
    doing: Callable[[str], None] = lambda text: None,
) -> Speed:
    """``modes``: how many slices of ``size`` images each takes.

    Raises:
        UserError: units that cannot be replaced by hand, or images that the loader cannot have.
    """
    device, threads = str(target.device), torch.get_num_threads()
    doing("preparing")
    precisions = ("float32", "bfloat16") if target.device.type == "cuda" else ("float32", "screened")
    contest = Contest(target, precisions, size, loader)
    sweeps = {mode: contest.measure(mode, slices, doing) for mode, slices in modes.items()}
    doing("measuring the rates of this machine")
    layers = convolutions(target.model, target.example)
    formats = dict.fromkeys(_number_format(name, device) for name in (LOOP, *contest.preparation))
    rates = {
        "matrix": {format: matrix_rate(device, threads, format) for format in formats},
        "convolutions": {format: convolution_rate(layers, device, threads, format) for format in formats},
    }
    return Speed(
        network=target.name,
        units=len(target.units),
        input=tuple(target.example.shape[1:]),
        trained=target.trained,
        threads=threads,
        device=device,
        loader=loader,
        preparation=contest.preparation,
        rates=rates,
        sweeps=sweeps,
        absent=contest.absent,
        notes=contest.notes,
    )


def as_json(speed: Speed) -> dict[str, Any]:
    """Medians and ranges; the raw seconds as well."""
    from resbench.records.environment import environment

    return {
        "network": speed.network,
        "units": speed.units,
        "input": list(speed.input),
        "trained": speed.trained,
        "threads": speed.threads,
        "device": speed.device,
        "loader": speed.loader,
        "identical": not speed.different,
        "preparation_seconds": dict(speed.preparation),
        "absent": dict(speed.absent),
        "engine": {name: dict(notes) for name, notes in speed.notes.items()},
        "rates": {rate: dict(found) for rate, found in speed.rates.items()},
        "sweeps": {mode: _sweep_json(speed, mode, sweep) for mode, sweep in speed.sweeps.items()},
        "environment": environment(),
    }


def _sweep_json(speed: Speed, mode: str, sweep: Sweep) -> dict[str, Any]:
    names = list(sweep.seconds)
    goals = {name: speed.goal(mode, name) for name in names}
    return {
        "lesions": sweep.lesions,
        "slice": sweep.size,
        "ratios": {name: _summary(sweep.ratios(name)) for name in names if name != LOOP},
        "goals": {name: goal for name, goal in goals.items() if goal is not None},
        "reached": {name: speed.reached(mode, name) for name, goal in goals.items() if goal is not None},
        "calibration_seconds": dict(sweep.calibration),
        f"extrapolated_seconds_{WHOLE}": {name: speed.total(sweep, name) for name in names},
        "multiply_adds_an_image": {"alone": sweep.work.alone, "shared": sweep.work.shared},
        "of_floor": {rate: {name: speed.of_floor(sweep, name, rate) for name in names} for rate in speed.rates},
        "predictions": {
            name: {
                "compared": found.predictions,
                "differing": found.differing,
                "ties": found.ties,
                "widest_gap": found.widest if math.isfinite(found.widest) else None,
                "agreement": found.agreement,
            }
            for name, found in sweep.differences.items()
        },
        "seconds": {name: list(values) for name, values in sweep.seconds.items()},
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def as_table(speed: Speed) -> str:
    """At most 80 columns."""
    rates = [
        f"{_WORDS.get(name, name).removeprefix('engine, ')} {speed.rates['matrix'][name] / 1e9:.0f} and "
        f"{speed.rates['convolutions'][name] / 1e9:.0f}"
        for name in speed.rates["matrix"]
    ]
    ready = [f"{name} {seconds:.1f} s" for name, seconds in speed.preparation.items()]
    lines = [
        f"{speed.network}: {speed.units} units, {'x'.join(map(str, speed.input))}, "
        f"{'trained' if speed.trained else 'random weights'}, {speed.device}, "
        f"{speed.threads} thread{'s' if speed.threads > 1 else ''}",
        f"the user's loader: {speed.loader}; to make ready: {', '.join(ready)}",
        "G multiply-adds/s, matrix product and the network's convolutions:",
        f"  {', '.join(rates)}",
        *(f"not measured: {_WORDS[name]} ({reason})" for name, reason in speed.absent.items()),
    ]
    for mode, sweep in speed.sweeps.items():
        lines += ["", *_sweep_table(speed, mode, sweep)]
    return "\n".join(lines)


def _sweep_table(speed: Speed, mode: str, sweep: Sweep) -> list[str]:
    slices = len(sweep.seconds[LOOP])
    lines = [
        f"{mode}: {sweep.lesions} networks, {slices} slice{'s' if slices > 1 else ''} of {sweep.size} images",
        f"{'':<18}{'ms an image':>12}{'times the loop':>20}{f'{WHOLE:,} images*':>17}{'of floor**':>13}",
    ]
    for name in sweep.seconds:
        ratio = "1" if name == LOOP else _range(sweep.ratios(name))
        total = f"{speed.total(sweep, name):,.0f} s"
        if name != LOOP:
            total += f" ({speed.total(sweep, LOOP) / speed.total(sweep, name):.2f})"
        floors = [f"{100 * speed.of_floor(sweep, name, rate):.0f}" for rate in ("matrix", "convolutions")]
        shown = 1e3 * sweep.image_seconds(name)
        lines.append(f"{_WORDS[name]:<18}{shown:>12.1f}{ratio:>20}{total:>17}{' / '.join(floors) + ' %':>13}")
    goal = [name for name in sweep.seconds if speed.goal(mode, name) is not None]
    if goal:
        verdicts = [
            f"{name} {'reached' if speed.reached(mode, name) else 'missed'} "
            f"({statistics.median(sweep.ratios(name)):.2f})"
            for name in goal
        ]
        lines.append(f"goal: at least {speed.goal(mode, goal[0]):g} times: {', '.join(verdicts)}")
    lines += [_compared(speed, sweep, name) for name in sweep.differences]
    return lines


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _compared(speed: Speed, sweep: Sweep, name: str) -> str:
    found = sweep.differences[name]
    told = f"{name}: of {found.predictions:,} predictions "
    if not found.differing:
        return told + "all are the loop's"
    if speed.device.startswith("cuda"):
        enough = "" if speed.agrees(sweep, name) else "DIFFERENT: "
        return f"{enough}{told}{100 * found.agreement:.3f} % are the loop's"
    if found.identical:
        return f"{told}{found.differing} differ, ties all (below {TIE:g})"
    return f"DIFFERENT: {told}{found.differing} differ, {found.ties} are ties, by up to {found.widest:.2g}"


_NOTES = """
*  with making ready and calibration; extrapolated from the time an image
** the least time for its multiply-adds, over its time: by the rate of matrix
   products / of the network's convolutions; screened, bfloat16: bfloat16's"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured, goals reached or not; 1: predictions differ; 2: bad usage."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.quick:
        given.images, given.slices = 128, 2
    if given.slices < 1 or given.images < 2 * given.slices or given.threads < 0:
        parser.error("at least 1 slice, and 2 images in each")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(given.threads or threads)
        speed = measure(
            _target(given),
            modes={mode: _slices(mode, given.slices) for mode in dict.fromkeys(given.mode or GOALS)},
            size=given.images // given.slices,
            loader=given.loader,
            doing=lambda text: print(f"lesion_speed: {text}", file=sys.stderr, flush=True),
        )
    except UserError as error:
        parser.error(str(error))
    finally:
        torch.set_num_threads(threads)
    print(json.dumps(as_json(speed), indent=1) if given.format == "json" else as_table(speed) + "\n" + _NOTES)
    return int(speed.different)


def _slices(mode: str, slices: int) -> int:
    """Half of them for the long lists."""
    return slices if mode == "single" else math.ceil(slices / 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lesion_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="resnet56", help="without --data: a residual network of the zoo")
    parser.add_argument("--checkpoint", type=Path, help="its weights; random ones without")
    parser.add_argument("--data", default="", help="cifar10:ROOT, npz:FILE or imagefolder:ROOT; noise without")
    parser.add_argument("--units", action="append", default=[], help="globs of the modules that are the units")
    parser.add_argument("--mode", action="append", choices=tuple(GOALS), help="may be repeated; all without")
    parser.add_argument("--images", type=int, default=512, help="of the single deletions; others take half of them")
    parser.add_argument("--slices", type=int, default=4, help="in which they are measured")
    parser.add_argument("--side", type=int, default=32, help="of images of noise")
    parser.add_argument("--loader", choices=("tensors", "transforms"), default="tensors", help="the user's")
    parser.add_argument("--threads", type=int, default=0, help="of both; torch's own choice without")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="128 images in 2 slices")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    return parser


def _target(given: argparse.Namespace) -> UserTarget:
    """Raises: UserError."""
    from resbench.checking import check_device

    check_device(given.device)
    if not given.data:
        if given.checkpoint is not None:
            raise UserError("--checkpoint goes with --data")
        return random_subject(given.target, given.images, given.side, given.device)
    options = TargetOptions(
        target=given.target,
        checkpoint=given.checkpoint,
        data=given.data,
        units=tuple(given.units),
        limit=given.images,
        device=given.device,
    )
    target = load_target(options)
    if target.data is None or len(target.data) < given.images:
        raise UserError(f"--data {given.data}: fewer than {given.images} images")
    return target


if __name__ == "__main__":
    sys.exit(main())
