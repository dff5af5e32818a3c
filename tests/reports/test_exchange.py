"""JSON, JUnit XML and Markdown."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import board, check, one, wild_verdicts

from resbench.judge import Status, Verdict
from resbench.reports import junit, markdown, to_json
from resbench.reports.escaping import code

WHEN = datetime.datetime(2026, 3, 4, 5, 6, 7, tzinfo=datetime.UTC)


def strictly_parsed(text: str) -> dict[str, object]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed: dict[str, object] = json.loads(text, parse_constant=refuse)
    return parsed


def parsed(verdicts: list[Verdict]) -> ElementTree.Element:
    return ElementTree.fromstring(junit(verdicts, seconds=1.5, timestamp=WHEN).encode())


def test_json_is_the_contract() -> None:
    _, verdicts = board()
    environment = {"python": "3.11", "gpu": None, "packages": {"torch": "2.9"}}
    document = strictly_parsed(to_json(verdicts, environment))
    assert document == {
        "schema": 1,
        "environment": environment,
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "summary": {
            **dict.fromkeys([status.value for status in Status], 0),
            "HOLDS": 4,
            "VIOLATED": 1,
            "INCONCLUSIVE": 1,
            "ERROR": 1,
            "NOT_MEASURED": 2,
        },
    }


def test_what_json_lacks_becomes_text() -> None:
    measured = [float("nan"), float("inf"), Fraction(1, 3), np.float64(0.5), np.array([1, 2]), {"a": (1, -np.inf)}, 1j]
    verdict = one(Status.ERROR, measured=measured, interval=(float("-inf"), 1.0))
    [row] = strictly_parsed(to_json([verdict], {}))["verdicts"]  # type: ignore[misc]
    assert row["measured"] == ["nan", "inf", "1/3", 0.5, [1, 2], {"a": [1, "-inf"]}, "1j"]
    assert row["interval"] == ["-inf", 1.0]


@given(st.lists(wild_verdicts(), max_size=3), st.dictionaries(st.text(), st.text() | st.floats()))
def test_json_holds_anything(verdicts: list[Verdict], environment: dict[str, object]) -> None:
    document = strictly_parsed(to_json(verdicts, environment))
    assert [row["message"] for row in document["verdicts"]] == [each.message for each in verdicts]  # type: ignore


def test_junit_counts_by_paper() -> None:
    _, verdicts = board()
    root = parsed([*verdicts, one(Status.WAIVED), one(Status.STALE, source="a talk")])
    counted = {
        suite.get("name"): {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
        for suite in [root, *root]
    }
    assert counted == {
        "resbench": {"tests": "11", "failures": "3", "errors": "1", "skipped": "3"},
        "veit2016": {"tests": "7", "failures": "2", "errors": "0", "skipped": "2"},
        "he2016": {"tests": "3", "failures": "0", "errors": "1", "skipped": "1"},
        "other": {"tests": "1", "failures": "1", "errors": "0", "skipped": "0"},
    }
    for suite in root:
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{tag}")) == int(suite.get(key, ""))
        assert suite.get("timestamp") == "2026-03-04T05:06:07+00:00"
    assert root.get("time") == "1.500"


def test_a_junit_case_carries_what_was_measured() -> None:
    [case] = parsed([one(Status.VIOLATED, message="a < b & c | d", breaks="x")]).iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("resbench.veit2016", "veit-one@digits")
    assert {each.get("name"): each.get("value") for each in case.iter("property")} == {
        "value": "17.3",
        "interval": "[16.9, 17.8]",
        "unit": "%",
        "expected": ">= 16",
        "version": "2",
        "setting": "digits",
        "kind": "trained",
        "status": "VIOLATED",
    }
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "VIOLATED: a < b & c | d"
    assert "what usually breaks it: x" in str(failure.text)


def test_junit_escapes_and_drops_control_characters() -> None:
    text = junit([one(Status.NOT_MEASURED, message="a<b&c\x00\x1b[31m\ufffe")], seconds=0, timestamp="now")
    assert "a&lt;b&amp;c[31m" in text
    [skipped] = ElementTree.fromstring(text.encode()).iter("skipped")
    assert skipped.get("message") == "NOT_MEASURED: a<b&c[31m"


@given(st.lists(wild_verdicts(), max_size=3))
def test_junit_holds_anything(verdicts: list[Verdict]) -> None:
    assert len(list(parsed(verdicts).iter("testcase"))) == len(verdicts)


def test_markdown_has_counts_failures_and_a_table_a_paper() -> None:
    claims, verdicts = board()
    text = markdown(verdicts, claims, {"python": "3.11", "gpu": None, "packages": {"torch": "2.9"}})
    assert "\n4 HOLDS, 1 VIOLATED, 1 INCONCLUSIVE, 0 STALE, 1 ERROR, 2 not measured.\n" in text
    order = ["### VIOLATED `veit-single-delete-vgg@digits`", "- what usually breaks it: a shortcut hidden", "## Veit"]
    order += ["## He", "\nMeasured with python 3.11, torch 2.9.\n"]
    positions = [text.index(each) for each in order]
    assert positions == sorted(positions)
    assert all(f"`{verdict.id}@{verdict.setting}`" in text for verdict in verdicts)


def test_markdown_escapes_what_would_break_a_table() -> None:
    verdict = one(measured="a|b", expected="<c> & `d`|e", source="table_1 | *f*", interval=None, unit="1")
    [line] = [each for each in markdown([verdict], [], {}).split("\n") if "`veit-one@digits`" in each]
    cells = [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]
    assert cells == ["HOLDS", "`veit-one@digits`", "a¦b", r"&lt;c&gt; &amp; \`d\`¦e", r"table\_1 ¦ \*f\*"]


@pytest.mark.parametrize(("text", "shown"), [("a|b", r"`a\|b`"), (r"\|", r"`\\\|`"), (r"a\b", r"`a\b`")])
def test_a_code_span_holds_its_bars(text: str, shown: str) -> None:
    """Read from the left, a backslash escapes what follows it: no bar may be left for the table."""
    assert code(text) == shown


@given(st.lists(wild_verdicts(), max_size=3))
def test_markdown_tables_keep_their_five_columns(verdicts: list[Verdict]) -> None:
    rows = [line for line in markdown(verdicts, [], {}).split("\n") if line.startswith("|")]
    assert all(line.replace("\\\\", "").replace("\\|", "").count("|") == 6 for line in rows)
    judged = sum(verdict.status is not Status.NOT_MEASURED for verdict in verdicts)
    assert len(rows) - sum(line.startswith(("| status", "|--")) for line in rows) == judged


def test_markdown_gives_every_check_of_a_failure() -> None:
    verdict = one(Status.VIOLATED, checks=(check(Status.HOLDS, 18), check(Status.VIOLATED, 15)))
    text = markdown([verdict], [], {})
    assert "- check: HOLDS: measured 18 %" in text
    assert "- check: VIOLATED: measured 15 %" in text


def test_reports_import_nothing_heavy() -> None:
    code = "import sys, resbench.reports; print({'torch', 'numpy', 'pandas', 'rich', 'tabulate'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_bar_in_a_code_span_is_escaped_too() -> None:
    assert "| `veit\\|'one@digits` |" in markdown([one(id="veit|`one")], [], {})
