"""Who sees a slowdown, and who cries wolf: ``python -m benchmarks.detection``.

The same workload for ``resbench ab``, asv, pytest-benchmark and pyperf, on identical code and with known slowdowns,
with the same wall time for a comparison.  A trial is one comparison of identical code and one with a slowdown, for each
tool; slowdowns take turns over the trials, and so does the order of the tools.

Peers measure one code at a time: a trial is three of their runs, base, base and slow, and the second base is used
twice.  Adjacent runs are their best case: whoever compares with a run of yesterday has yesterday's machine in it.
resbench is given the time for its first look; a comparison that is AMBIGUOUS then takes as long again, which its mean
time shows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.detection_neighbours import neighbours, words
from benchmarks.detection_own import Resbench
from benchmarks.detection_peers import PEERS, version
from benchmarks.detection_record import WORKLOAD, Comparison, Record, Session, load, opened, save
from benchmarks.detection_table import RULES, as_json, as_table
from benchmarks.detection_tools import Judged, Knobs, Peer, ToolFailed, knobs, starting_seconds
from benchmarks.detection_workload import MODULE, SLOWDOWNS, write
from resbench.errors import UserError

__all__ = ["BUDGET", "Turn", "main", "own_turn", "peer_turn", "run_trials"]

BUDGET = 25.0
"""Wall seconds a comparison, starting-up included."""

TRIALS = 12
OUT = Path(".resbench") / "detection.json"


@dataclass(frozen=True)
class Outcome:
    """One comparison of a turn; ``seconds`` of wall time; ``judged`` is None where there is no verdict."""

    slowdown: int
    seconds: float
    judged: Judged | None
    error: str = ""


Turn = Callable[[int], list[Outcome]]
"""A tool's part of a trial with this slowdown: identical code first, then the slowdown."""

Now = Callable[[], float]


def own_turn(compare: Callable[[int], Judged], now: Now = time.perf_counter) -> Turn:
    """Of a tool that measures both codes together."""

    def turn(slowdown: int) -> list[Outcome]:
        outcomes = []
        for each in (0, slowdown):
            started = now()
            try:
                judged, error = compare(each), ""
            except (ToolFailed, UserError) as failure:
                judged, error = None, str(failure)
            outcomes.append(Outcome(each, now() - started, judged, error))
        return outcomes

    return turn


def peer_turn(peer: Peer, now: Now = time.perf_counter) -> Turn:
    """Of a tool that measures one code at a time: base, base, slow; two comparisons of adjacent runs."""

    def turn(slowdown: int) -> list[Outcome]:
        runs: list[tuple[int, float]] = []
        outcomes: list[Outcome] = []
        for each in (0, 0, slowdown):
            started, judged = now(), None
            try:
                runs.append((peer.measure(each, runs[-1][0] if runs else None), now() - started))
                judging = now()
                if len(runs) > 1:
                    judged = peer.judge(runs[-2][0], runs[-1][0])
            except ToolFailed as failure:
                # What follows has nothing to be compared with.
                return [*outcomes, *(Outcome(one, 0.0, None, str(failure)) for one in (0, slowdown)[len(outcomes) :])]
            if judged is not None:
                outcomes.append(Outcome(each, runs[-2][1] + runs[-1][1] + now() - judging, judged))
        return outcomes

    return turn


def run_trials(
    turns: dict[str, Turn], slowdowns: Sequence[int], trials: int, more: Callable[[], bool], record: Record, path: Path
) -> Record:
    """Do trials while there is time for ``more``; the record with them, which after every turn is on the disk.

    Raises:
        UserError: a tool gave no verdict in its first trial.
    """
    session = len(record.sessions) - 1
    for trial in range(trials):
        if not more():
            break
        # Who begins has the machine that the others have not had yet: each does so in turn.
        names = list(turns)
        shift = trial % len(names)
        for name in names[shift:] + names[:shift]:
            load, date = os.getloadavg()[0], datetime.now(UTC).isoformat(timespec="seconds")
            outcomes = turns[name](slowdowns[trial % len(slowdowns)])
            if trial == 0 and all(one.judged is None for one in outcomes):
                raise UserError(f"{name}: {outcomes[0].error}")
            made = tuple(_comparison(session, trial, name, one, load, date) for one in outcomes)
            record = msgspec.structs.replace(record, comparisons=record.comparisons + made)
            save(record, path)
            _tell(trial, made)
    return record


def _comparison(session: int, trial: int, tool: str, one: Outcome, load: float, date: str) -> Comparison:
    judged = one.judged or Judged("", False)
    return Comparison(
        session,
        trial,
        tool,
        one.slowdown,
        judged.verdict,
        judged.alarm,
        round(one.seconds, 2),
        date,
        judged.ratio,
        round(load, 2),
        one.error,
    )


def _tell(trial: int, made: Sequence[Comparison]) -> None:
    for one in made:
        ratio = "" if one.ratio is None else f" {one.ratio:.3f}"
        words = one.error or f"{one.verdict}{ratio}, {one.seconds:.1f} s"
        print(f"trial {trial + 1}: {one.tool} +{one.slowdown} %: {words}", file=sys.stderr, flush=True)


@contextmanager
def _prepared(tools: Sequence[str], budget: float) -> Iterator[tuple[dict[str, Turn], float, Knobs]]:
    """The tools' turns in a folder of their own, which goes again afterwards."""
    with tempfile.TemporaryDirectory(prefix="resbench-detection-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write(folder / "start", 0)
        try:
            start = starting_seconds(folder / "start", MODULE)
            chosen = knobs(budget, start)
            turns = {tool: _turn(tool, folder, chosen) for tool in tools}
        except ToolFailed as error:
            raise UserError(f"cannot begin: {error}") from error
        yield turns, start, chosen


def _turn(tool: str, folder: Path, chosen: Knobs) -> Turn:
    if tool == "resbench":
        return own_turn(Resbench(folder / tool, chosen).compare)
    return peer_turn(PEERS[tool][1](folder / tool, chosen))


def _session(start: float, chosen: Knobs, environment: dict[str, object]) -> Session:
    from resbench.timing.worker.machine import facts

    names = ["resbench", "torch", *(distribution for distribution, _ in PEERS.values())]
    versions = {name: version(name) for name in names}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Session(date, start, chosen.as_dict(), environment | facts(), versions)


def _run(arguments: argparse.Namespace) -> Record:
    from resbench.records.environment import environment
    from resbench.timing.fingerprint import fingerprint
    from resbench.timing.worker.machine import facts

    if not arguments.trials:
        return load(arguments.out)
    for tool in arguments.tools:
        if tool in PEERS and version(PEERS[tool][0]) is None:
            raise UserError(f"{tool} is not installed: pip install {PEERS[tool][0]}, or leave it out with --tools")
    workload = WORKLOAD + words(arguments.neighbours)
    record = opened(arguments.out, arguments.budget, fingerprint({**environment(), **facts()}), workload)
    save(record, arguments.out)  # a folder that cannot be written is better known now than after the first turn
    with _prepared(arguments.tools, arguments.budget) as (turns, start, chosen), neighbours(arguments.neighbours):
        session = _session(start, chosen, dict(environment()))
        record = msgspec.structs.replace(record, sessions=(*record.sessions, session))
        # After the preparations: --minutes is of trials.
        end = time.monotonic() + 60 * arguments.minutes if arguments.minutes else None
        try:
            return run_trials(
                turns,
                arguments.slowdowns,
                arguments.trials,
                lambda: end is None or time.monotonic() < end,
                record,
                arguments.out,
            )
        except KeyboardInterrupt:
            print("interrupted; every finished turn is kept", file=sys.stderr)
            return load(arguments.out)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--trials", type=_count, default=TRIALS, help=f"{TRIALS} by default; 0: show what --out holds")
    parser.add_argument("--minutes", type=_positive, help="begin no trial after these")
    parser.add_argument("--budget", type=_positive, default=BUDGET, help=f"seconds a comparison; {BUDGET:g} by default")
    parser.add_argument("--tools", type=_among(list(RULES)), default=list(RULES), help=f"of {','.join(RULES)}")
    parser.add_argument(
        "--slowdowns",
        type=lambda text: [int(one) for one in _among([str(s) for s in SLOWDOWNS])(text)],
        default=list(SLOWDOWNS),
        help="in per cent, of 5,10,20; they take turns",
    )
    parser.add_argument(
        "--neighbours", type=_count, default=0, help="programs that compute beside the tools, half of the time"
    )
    parser.add_argument("--out", type=Path, default=OUT, help=f"the file that trials are added to; {OUT} by default")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if int(text) < 0:
        raise ValueError
    return int(text)


def _positive(text: str) -> float:
    if not 0 < float(text) < float("inf"):
        raise ValueError
    return float(text)


def _among(known: Sequence[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        wrong = [name for name in names if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"'{wrong[0]}' is none of {', '.join(known)}")
        return names

    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 for bad usage or input."""
    arguments = _arguments(argv)
    try:
        record = _run(arguments)
    except UserError as error:
        print(f"detection: {error}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(record), indent=1) if arguments.format == "json" else as_table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
