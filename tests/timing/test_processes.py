"""Real workers: on this code, on another copy of it, on none, and dying."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import resbench
from resbench.errors import UserError
from resbench.timing.processes import Side, Worker, WorkerDied, here
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.seen import Round

_CASE = msgspec.to_builtins(Case("unit:single", "16@32", passing="inference", batch=1))

_COPY = """
from torch import nn
from resbench.errors import UserError

def create_unit(name, inputs, width):
    print("printed by the code under test")
    if name != "single":
        raise UserError(f"no unit is named {name!r}")
    return nn.Conv2d(inputs, width, 1)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a resbench of its own, which has one unit: a 1x1 convolution."""
    package = tmp_path / "resbench"
    (package / "networks").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "networks" / "__init__.py").touch()
    (package / "errors.py").write_text("class UserError(Exception): pass\n")
    (package / "networks" / "variants.py").write_text(_COPY)
    return tmp_path


def test_a_worker_measures_this_code() -> None:
    with Worker(here("here")) as worker:
        assert Path(worker.greet()["file"]) == Path(resbench.__file__)
        seen = msgspec.convert(worker.ask("measure", case=_CASE, seconds=0.01)["round"], Round)
        assert len(seen.seconds) >= 5
        worker.ask("prepare", case=_CASE)
        assert worker.ask("time", steps=3)["seconds"] > 0
        counts = worker.ask("count", case=_CASE)["counts"]
        assert counts["macs"] == 16 * 16 * 9 * 32 * 32
        assert worker.ask("close") == {}
        with pytest.raises(CaseError, match="nothing is prepared"):
            worker.ask("time", steps=1)


def test_the_ruler_is_ours_and_the_code_is_theirs(copy: Path) -> None:
    """The copy has no timing package; what it prints does not disturb the conversation."""
    with Worker(Side("copy", paths=(copy,))) as worker:
        assert Path(worker.greet()["file"]).is_relative_to(copy)
        assert worker.ask("count", case=_CASE)["counts"]["macs"] == 16 * 16 * 32 * 32
        with pytest.raises(CaseError, match="no unit is named 'preact'"):
            worker.ask("prepare", case=_CASE | {"subject": "unit:preact"})
        with pytest.raises(CaseError, match="not in this revision or environment"):
            worker.ask("prepare", case=_CASE | {"subject": "net:resnet20", "shape": "3x32x32"})
        assert worker.ask("prepare", case=_CASE)["version"] == "1"


def test_a_folder_without_the_package_is_not_mistaken_for_the_installed_one(tmp_path: Path) -> None:
    with (
        Worker(Side("empty", paths=(tmp_path,))) as worker,
        pytest.raises(UserError, match=r"empty: .* is imported from"),
    ):
        worker.greet()


def test_code_that_does_not_import_is_one_line(copy: Path) -> None:
    (copy / "resbench" / "__init__.py").write_text("raise RuntimeError('first line\\nsecond line')\n")
    with Worker(Side("broken", paths=(copy,))) as worker, pytest.raises(UserError, match="first line") as caught:
        worker.greet()
    assert "\n" not in str(caught.value)


def test_an_error_of_the_code_under_test_is_an_answer(copy: Path) -> None:
    source = copy / "resbench" / "networks" / "variants.py"
    source.write_text("def create_unit(*_):\n    return 7\n")
    with Worker(Side("odd", paths=(copy,))) as worker:
        with pytest.raises(CaseError, match="int"):
            worker.ask("prepare", case=_CASE)
        assert worker.greet()


def test_a_worker_that_is_killed_says_so() -> None:
    with Worker(here("here")) as worker:
        os.kill(worker.greet()["pid"], 9)
        with pytest.raises(WorkerDied, match="killed by signal 9"):
            worker.ask("close")


def test_last_words_are_the_last_line_of_standard_error(copy: Path) -> None:
    (copy / "resbench" / "__init__.py").write_text("import os, sys\nsys.stderr.write('out of luck\\n')\nos._exit(3)\n")
    with Worker(Side("dying", paths=(copy,))) as worker, pytest.raises(UserError, match="exit status 3: out of luck"):
        worker.greet()


def test_a_python_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot start"):
        Worker(Side("none", python=str(tmp_path / "python")))


def test_a_worker_ends_with_its_context() -> None:
    with Worker(here("here")) as worker:
        pid = worker.greet()["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cores are chosen on Linux only")
def test_a_worker_runs_on_the_cores_it_is_given() -> None:
    core = min(os.sched_getaffinity(0))
    with Worker(here("here"), cores=[core]) as worker:
        assert os.sched_getaffinity(worker.greet()["pid"]) == {core}


def test_the_users_module_path_is_kept_but_not_for_another_environment(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(copy))
    with Worker(Side("a user's")) as worker:
        assert Path(worker.greet()["file"]).is_relative_to(copy)
    with Worker(here("ours")) as worker:
        assert Path(worker.greet()["file"]) == Path(resbench.__file__)
    with Worker(Side("another environment", inherit=False)) as worker, suppress(UserError):  # it may have none
        assert not Path(worker.greet()["file"]).is_relative_to(copy)
