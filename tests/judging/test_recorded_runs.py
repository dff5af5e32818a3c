"""A run's file read again: what was written, or one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.judging.run_samples import check, document, verdict
from tests.reports.report_samples import board

from resbench.errors import UserError
from resbench.judging.compare import Status
from resbench.judging.recorded import read_run
from resbench.reports import to_json


def test_what_check_writes_is_read(tmp_path: Path) -> None:
    """The file, or the folder that holds it; every verdict, with its checks and margins."""
    _, verdicts = board()
    (tmp_path / "verdicts.json").write_text(to_json(verdicts, {"python": "3.11", "packages": {"torch": None}}))
    run = read_run(tmp_path)
    assert run == read_run(tmp_path / "verdicts.json")
    assert [(one.name, one.status) for one in run.verdicts] == [(f"{v.id}@{v.setting}", v.status) for v in verdicts]
    for mine, theirs in zip(run.verdicts, verdicts, strict=True):
        assert [one.margin for one in mine.checks] == [one.judgement.margin for one in theirs.checks]
    assert run.named()["veit-depth@digits"].status is Status.INCONCLUSIVE
    assert any(one.margin for each in run.verdicts for one in each.checks)


def test_a_file_from_before_margins_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(document(verdict("a-b", "HOLDS", check(5.0, None)))))
    assert read_run(tmp_path / "old.json").verdicts[0].checks[0].margin is None


GOOD = document(verdict())


def edited(**fields: Any) -> str:
    return json.dumps({**GOOD, **fields})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no JSON, or is cut off (line 1)"),
        (edited()[:-20], "is no JSON, or is cut off"),
        ("\udcff".encode("utf-8", "surrogateescape"), "is no JSON, or is cut off;"),
        ("[" * 100_000, "is no JSON, or is cut off"),
        ("[]", "holds no verdicts"),
        ('{"schema": "resbench.timing/1"}', "holds no verdicts"),
        (edited(schema=2), "verdicts of schema '2', not 1; it is of a newer resbench: update"),
        (edited(schema="1"), "verdicts of schema '1', not 1; `resbench check --out FOLDER` writes it anew"),
        (edited(schema=True), "verdicts of schema 'True', not 1"),
        (edited(schema=None), "verdicts of schema 'None', not 1"),
        (edited(verdicts=[{**verdict(), "status": "GREEN"}]), "invalid enum value 'GREEN'"),
        (edited(verdicts=[{"id": "a"}]), "missing required field `version`"),
        (edited(verdicts=[{**verdict(), "status": "\ud800"}]), "surrogates not allowed"),
        (edited(verdicts=3), "expected `array`, got `int`"),
        (json.dumps(document(verdict(), verdict())), "has veit-one@digits twice"),
        (edited(summary={"HOLDS": 2}), "the summary does not count the verdicts"),
        (edited(summary={}), "the summary does not count the verdicts"),
        (edited(verdicts=[]), "the summary does not count the verdicts"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = tmp_path / "verdicts.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        read_run(path)
    assert words in str(caught.value).replace("Invalid", "invalid")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert "`resbench check" in str(caught.value) or "update" in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(UserError, match="No such file or directory; `resbench check --out FOLDER` writes one"):
            read_run(path)
