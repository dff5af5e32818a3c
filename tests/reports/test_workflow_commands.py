"""What GitHub is told: escaped as its toolkit does, no more than it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.errors import UserError
from resbench.reports.workflow_commands import MOST, SUMMARY_LIMIT, Annotation, append_summary, command, fitted, limited


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """As GitHub's runner reads a command (``actions/runner``, ``ActionCommand.cs``)."""
    match = re.fullmatch(r"::([a-z]+) ?([^\r\n]*?)::([^\r\n]*)", line)
    assert match, line
    properties = {}
    for pair in match[2].split(","):
        key, _, value = pair.partition("=")
        for code, letter in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(code, letter)
        properties[key] = value
    message = match[3]
    for code, letter in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        message = message.replace(code, letter)
    return match[1], properties, message


def test_a_command() -> None:
    line = command(Annotation("error", "VIOLATED a@b", ["measured 5 %, expected 3 %", "source: x"], "a/b.toml", 7))
    assert line == "::error file=a/b.toml,line=7,title=VIOLATED a@b::measured 5 %25, expected 3 %25%0Asource: x"


def test_no_file_no_line() -> None:
    assert command(Annotation("warning", "t", ["m"], "", 7)) == "::warning title=t::m"


def test_properties_are_escaped() -> None:
    line = command(Annotation("error", "1,5: 100 %", ["1,5: 100 %"], "a,b:c%.toml", 1))
    assert line == "::error file=a%2Cb%3Ac%25.toml,line=1,title=1%2C5%3A 100 %25::1,5: 100 %25"


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=4), st.text(max_size=40))
def test_whatever_the_texts_hold_it_is_one_command(title: str, lines: list[str], file: str) -> None:
    """It reads back as one, with the file as it was; nothing of the texts begins another."""
    line = command(Annotation("error", title, lines, file, 3))
    assert len(line.splitlines()) == 1
    level, properties, message = parsed(line)
    assert level == "error"
    assert set(properties) <= {"file", "line", "title", ""}
    if file and file.isprintable():
        assert properties["file"] == file
    assert message.count("\n") <= max(len(lines) - 1, 0)


def test_long_texts_are_cut() -> None:
    line = command(Annotation("error", "t" * 1000, ["m" * 100_000]))
    assert len(line) < 5000
    assert line.endswith("…")


def many(level: str, number: int) -> list[Annotation]:
    return [Annotation(level, f"{level} {place}", ["m"]) for place in range(number)]  # type: ignore[arg-type]


def test_as_many_as_github_shows() -> None:
    """Ten of a level; of more than ten nine, and how many they are."""
    assert limited(many("error", MOST), "rest") == many("error", MOST)
    assert len(limited(many("error", MOST + 1), "rest")) == MOST
    kept = limited([*many("warning", 3), *many("error", 14)], "the log has them")
    assert [one.title for one in kept[:9]] == [f"error {place}" for place in range(9)]
    assert kept[9] == Annotation("error", "resbench: 5 more", ["5 more errors: the log has them"])
    assert [one.level for one in kept[10:]] == ["warning"] * 3


def test_what_fits_is_whole() -> None:
    assert fitted(["a", "b"], 1000, "rest") == "a\n\nb\n"


def test_what_does_not_fit_is_said() -> None:
    """Whole sections only, in bytes, and how many are missing."""
    parts = ["ä" * 100, "b" * 100, "c" * 100]
    text = fitted(parts, 300, "see the log.")
    assert text == f"{'ä' * 100}\n\n**2 of 3 sections are left out** see the log.\n"
    assert len(text.encode()) <= 300
    assert fitted(parts, 10, "see the log.") == ""


@given(st.lists(st.text(max_size=50), max_size=6), st.integers(1, 400))
def test_no_more_than_there_is_room_for(parts: list[str], limit: int) -> None:
    assert (
        len(fitted(parts, limit, "rest").encode("utf-8", "surrogatepass")) <= limit or fitted(parts, 10**6, "") == "\n"
    )


def test_the_summary_is_appended_within_the_steps_limit(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    append_summary(str(path), ["one"], "rest")
    append_summary(str(path), ["two"], "rest")
    assert path.read_text() == "one\ntwo\n"
    path.write_text("x" * (SUMMARY_LIMIT - 100))
    append_summary(str(path), ["short", "y" * 200], "rest")
    assert path.stat().st_size <= SUMMARY_LIMIT
    assert path.read_text().endswith("short\n\n**1 of 2 sections are left out** rest\n")


def test_a_summary_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write GITHUB_STEP_SUMMARY"):
        append_summary(str(tmp_path / "none" / "summary.md"), ["one"], "rest")
