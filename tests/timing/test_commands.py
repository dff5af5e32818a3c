"""`resbench bench` and `resbench ab` as they are typed: exit codes, files, one line for what cannot be."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from fake_worker import FakeMachine

from resbench import cli
from resbench.commands.ab import _exit_code
from resbench.timing import ab as ab_module
from resbench.timing import rounds as rounds_module
from resbench.timing import sides as sides_module

_CASE = "unit:preact/64@8/step/float32/nchw/eager/b32/cpu1"
_OTHER = "unit:original/64@8/step/float32/nchw/eager/b32/cpu1"


def _one_package(commit: str, folder: Path) -> None:
    (folder / "src" / "resbench").mkdir(parents=True)
    (folder / "src" / "resbench" / "__init__.py").touch()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    """Workers without processes; head's preact unit takes half as long again."""
    made = FakeMachine(lambda side, key, call, process: 0.01 * (1.5 if side == "head" and "preact" in key else 1.0))
    for module in (rounds_module, ab_module):
        monkeypatch.setattr(module, "Worker", made.worker)
    monkeypatch.setattr(sides_module, "_commit", lambda text: {"main": "1" * 40, "topic": "2" * 40}.get(text))
    monkeypatch.setattr(sides_module, "_unpack", _one_package)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESBENCH_STORE", str(tmp_path / "store"))
    return made


def _called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["resbench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_bench_saves_a_run_that_compare_reads(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert _called(monkeypatch, "bench", "--select", _CASE, "--save", name) == 0
    capsys.readouterr()
    assert _called(monkeypatch, "compare", "a", "b") == 0
    assert "SAME" in capsys.readouterr().out


def test_a_name_that_is_taken_is_refused_before_anything_is_measured(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _called(monkeypatch, "bench", "--select", _CASE, "--save", "a") == 0
    before = machine.started
    assert _called(monkeypatch, "bench", "--select", _CASE, "--save", "a") == 2
    assert machine.started == before
    assert "exists" in capsys.readouterr().err
    assert _called(monkeypatch, "bench", "--select", _CASE, "--save", "a", "--force") == 0


def test_an_interrupted_bench_keeps_what_was_measured(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def time(side: str, key: str, call: int, process: int) -> float:
        if "original" in key:
            raise KeyboardInterrupt
        return 0.01

    machine.time = time
    assert _called(monkeypatch, "bench", "--select", _CASE, "--select", _OTHER, "--save", "a") == 130
    assert "what was measured is in" in capsys.readouterr().err
    found = json.loads((Path("store") / "a.json").read_text())["records"]
    assert [len(record.get("rounds", ())) for record in found] == [1, 0]


def test_a_case_that_fails_fails_the_bench(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.fails["this resbench", _CASE] = "not here"
    assert _called(monkeypatch, "bench", "--select", _CASE) == 1


def test_list_measures_nothing(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["resbench", "bench", "--list", "--set", "engines"])
    with pytest.raises(SystemExit):
        cli.main()
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert machine.started == 0


_AB = ("ab", "main", "topic", "--select", _CASE, "--select", _OTHER)


def test_a_slower_head_fails(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _called(monkeypatch, *_AB) == 1
    out = capsys.readouterr().out
    assert "1 SAME, 1 SLOWER" in out
    assert "head: topic (222222222)" in out


def test_a_faster_head_is_amber_and_writes_the_baseline(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.time = lambda side, key, call, process: 0.01 * (0.5 if side == "head" and "preact" in key else 1.0)
    assert _called(monkeypatch, *_AB) == 0
    (written,) = Path("new-baselines").glob("*.json")
    assert str(written) in capsys.readouterr().err
    run = json.loads(written.read_text())
    assert run["environment"]["git"] == {"commit": "2" * 40, "dirty": False}
    assert _called(monkeypatch, *_AB, "--strict") == 1


def test_on_github_there_are_annotations_and_a_summary(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before\n")
    assert _called(monkeypatch, *_AB, "--format", "json") == 1
    streams = capsys.readouterr()
    assert streams.err.count("::error title=resbench ab::unit:preact") == 1
    assert json.loads(streams.out)["summary"]["SLOWER"] == 1
    assert Path("summary.md").read_text().startswith("before\n# Throughput of topic")


def test_two_models(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    machine.time = lambda side, key, call, process: 0.01
    assert _called(monkeypatch, "ab", "resnet20", "torchvision:resnet18", "--input", "3x64x64", "--format", "json") == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [case["case"] for case in cases] == [
        f"net:torchvision:resnet18/3x64x64/{passing}/float32/nchw/eager/b8/cpu1" for passing in ("inference", "step")
    ]
    assert cases[0]["base_case"] == "net:resnet20/3x64x64/inference/float32/nchw/eager/b8/cpu1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "--select", _CASE.replace("preact", "preakt")), "no unit is named 'preakt'; the nearest: preact"),
        (("bench", "--set", "all"), "no set of cases is named 'all'"),
        (("bench", "--device", "tpu"), "--device tpu: cpu or cuda"),
        (("bench", "--select", _CASE, "--save", "no/such.name"), "no name for a run"),
        (("ab", "nowhere"), "'nowhere' is no git revision here"),
        (("ab", "main", "resnet20"), "compare two models, or two codes"),
        (("ab", "resnet20", "resnet32", "--input", "3x32"), "--input 3x32"),
        (("ab", "main", "topic", "--select", "unit:preakt*"), "no case matches 'unit:preakt\\*'"),
        (("compare", "a", "b"), "no run 'a'"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...],
    message: str,
    machine: FakeMachine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    assert _called(monkeypatch, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [("bench",), ("ab", "main", "topic")])
def test_an_absent_gpu_is_one_line(
    command: tuple[str, ...],
    machine: FakeMachine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _called(monkeypatch, *command, "--device", "cuda") == 2
    assert "there is no GPU that torch can use" in capsys.readouterr().err


def test_an_unwritable_store_is_one_line(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("store").write_text("a file where a folder is wanted")
    assert _called(monkeypatch, "bench", "--select", _CASE, "--save", "a") == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "head_lacks", "strict", "code"),
    [
        ("SAME", False, True, 0),
        ("SLOWER", False, False, 1),
        ("AMBIGUOUS", False, False, 0),
        ("AMBIGUOUS", False, True, 1),
        ("FASTER", False, False, 0),
        ("FASTER", False, True, 1),
        ("MISSING", True, False, 1),
        ("MISSING", False, False, 0),
        ("MISSING", False, True, 1),
    ],
)
def test_exit_codes_of_ab(change: str, head_lacks: bool, strict: bool, code: int) -> None:
    assert _exit_code([("SAME", False), (change, head_lacks)], strict=strict) == code


def test_nan_is_never_printed_as_a_number(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.fails["head", _CASE] = "removed"
    assert _called(monkeypatch, *_AB) == 1
    assert str(math.nan) not in capsys.readouterr().out
