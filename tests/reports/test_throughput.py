"""Tables of timing runs and comparisons."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from resbench.reports.quantities import labels, megabytes, percent, ratio_range, relative, time_text
from resbench.reports.throughput import ChangeRow, bench_table, changes_table, compare_table, summary_line
from resbench.reports.throughput_files import bench_csv, bench_markdown, compare_csv, compare_markdown
from resbench.timing.change import Change
from resbench.timing.compare import compare
from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.worker.case import Case, parse
from resbench.timing.worker.seen import Counts, Rates, Round

KEYS = (
    "unit:preact/64@8/step/float32/nchw/eager/b32/cpu1",
    "peer:torchvision.Bottleneck/256@14/step/float32/nchw/eager/b8/cpu1",
    "unit:exclusive-gate-b6/64@8/step/float32/nchw/eager/b32/cpu1",
    "net:resnet110-option-a-pool/3x32x32/inference/float32/nhwc/eager/b32/cpu1",
    "engine:lesion-single/-/inference/float32/nchw/eager/b32/cpu1",
)
COUNTS = Counts(operators=40, macs=10**8, allocated=10**7, least_bytes=4 * 10**6, peak=12_300_000)


def make(name: str, factor: float, skip: int = 0, **environment: Any) -> TimingRun:
    records = []
    for index, key in enumerate(KEYS[skip:]):
        seconds = factor * (index + 1) * 0.0123
        rounds = tuple(Round((seconds * share,), 5, 5, True) for share in (0.998, 1.0, 1.002, 1.0))
        records.append(TimingRecord(parse(key), "1", rounds, COUNTS))
    facts = {"cpu": "AMD EPYC", "cores": 2, "git": {"commit": "a7ce40a0ff", "dirty": True}, **environment}
    rates = (Rates("cpu1", "float32", 2e10, {10**6: 1e10}),)
    return TimingRun(SCHEMA, name, "2026-11-21T08:30:00+00:00", "cpu-epyc", facts, tuple(records), rates)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (1.0, "1.000 s"),
        (0.01234, "12.34 ms"),
        (0.00099999, "1.000 ms"),
        (0.9999999, "1.000 s"),
        (1234.5, "1234 s"),
        (87.81e-6, "87.81 µs"),
        (3e-9, "3.000 ns"),
        (9.9999e-3, "10.00 ms"),
    ],
)
def test_times(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text


def test_other_quantities() -> None:
    assert [percent(share) for share in (None, 0.043, 0.43, 1.2)] == ["-", "4.3 %", "43 %", "120 %"]
    assert relative((0.98, 1.02)) == "2.0 %"
    assert ratio_range((0.98, 1.0)) == "0.980-1.000"
    assert [relative(None), ratio_range(None), megabytes(None)] == ["-"] * 3
    assert megabytes(12_300_000) == "12.3"


def test_what_all_cases_share_stands_once() -> None:
    found = labels([parse(KEYS[0]), parse(KEYS[2])])
    assert found.shared == "step, float32, nchw, eager, batch 32, cpu1"
    assert found.short == found.full == ("preact 64@8", "exclusive-gate-b6 64@8")
    assert found.sections == (("", (0, 1)),)


def test_labels_sections_and_shared_conditions_say_all_of_a_name() -> None:
    cases = [parse(key) for key in KEYS]
    found = labels(cases)
    assert len(set(found.full)) == len(cases)
    assert found.shared == "float32, eager, cpu1"
    assert [section for section, _ in found.sections] == [
        "step nchw batch 32",
        "step nchw batch 8",
        "inference nhwc batch 32",
        "inference nchw batch 32",
    ]
    assert sorted(index for _, members in found.sections for index in members) == list(range(len(cases)))


def test_another_tools_benchmark_is_only_a_name() -> None:
    found = labels([Case("pytest:tests/x.py::test_a[1]", "-"), parse(KEYS[0])])
    assert found.full[0] == "tests/x.py::test_a[1]"


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    runs = [make("a", 1.0), make("b", 1.2, skip=1), make("c", 1.0, git={"commit": "b" * 40}), make("d", 0.5)]
    texts = [bench_table(runs[0], width=width)]
    texts += [compare_table(compare(runs[:count]), width=width) for count in (2, 3, 4)]
    across = compare([runs[0], make("gpu", 0.1, cpu="Intel Xeon Platinum 8480C", cores=64)], across_machines=True)
    texts += [compare_table(across, width=width)]
    for text in texts:
        assert max(map(len, text.splitlines())) <= width


def test_bench_shows_time_rates_use_and_memory() -> None:
    line = next(line for line in bench_table(make("a", 1.0)).splitlines() if line.startswith("preact"))
    # 32 images, 4 MB and 5 ms at the least (1e8 multiply-adds at 2e10 a second) in 12.3 ms.
    for text in ("12.30 ms", "2602", "0.33", "41 %", "12.3"):
        assert text in line.split("64@8")[1]


def test_bench_lists_what_is_missing_and_why() -> None:
    run = make("a", 1.0)
    records = (
        TimingRecord(parse(KEYS[0]), "1", error="no such unit"),
        TimingRecord(parse(KEYS[2]), "1", run.records[2].rounds, COUNTS, unhealthy=("throttled: cool it",)),
    )
    broken = TimingRun(SCHEMA, "a", "", "cpu", {}, records)
    text = bench_table(broken)
    assert "MISSING: no such unit (preact 64@8)" in text
    assert "UNHEALTHY (!): throttled: cool it (exclusive-gate-b6 64@8)" in text
    assert "ms!" in text


def test_reasons_that_differ_in_figures_only_are_one_note() -> None:
    rounds = make("a", 1.0).records[0].rounds
    records = [
        TimingRecord(parse(key), "1", rounds, unhealthy=(f"other programs used {index}.5 cores: stop them",))
        for index, key in enumerate(KEYS)
    ]
    records += [TimingRecord(parse(KEYS[0].replace("b32", "b1")), "1", rounds)]
    text = " ".join(bench_table(TimingRun(SCHEMA, "a", "", "cpu", {}, tuple(records))).split())
    assert text.count("UNHEALTHY") == 1
    assert "UNHEALTHY (!): other programs used 0.5 cores: stop them (preact 64@8 step nchw batch 32," in text
    assert "and 2 more)" in text


def test_compare_shows_every_case_and_verdict() -> None:
    text = compare_table(compare([make("a", 1.0), make("b", 1.2, skip=1)]))
    assert "A  a: cpu-epyc, commit a7ce40a0 with changes, 2026-11-21 08:30" in text
    assert "MISSING: not in 'b' (preact 64@8 step nchw batch 32)" in text
    assert "geometric mean of B/A:" in text
    assert "1 MISSING" in text.splitlines()[-1]


def test_machines_differences_come_before_times() -> None:
    found = compare([make("a", 1.0), make("b", 0.1, cpu="Intel Xeon")], across_machines=True)
    lines = compare_table(found).splitlines()
    differs = next(index for index, line in enumerate(lines) if "Intel Xeon" in line)
    assert differs < next(index for index, line in enumerate(lines) if line.startswith("case"))
    assert "41 %" in next(line for line in lines if line.startswith("preact"))
    assert "no verdict" in summary_line(found)
    assert not any(change.value in compare_table(found) for change in (Change.SLOWER, Change.FASTER))


def test_undecided_cases_name_the_command_that_decides() -> None:
    one = make("a", 1.0)
    alone = TimingRun(
        SCHEMA, "b", "", "cpu-epyc", one.environment, (TimingRecord(parse(KEYS[0]), "1", one.records[0].rounds[:1]),)
    )
    assert "`resbench ab`" in summary_line(compare([one, alone], select=[KEYS[0]]))


def test_changes() -> None:
    case = parse(KEYS[0])
    rows = [
        ChangeRow(case, 0.01, 0.011, 1.1, (1.05, 1.15), Change.SLOWER, 0.42, "operators 40 to 44"),
        ChangeRow(parse(KEYS[2]), None, None, None, None, Change.MISSING, why="not in head"),
    ]
    text = changes_table(rows)
    assert [line.split()[-1] for line in text.splitlines()[2:4]] == ["SLOWER", "MISSING"]
    assert "counted: operators 40 to 44 (preact 64@8)" in text
    assert "MISSING: not in head (exclusive-gate-b6 64@8)" in text
    assert "42 %" in text


def test_files_hold_whole_names_and_every_case() -> None:
    run = make("a", 1.0)
    found = compare([run, make("b", 1.2, skip=1), make("c", 1.0)])
    rows = list(csv.DictReader(bench_csv(run).splitlines()))
    assert [row["case"] for row in rows] == list(KEYS)
    assert float(rows[0]["seconds"]) == pytest.approx(0.0123, rel=1e-4)
    rows = list(csv.DictReader(compare_csv(found).splitlines()))
    assert {(row["case"], row["run"]) for row in rows} == {(key, name) for key in KEYS for name in "bc"}
    for text in (bench_markdown(run), compare_markdown(found)):
        assert all(f"`{key}`" in text for key in KEYS)
