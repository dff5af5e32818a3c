"""asv, pytest-benchmark and pyperf as they are run by their users, on the workload of a throw-away folder."""

from __future__ import annotations

import importlib.metadata
import json
import re
import site
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.detection_tools import Judged, Knobs, Peer, ToolFailed, clean_environment, run_tool
from benchmarks.detection_workload import write

__all__ = ["PEERS", "Asv", "Pyperf", "PytestBenchmark", "asv_mark", "pyperf_verdict", "pytest_verdict", "version"]

_ASV_SUITE = """import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


class Workload:
    version = "1"
    repeat = (1, 1000000, {seconds})

    def setup(self):
        from subject import make_step

        self.step = make_step()

    def time_step(self):
        self.step()
"""
"""The import is in ``setup`` so that asv's discovery, a process of its own, need not wait for torch."""

_PYTEST_FILE = """from subject import make_step


def test_step(benchmark):
    benchmark(make_step())
"""

_PYPERF_SCRIPT = """import pyperf

runner = pyperf.Runner()
if runner.parse_args().worker:
    from subject import make_step

    step = make_step()
else:
    step = print  # the parent process times nothing, and need not wait for torch
runner.bench_func("step", step)
"""


class Asv:
    """A repository with a commit for every run; ``asv run`` on the environment that we are in, then ``asv compare``.

    ``asv compare`` and ``asv continuous`` share their rule: beyond the factor of 1.1, and statistically different.
    ``asv continuous`` itself refuses an existing environment, and would build one with torch for every commit.
    """

    def __init__(self, folder: Path, knobs: Knobs):
        self._folder, self._home = folder / "repository", folder / "home"
        # asv keeps its machine's name in the home folder; ours is none of its business.
        self._environment = clean_environment(HOME=str(self._home), PYTHONUSERBASE=site.getuserbase())
        self._commits: list[str] = []
        suites = self._folder / "suites"
        suites.mkdir(parents=True)
        self._home.mkdir()
        (suites / "__init__.py").touch()
        (suites / "workload.py").write_text(_ASV_SUITE.format(seconds=knobs.asv_seconds))
        settings = {
            "version": 1,
            "project": "workload",
            "repo": ".",
            "branches": ["main"],
            "environment_type": "existing",
            "benchmark_dir": "suites",
        }
        (self._folder / "asv.conf.json").write_text(json.dumps(settings))
        (self._folder / ".gitignore").write_text(".asv/\n__pycache__/\n")
        self._git("init", "--quiet", "--initial-branch=main")
        self._asv("machine", "--yes")

    def measure(self, slowdown: int, against: int | None) -> int:
        write(self._folder, slowdown)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", f"{slowdown} % slower")
        commit = self._git("rev-parse", "HEAD").strip()
        self._asv("run", "-E", "existing", "--set-commit-hash", commit)
        self._commits.append(commit)
        return len(self._commits) - 1

    def judge(self, first: int, second: int) -> Judged:
        return asv_mark(self._asv("compare", self._commits[first], self._commits[second]))

    def _asv(self, *arguments: str) -> str:
        return run_tool([sys.executable, "-m", "asv", *arguments], self._folder, self._environment)[1]

    def _git(self, *arguments: str) -> str:
        who = ("-c", "user.name=resbench", "-c", "user.email=resbench@localhost", "-c", "commit.gpgsign=false")
        return run_tool(["git", *who, *arguments], self._folder, self._environment)[1]


def asv_mark(table: str) -> Judged:
    """The mark before the benchmark's row of ``asv compare``: ``+`` where it is listed as worsened."""
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 5 or "time_step" not in cells[-1]:
            continue
        mark, ratio = cells[0], cells[-2].lstrip("~")
        if mark not in ("", "+", "-"):
            raise ToolFailed(f"asv compare marks the benchmark with '{mark}'")
        words = {"+": "worsened", "-": "improved", "": "unchanged"}
        return Judged(words[mark], mark == "+", float(ratio) if re.fullmatch(r"[\d.]+", ratio) else None)
    raise ToolFailed("asv compare does not list the benchmark")


class PytestBenchmark:
    """``pytest --benchmark-save``, the second time with ``--benchmark-compare-fail=mean:5%``."""

    def __init__(self, folder: Path, knobs: Knobs):
        self._folder, self._seconds = folder, knobs.pytest_seconds
        self._outputs: list[tuple[int, str]] = []
        folder.mkdir(parents=True)
        (folder / "test_step.py").write_text(_PYTEST_FILE)
        (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
        # Other plugins of the environment only cost time at the start.
        self._environment = clean_environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    def measure(self, slowdown: int, against: int | None) -> int:
        write(self._folder, slowdown)
        options = ["-c", "pytest.ini", "-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin"]
        options += [f"--benchmark-storage=file://{self._folder}/saved", f"--benchmark-max-time={self._seconds}"]
        options += ["--benchmark-save=run"]
        if against is not None:
            # The files are numbered from 1.
            options += [f"--benchmark-compare={against + 1:04d}", "--benchmark-compare-fail=mean:5%"]
        done = run_tool([sys.executable, "-m", "pytest", *options], self._folder, self._environment, fails=True)
        if len(list(self._folder.glob("saved/*/*.json"))) != len(self._outputs) + 1:
            lines = [line for line in done[1].splitlines() if line.strip()]
            raise ToolFailed(f"pytest saved nothing: {lines[-1][:200] if lines else f'exit status {done[0]}'}")
        self._outputs.append(done)
        return len(self._outputs) - 1

    def judge(self, first: int, second: int) -> Judged:
        status, text = self._outputs[second]
        means = [self._mean(number) for number in (first, second)]
        return pytest_verdict(status, text, means[1] / means[0])

    def _mean(self, number: int) -> float:
        (file,) = self._folder.glob(f"saved/*/{number + 1:04d}_run.json")
        return float(json.loads(file.read_text())["benchmarks"][0]["stats"]["mean"])


def pytest_verdict(status: int, output: str, ratio: float) -> Judged:
    """Whether the run failed, and failed because the mean is more than 5 % above the other run's."""
    regressed = "Performance has regressed" in output
    if bool(status) != regressed:
        raise ToolFailed(f"pytest ended with {status} and {'a' if regressed else 'no'} regression")
    return Judged("regressed" if regressed else "passed", regressed, ratio)


class Pyperf:
    """A script with ``pyperf.Runner().bench_func``, then ``pyperf compare_to``."""

    def __init__(self, folder: Path, knobs: Knobs):
        self._folder, self._count = folder, 0
        self._options = ["-p", str(knobs.pyperf_processes), "-n", str(knobs.pyperf_values), "--quiet"]
        folder.mkdir(parents=True)
        (folder / "script.py").write_text(_PYPERF_SCRIPT)

    def measure(self, slowdown: int, against: int | None) -> int:
        write(self._folder, slowdown)
        inherited = "--inherit-environ=OMP_NUM_THREADS,MKL_NUM_THREADS"
        file = f"{self._count}.json"
        run_tool([sys.executable, "script.py", *self._options, inherited, "-o", file], self._folder)
        self._count += 1
        return self._count - 1

    def judge(self, first: int, second: int) -> Judged:
        command = [sys.executable, "-m", "pyperf", "compare_to", f"{first}.json", f"{second}.json"]
        return pyperf_verdict(run_tool(command, self._folder)[1])


def pyperf_verdict(output: str) -> Judged:
    """The line of ``pyperf compare_to``: so many times slower or faster, or hidden as not significant."""
    found = re.search(r"([\d.]+)x (slower|faster)", output)
    if found is not None:
        factor, word = float(found[1]), found[2]
        return Judged(word, word == "slower", factor if word == "slower" else 1 / factor)
    if "not significant" in output or "no change" in output:
        return Judged("not significant", False)
    raise ToolFailed("pyperf compare_to does not list the benchmark")


PEERS: dict[str, tuple[str, Callable[[Path, Knobs], Peer]]] = {
    "asv": ("asv", Asv),
    "pytest-benchmark": ("pytest-benchmark", PytestBenchmark),
    "pyperf": ("pyperf", Pyperf),
}
"""Tools by name: the distribution that must be installed, and how it is run."""


def version(distribution: str) -> str | None:
    """Of an installed distribution; None where there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
