"""Runs beside each other, and the command."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import typer
from timing_samples import NETWORK, ORIGINAL, PREACT, around, make_record, make_run
from typer.testing import CliRunner, Result

from resbench.commands.compare import compare as command
from resbench.errors import UserError
from resbench.timing.change import Change
from resbench.timing.compare import compare, selected
from resbench.timing.record import TimingRun
from resbench.timing.store import save

OTHER_MACHINE: dict[str, Any] = {"cpu": "Intel Xeon", "cores": 16}


def changes(*runs: TimingRun, **options: Any) -> list[Change | None]:
    return [one.change for row in compare(runs, **options).rows for one in row.against]


def test_slower_faster_and_same() -> None:
    first = make_run("a", {PREACT: around(0.01), ORIGINAL: around(0.01), NETWORK: around(0.01)})
    second = make_run("b", {PREACT: around(0.011), ORIGINAL: around(0.009), NETWORK: around(0.0101)})
    found = compare([first, second])
    assert [row.against[0].change for row in found.rows] == [Change.SLOWER, Change.FASTER, Change.SAME]
    slower = found.rows[0].against[0]
    assert slower.ratio == pytest.approx(1.1)
    assert slower.interval is not None
    assert slower.interval[0] < 1.1 < slower.interval[1]
    assert found.rows[0].sides[1].seconds == pytest.approx(0.011)
    assert not found.passed


def test_magnitude_is_needed_beside_significance() -> None:
    runs = make_run("a", {PREACT: around(0.01, 1e-4)}), make_run("b", {PREACT: around(0.0104, 1e-4)})
    assert changes(*runs) == [Change.SAME]
    assert changes(*runs, margin=0.02) == [Change.SLOWER]


def test_significance_is_needed_beside_magnitude() -> None:
    runs = make_run("a", {PREACT: around(0.01, 0.3)}), make_run("b", {PREACT: around(0.012, 0.3)})
    assert changes(*runs) == [Change.AMBIGUOUS]
    assert not compare(runs).passed, "a comparison that decides nothing is no pass"


def test_p_values_are_corrected_for_the_number_of_cases() -> None:
    """The same case in the same pair of runs: SLOWER alone, AMBIGUOUS among eight others that did not change."""
    one, two = around(0.01, 0.02), around(0.0107, 0.02)
    assert changes(make_run("a", {PREACT: one}), make_run("b", {PREACT: two})) == [Change.SLOWER]
    others = [PREACT.replace("/64@8/", f"/{shape}/") for shape in ("16@32", "32@16")]
    others += [ORIGINAL.replace("/b32/", f"/b{batch}/") for batch in (1, 2, 4, 8, 16, 32)]
    calm = dict.fromkeys(others, around(0.01, 0.02))
    found = compare([make_run("a", {PREACT: one, **calm}), make_run("b", {PREACT: two, **calm})])
    assert found.rows[0].against[0].change is Change.AMBIGUOUS
    alone = compare([make_run("a", {PREACT: one}), make_run("b", {PREACT: two})]).rows[0].against[0]
    assert found.rows[0].against[0].p == pytest.approx(9 * (alone.p or 0))


def test_a_case_of_one_run_only_is_a_row() -> None:
    found = compare([make_run("a", {PREACT: around(0.01), NETWORK: around(0.1)}), make_run("b", {ORIGINAL: (1, 2)})])
    assert [row.key for row in found.rows] == [PREACT, NETWORK, ORIGINAL]
    assert {one.change for row in found.rows for one in row.against} == {Change.MISSING}
    assert [row.against[0].why for row in found.rows] == ["not in 'b'", "not in 'b'", "not in 'a'"]
    assert found.means == (None,)
    assert not found.passed


def test_a_case_that_failed_says_why() -> None:
    failed = make_run("b", [make_record(PREACT, (), error="no such unit here"), make_record(NETWORK, around(0.1))])
    found = compare([make_run("a", {PREACT: around(0.01), NETWORK: around(0.1)}), failed])
    assert found.rows[0].against[0].change is Change.MISSING
    assert "no such unit here" in found.rows[0].against[0].why
    assert found.means[0] is not None
    assert found.means[0].cases == 1


def test_an_unhealthy_record_is_never_green_but_its_ratio_is_shown() -> None:
    hot = make_run("b", [make_record(PREACT, around(0.01), unhealthy=("throttled: improve cooling",))])
    found = compare([make_run("a", {PREACT: around(0.01)}), hot])
    one = found.rows[0].against[0]
    assert one.change is Change.UNHEALTHY
    assert one.ratio == pytest.approx(1.0)
    assert one.p is None
    assert one.why == "'b': throttled: improve cooling"
    assert not found.passed


def test_one_process_is_not_enough() -> None:
    found = compare([make_run("a", {PREACT: (0.01,)}), make_run("b", {PREACT: (0.02,)})])
    one = found.rows[0].against[0]
    assert (one.change, one.interval, one.p) == (Change.AMBIGUOUS, None, None)
    assert one.ratio == pytest.approx(2.0)
    assert "process" in one.why


def test_one_other_version_is_missing_and_all_are_an_error() -> None:
    first = make_run("a", {PREACT: around(0.01), NETWORK: around(0.1)})
    second = make_run("b", [make_record(PREACT, around(0.01), version="2"), make_record(NETWORK, around(0.1))])
    assert changes(first, second) == [Change.MISSING, Change.SAME]
    with pytest.raises(UserError, match="case version 1, now 2"):
        compare([first, second], select=["unit:*"])


def test_several_runs_are_each_compared_with_the_first() -> None:
    runs = [make_run(name, {PREACT: around(seconds)}) for name, seconds in (("a", 0.01), ("b", 0.02), ("b", 0.005))]
    found = compare(runs)
    assert [one.ratio for one in found.rows[0].against] == [pytest.approx(2.0), pytest.approx(0.5)]
    assert [title.name for title in found.titles] == ["a", "b", "b#2"]


def test_the_geometric_mean_and_its_interval_over_cases() -> None:
    first = make_run("a", {PREACT: around(0.01), ORIGINAL: around(0.01)})
    mean = compare([first, make_run("b", {PREACT: around(0.02), ORIGINAL: around(0.005)})]).means[0]
    assert mean is not None
    assert mean.ratio == pytest.approx(1.0)
    assert mean.interval is not None
    # Student's 99.5 % point of one degree of freedom is 63.66; the logarithms are +-log 2, their standard error log 2.
    assert math.log(mean.interval[1]) == pytest.approx(63.657 * math.log(2), rel=1e-3)


def test_machines_are_compared_only_when_asked_and_without_verdicts() -> None:
    here = make_run("a", {PREACT: around(0.01), NETWORK: around(0.1)})
    there = make_run("b", {PREACT: around(0.001)}, **OTHER_MACHINE)
    with pytest.raises(UserError, match=r"another machine.*--across-machines"):
        compare([here, there])
    found = compare([here, there], across_machines=True)
    assert found.across
    assert [row.against[0].change for row in found.rows] == [None, Change.MISSING]
    assert found.rows[0].against[0].ratio == pytest.approx(0.1)
    assert {"AMD EPYC", "Intel Xeon"} <= {text for line in found.differences[0] for text in line}
    assert not found.passed
    assert compare([here, there], across_machines=True, select=[PREACT]).passed


def test_utilisation_stands_beside_the_time() -> None:
    run = make_run("a", {PREACT: around(0.01)})
    side = compare([run, run]).rows[0].sides[0]
    # 1e8 multiply-adds at 2e10 a second are 5 ms of these 10 ms.
    assert side.utilisation == pytest.approx(0.5)


def test_the_flag_changes_nothing_on_one_machine() -> None:
    run = make_run("a", {PREACT: around(0.01)})
    assert not compare([run, run], across_machines=True).across


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, math.nan])
def test_a_margin_that_is_none(margin: float) -> None:
    run = make_run("a", {PREACT: around(0.01)})
    with pytest.raises(UserError, match="margin"):
        compare([run, run], margin=margin)


def test_selecting() -> None:
    assert selected([PREACT, NETWORK], ["net:*"]) == (NETWORK,)
    assert selected([PREACT, NETWORK], []) == (PREACT, NETWORK)
    with pytest.raises(UserError, match=r"no case matches 'unit:praect/\*'; near to it is 'unit:preact"):
        selected([PREACT, NETWORK], ["net:*", "unit:praect/*"])


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESBENCH_STORE", str(tmp_path))
    save(make_run("base", {PREACT: around(0.01), NETWORK: around(0.1)}), "base")
    save(make_run("same", {PREACT: around(0.01), NETWORK: around(0.1)}), "same")
    save(make_run("slow", {PREACT: around(0.012), NETWORK: around(0.1)}), "slow")
    save(make_run("fast", {PREACT: around(0.008), NETWORK: around(0.1)}), "fast")
    save(make_run("small", {PREACT: around(0.01)}), "small")
    save(make_run("gpu", {PREACT: around(0.001), NETWORK: around(0.01)}, **OTHER_MACHINE), "gpu")
    return tmp_path


def call(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("base", "same"), 0),
        (("base", "slow"), 1),
        (("base", "slow", "--select", "net:*"), 0),
        (("base", "slow", "--margin", "30"), 0),
        (("base", "fast"), 0),
        (("base", "fast", "--strict"), 1),
        (("base", "small"), 1),
        (("small", "base"), 1),
        (("base", "same", "slow"), 1),
        (("base", "gpu", "--across-machines"), 0),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int) -> None:
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("base",), "two runs"),
        (("base", "nothing"), "no run 'nothing'"),
        (("base", "gpu"), "another machine"),
        (("base", "same", "--select", "uint:*"), "no case matches"),
        (("base", "same", "--margin", "0"), "margin"),
    ],
)
def test_bad_input_is_a_user_error(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


@pytest.mark.usefixtures("saved")
def test_formats_agree() -> None:
    content = json.loads(call("base", "slow", "--format", "json").stdout)
    assert (content["schema"], content["passed"]) == ("resbench.comparison/1", False)
    assert content["summary"] == {"SLOWER": 1, "SAME": 1}
    (row, _) = list(csv.DictReader(call("base", "slow", "--format", "csv").stdout.splitlines()))
    assert (row["case"], row["verdict"]) == (PREACT, "SLOWER")
    assert float(row["ratio"]) == content["cases"][0]["against_first"][0]["ratio"] == pytest.approx(1.2)
    text = call("base", "slow", "--format", "md").stdout
    assert f"| `{PREACT}`" in text
    assert "| 1.200" in text
