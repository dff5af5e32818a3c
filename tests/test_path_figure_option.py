"""`resbench paths --figure`: neither the figure nor the numbers can lose the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Run
from resbench.reports.figures import saving

SMALL = ("paths", "resnet20", "--input", "3x8x8", "--max-length", "2", "--no-participation")


def test_the_figure_is_written_beside_the_numbers(run: Run, tmp_path: Path) -> None:
    code, out, err = run(*SMALL, "--format", "json", "--figure", str(tmp_path / "paths.svg"))
    assert (code, json.loads(out)["n_units"]) == (0, 9), err
    assert (tmp_path / "paths.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("name", ["paths.gif", "paths", "file/paths.svg"])
def test_a_file_that_cannot_be_written_is_said_before_measuring(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("resbench.unravelling.paths_of", lambda *_: pytest.fail("measured"))
    code, out, err = run(*SMALL, "--figure", str(tmp_path / name))
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_disk_that_fills_up_meanwhile_does_not_lose_the_numbers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        if content:
            raise saving.UserError(f"cannot write {path}: No space left on device; choose another folder")

    monkeypatch.setattr(saving, "write_atomically", full)
    code, out, err = run(*SMALL, "--format", "json", "--figure", str(tmp_path / "paths.png"))
    assert (code, json.loads(out)["n_units"]) == (2, 9)
    assert "No space left" in err
