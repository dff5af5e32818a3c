"""Our residual units beside torchvision's and timm's, and stochastic beside constant depth.

``python -m benchmarks.against_peers``.  Two fresh processes on the same code, one with their block and one with ours,
alternate call by call (:mod:`resbench.timing.lockstep`); so many pairs of processes go over all cases.  A unit beside
itself is the control: how far from 1 chance alone leads.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from benchmarks.against_peers_record import Measured, Record, as_json, as_table, load, opened, save
from resbench.errors import UserError
from resbench.timing.lockstep import CannotRun, log_ratio, run_pair
from resbench.timing.processes import Side, Worker, WorkerDied, here
from resbench.timing.worker.case import Case, CaseError

__all__ = ["PAIRS", "SECONDS", "chosen_cases", "main", "peer_cases", "run_rounds", "stochastic_cases"]

PAIRS = 3
SECONDS = 0.5
"""Of each side, a case and pair of processes."""

STOCHASTIC_BATCH = 32
"""Images a step: a block holds a whole cycle of draws, so that the paper's 128 would take half a minute a block."""

OUT = Path(".resbench") / "against-peers.json"

_BESIDE = 1.5
"""Seconds that a case takes beside its samples: both sides prepare, at the same time, and warm up in turn."""

_CYCLES = 400
_IMAGE_SECONDS = 0.018
"""Steps of a deep network, warming up and in lock step, and what they take for each image, of both depths."""

_CONTROLS = ("64@8", "16@32")

Pair = tuple[Case, Case]


def peer_cases() -> list[Pair]:
    """Every peer's block as base, ours that computes the same as head; and the controls."""
    from resbench.timing.worker.grid import cases
    from resbench.timing.worker.subjects import PEERS

    pairs = []
    for case in cases("peers"):
        if case.kind == "peer":
            pairs.append((case, msgspec.structs.replace(case, subject=f"unit:{PEERS[case.name][0]}")))
    controls = [
        (case, case)
        for case in dict.fromkeys(head for _, head in pairs)
        if case.name == "original" and case.shape in _CONTROLS
    ]
    return pairs + controls


def stochastic_cases(batch: int = STOCHASTIC_BATCH) -> list[Pair]:
    """Constant depth as base, linear decay to 0.5 of the same network as head (Huang 2016, section 4)."""
    constant, stochastic = (
        Case(f"net:resnet110-{name}", "3x32x32", passing="step", batch=batch)
        for name in ("option-a-pool", "stochastic")
    )
    return [(constant, stochastic)]


def chosen_cases(patterns: Sequence[str], batch: int = STOCHASTIC_BATCH) -> list[Pair]:
    """Those whose base's or head's key matches any of ``patterns``; all without patterns.

    Raises:
        UserError: none does.
    """
    pairs = peer_cases() + stochastic_cases(batch)
    if not patterns:
        return pairs
    found = [pair for pair in pairs if any(fnmatchcase(case.key, text) for case in pair for text in patterns)]
    if not found:
        raise UserError(f"no case matches {' or '.join(patterns)}: such as '{pairs[0][0].key}'")
    return found


def run_rounds(
    cases: Sequence[Pair],
    rounds: int,
    seconds: float,
    record: Record,
    path: Path,
    *,
    start: Callable[[Side], Worker] = Worker,
) -> Record:
    """``rounds`` pairs of fresh processes over all cases; every result is on the disk before the next begins.

    Raises:
        UserError: resbench does not run in a process of its own.
    """
    sides = here("peer"), here("ours")
    for index in range(rounds):
        # Forwards and backwards in turn, and whose process is started first, so that no order favours one side.
        remaining = list(cases if index % 2 == 0 else reversed(cases))
        while remaining:
            with ExitStack() as stack:
                order = sides if index % 2 == 0 else sides[::-1]
                by_name = {side.name: stack.enter_context(start(side)) for side in order}
                for worker in by_name.values():
                    worker.greet()
                while remaining:
                    one, alive = _measured(by_name["peer"], by_name["ours"], remaining.pop(0), seconds)
                    record = msgspec.structs.replace(record, measured=(*record.measured, one))
                    save(record, path)
                    _tell(index, len(remaining), one)
                    if not alive:
                        break
    return record


def _measured(base: Worker, head: Worker, pair: Pair, seconds: float) -> tuple[Measured, bool]:
    """One case, and whether the processes can go on."""
    load, date = round(os.getloadavg()[0], 2), datetime.now(UTC).isoformat(timespec="seconds")
    keys = pair[0].key, pair[1].key
    try:
        samples = run_pair(base, head, pair, seconds)
    except CannotRun as error:
        return Measured(*keys, date, load=load, error=str(error)), True
    except (CaseError, WorkerDied) as error:
        return Measured(*keys, date, load=load, error=str(error)), False
    ratio = math.exp(log_ratio(samples))
    return Measured(*keys, date, ratio, *samples.times, samples.steady, load), True


def _tell(index: int, left: int, one: Measured) -> None:
    words = one.error if one.ratio is None else f"{one.ratio:.3f}"
    print(f"pair {index + 1}, {left} cases left: {one.head} over {one.base}: {words}", file=sys.stderr, flush=True)


def _about(cases: Sequence[Pair], rounds: int, seconds: float) -> float:
    """Minutes, roughly."""
    networks = [base for base, _ in cases if base.kind == "net"]
    blocks = (len(cases) - len(networks)) * (2 * seconds + _BESIDE)
    return rounds * (blocks + sum(_CYCLES * one.batch * _IMAGE_SECONDS for one in networks)) / 60


def _run(arguments: argparse.Namespace) -> Record:
    from resbench.records.environment import environment
    from resbench.timing.fingerprint import fingerprint
    from resbench.timing.worker.machine import facts

    if not arguments.pairs:
        return load(arguments.out)
    cases = chosen_cases(arguments.select, arguments.batch)
    found = {**environment(), **facts()}
    record = opened(arguments.out, fingerprint(found), found)
    save(record, arguments.out)  # a folder that cannot be written is better known now than after the first case
    minutes = _about(cases, arguments.pairs, arguments.seconds)
    print(f"{len(cases)} cases, {arguments.pairs} pairs of processes: about {minutes:.0f} minutes", file=sys.stderr)
    try:
        return run_rounds(cases, arguments.pairs, arguments.seconds, record, arguments.out)
    except KeyboardInterrupt:
        print("interrupted; every finished case is kept", file=sys.stderr)
        return load(arguments.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 for bad usage or input."""
    prog = "python -m benchmarks.against_peers"
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of processes; {PAIRS} by default; 0: show --out")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each side, a case; {SECONDS} by default")
    parser.add_argument("--select", action="append", default=[], metavar="GLOB", help="cases by key; may be repeated")
    parser.add_argument("--batch", type=int, default=STOCHASTIC_BATCH, help="images a step of stochastic depth")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the file that pairs are added to; {OUT} by default")
    arguments = parser.parse_args(argv)
    if arguments.pairs < 0 or arguments.seconds <= 0 or arguments.batch < 1:
        parser.error("--pairs is 0 or more, --seconds and --batch are positive")
    try:
        record = _run(arguments)
    except UserError as error:
        print(f"against_peers: {error}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(record), indent=1) if arguments.format == "json" else as_table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
