"""``resbench ab`` on the same workload: its verdict SLOWER is the alarm."""

from __future__ import annotations

from pathlib import Path

from benchmarks.detection_tools import Judged, Knobs, ToolFailed
from benchmarks.detection_workload import BATCH, MODULE, SIDE, WIDTH, write
from resbench.timing.ab import AbOptions, AbRow, run_ab
from resbench.timing.change import Change
from resbench.timing.processes import Side
from resbench.timing.worker.case import Case

__all__ = ["Resbench", "judged"]

_CASE = Case(f"net:{MODULE}:build", f"{WIDTH}x{SIDE}x{SIDE}", passing="inference", batch=BATCH)


class Resbench:
    """Two folders with the workload, compared as two codes are: pairs of processes in lock step."""

    def __init__(self, folder: Path, knobs: Knobs):
        self._folder = folder
        self._options = AbOptions(knobs.resbench_pairs, knobs.resbench_seconds)

    def compare(self, slowdown: int) -> Judged:
        """Identical code against code that is ``slowdown`` per cent slower.

        Raises:
            ToolFailed: a side did not run.
            UserError: likewise, from the beginning.
        """
        result = run_ab(self._side("base", 0), self._side("head", slowdown), [(_CASE, _CASE)], self._options)
        return judged(result.rows[0])

    def _side(self, name: str, slowdown: int) -> Side:
        import resbench

        folder = self._folder / name
        write(folder, slowdown)
        source = Path(resbench.__file__).resolve().parents[1]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return Side(name, paths=(folder, source), package=MODULE, folder=folder, environment=threads)


def judged(row: AbRow) -> Judged:
    """The verdict on the one case.  Raises: ToolFailed where a side has no samples."""
    if row.change is Change.MISSING:
        raise ToolFailed(row.missing[1] or row.missing[0] or "no samples")
    return Judged(row.change.value, row.change is Change.SLOWER, row.ratio.estimate if row.ratio else None)
