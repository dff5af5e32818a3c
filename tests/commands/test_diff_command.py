"""`resbench diff`: formats and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.judging.run_samples import document, verdict

from conftest import Run


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path / "a", document(verdict())), written(tmp_path / "b", document(verdict(status="VIOLATED")))


def written(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "verdicts.json").write_text(json.dumps(content))
    return folder


def test_worse_is_exit_code_1(run: Run, folders: tuple[Path, Path]) -> None:
    before, after = map(str, folders)
    code, out, err = run("diff", before, after)
    assert (code, err) == (1, "")
    assert out.startswith("1 claim became worse")
    assert "HOLDS → VIOLATED: veit-one@digits" in out


def test_better_and_the_same_are_exit_code_0(run: Run, folders: tuple[Path, Path]) -> None:
    before, after = map(str, folders)
    assert run("diff", after, before)[0] == 0
    assert run("diff", before, f"{before}/verdicts.json")[0] == 0


def test_a_claim_that_is_gone_is_exit_code_1(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    empty = written(tmp_path / "c", document())
    code, out, _ = run("diff", str(folders[0]), str(empty))
    assert code == 1
    assert "HOLDS → gone" in out


@pytest.mark.parametrize("format", ["json", "md"])
def test_formats(run: Run, folders: tuple[Path, Path], format: str) -> None:
    code, out, _ = run("diff", *map(str, folders), "--format", format)
    assert code == 1
    if format == "json":
        assert json.loads(out)["flips"][0]["claim"] == "veit-one@digits"
    else:
        assert out.startswith("## Changes: 1 claim became worse")


def test_in_a_job(run: Run, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    code, out, _ = run("diff", *map(str, folders), "--format", "github")
    assert code == 1
    assert out.splitlines()[-1] == "::error title=HOLDS → VIOLATED veit-one@digits::veit-one is VIOLATED"
    assert (tmp_path / "summary.md").read_text().startswith("## Changes: 1 claim became worse")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert run("diff", *map(str, folders), "--format", "github")[0] == 1


@pytest.mark.parametrize("content", ["", '{"schema": 1, "verdicts"', "[]", '{"schema": 7, "verdicts": []}'])
def test_bad_input_is_exit_code_2_and_one_line(
    run: Run, folders: tuple[Path, Path], tmp_path: Path, content: str
) -> None:
    (tmp_path / "bad.json").write_text(content)
    code, out, err = run("diff", str(folders[0]), str(tmp_path / "bad.json"))
    assert (code, out) == (2, "")
    assert err.startswith(f"resbench: {tmp_path / 'bad.json'}: ")
    assert err.count("\n") == 1


def test_what_is_not_there(run: Run, folders: tuple[Path, Path]) -> None:
    code, _, err = run("diff", str(folders[0]), "nowhere")
    assert code == 2
    assert err == "resbench: nowhere: No such file or directory; `resbench check --out FOLDER` writes one\n"
