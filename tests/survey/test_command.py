"""The survey as a command: it writes row by row, goes on where it was, and says what is wrong with its options."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from fake_rows import fake_row

import resbench.survey.command as command
from resbench.errors import UserError
from resbench.survey.command import SurveyOptions, run_survey, summary
from resbench.survey.selection import Family
from resbench.survey.table import columns, read_table, write_table


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three families of torchvision whose rows cost nothing; the file lists the families that were visited."""
    log = tmp_path / "visits"
    found = [Family("torchvision", name, (str(log),)) for name in ("a", "b")]
    found.append(Family("torchvision", "c", ("exit",)))
    monkeypatch.setattr(command, "families", lambda library: found if library == "torchvision" else [])
    monkeypatch.setattr(command, "survey_row", fake_row)
    return log


def test_a_second_run_goes_on_where_the_first_was(
    visits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "survey.csv"
    run_survey(SurveyOptions(("torchvision",), limit=1, out=out))
    assert [row["family"] for row in read_table(out)] == ["a"]
    text = summary(run_survey(SurveyOptions(("torchvision",), out=out)))
    rows = read_table(out)
    assert [row["family"] for row in rows] == ["a", "b", "c"]
    assert visits.read_text().split() == ["a", "b"]
    assert rows[2]["adapted"] == "not run"
    assert rows[2]["why not"] == "its process died: exit code 1"
    assert "1 rows of" in capsys.readouterr().err
    assert "3 networks, 2 adapted, 0 not, 1 not run" in text
    assert "2 of 2 with residual additions (100.0%)" in text


def test_interrupted_it_keeps_the_finished_rows(visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "survey.csv"

    def interrupted(path: Path, rows: object) -> None:
        write_table(path, rows)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_survey(SurveyOptions(("torchvision",), out=out))
    assert [row["family"] for row in read_table(out)] == ["a"]


def test_rows_of_other_versions_are_surveyed_again(visits: Path, tmp_path: Path) -> None:
    out = tmp_path / "survey.csv"
    run_survey(SurveyOptions(("torchvision",), limit=1, out=out))
    write_table(out, [{**row, "version": "0.1"} for row in read_table(out)])
    run_survey(SurveyOptions(("torchvision",), limit=1, out=out))
    assert visits.read_text().split() == ["a", "a"]


def test_bad_options_are_one_line(visits: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no survey of 'keras': choose from torchvision, timm, transformers"):
        run_survey(SurveyOptions(("keras",)))
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="other columns than this survey; remove it"):
        run_survey(SurveyOptions(("torchvision",), limit=1, out=other))
    assert other.read_text() == "a,b\n1,2\n"


def test_the_table_is_plain_csv(tmp_path: Path) -> None:
    out = tmp_path / "survey.csv"
    known = {"library": "timm", "version": "1", "torch": "2.9.0", "family": "resnet", "adapted": "no"}
    write_table(out, [{**known, "why not": 'it says "no, never"'}])
    with out.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == columns()
    assert dict(zip(header, row, strict=True))["why not"] == 'it says "no, never"'
    assert read_table(out) == [{**known, "why not": 'it says "no, never"'}]


@pytest.mark.parametrize(
    ("cells", "count"), [(("timm", "tinm"), 1), ((",no,", ",nn,"), 1), ((",no,", ",no,,"), 1), ((",why", ","), 1)]
)
def test_a_damaged_line_is_named(tmp_path: Path, cells: tuple[str, str], count: int) -> None:
    out = tmp_path / "survey.csv"
    known = {"library": "timm", "version": "1", "torch": "2.9.0", "adapted": "no", "why not": "why"}
    write_table(out, [{**known, "family": "a"}, {**known, "family": "b"}])
    head, first, second = out.read_text().splitlines(keepends=True)
    out.write_text(head + first + second.replace(*cells, count))
    with pytest.raises(UserError, match=r"survey.csv, line 3: damaged; remove the line"):
        read_table(out)
