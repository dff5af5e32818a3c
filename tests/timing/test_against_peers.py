"""Ours over theirs: which cases, what is kept, what it amounts to.  No process is started here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import against_peers
from benchmarks.against_peers import chosen_cases, peer_cases, run_rounds, stochastic_cases
from benchmarks.against_peers_record import SCHEMA, Measured, Record, as_json, as_table, groups, load, opened, save
from fake_worker import FakeMachine

from resbench.errors import UserError
from resbench.timing.worker.case import Case
from resbench.timing.worker.subjects import PEERS

_THEIRS, _OURS = Case("peer:torchvision.BasicBlock", "64@8"), Case("unit:original", "64@8")
_SECOND = Case("peer:timm.PreActBasic", "64@8"), Case("unit:preact", "64@8")
_EMPTY = Record(SCHEMA, "cpu-test-torch2.15", {})


def _measured(base: Case, head: Case, *ratios: float) -> list[Measured]:
    return [Measured(base.key, head.key, "2026-01-01", ratio) for ratio in ratios]


def test_every_pair_is_a_peer_and_the_unit_that_computes_the_same() -> None:
    for base, head in peer_cases():
        if base == head:
            assert base.subject == "unit:original"
            continue
        assert head.subject == f"unit:{PEERS[base.name][0]}"
        assert base.key.split("/")[1:] == head.key.split("/")[1:]
    assert any(base == head for base, head in peer_cases())
    ((constant, stochastic),) = stochastic_cases(16)
    assert constant.key == "net:resnet110-option-a-pool/3x32x32/step/float32/nchw/eager/b16/cpu1"
    assert stochastic.name == "resnet110-stochastic"


def test_cases_are_chosen_by_either_name_and_a_typo_is_one_line() -> None:
    assert all("timm.Bottleneck" in base.key for base, _ in chosen_cases(["peer:timm.Bottleneck/*"]))
    assert {head.name for _, head in chosen_cases(["net:*stochastic*"])} == {"resnet110-stochastic"}
    with pytest.raises(UserError, match=r"no case matches peer:tim\.\*"):
        chosen_cases(["peer:tim.*"])


def test_ratio_is_ours_over_theirs_and_every_case_is_kept_at_once(tmp_path: Path) -> None:
    machine = FakeMachine(lambda side, *_: 0.012 if side == "ours" else 0.010)
    path = tmp_path / "out.json"
    done = run_rounds([(_THEIRS, _OURS), _SECOND], 2, 0.1, _EMPTY, path, start=machine.worker)
    assert [one.base for one in done.measured] == [_THEIRS.key, _SECOND[0].key, _SECOND[0].key, _THEIRS.key]
    assert all(one.ratio == pytest.approx(1.2) for one in done.measured)
    assert (done.measured[0].base_seconds, done.measured[0].head_seconds) == (
        pytest.approx(0.010),
        pytest.approx(0.012),
    )
    assert load(path) == done
    starts = [name for name, what in machine.log if what == "start"]
    assert starts == ["peer", "ours", "ours", "peer"]


def test_what_a_side_lacks_or_dies_of_is_said_and_the_others_are_measured(tmp_path: Path) -> None:
    machine = FakeMachine(lambda *_: 0.01)
    machine.dies.add(("ours", _OURS.key))
    machine.fails["peer", _SECOND[0].key] = "timm is not installed"
    third = _THEIRS, Case("unit:original", "64@8", batch=8)
    done = run_rounds([(_THEIRS, _OURS), _SECOND, third], 1, 0.1, _EMPTY, tmp_path / "out.json", start=machine.worker)
    assert [one.error for one in done.measured] == ["killed by signal 9", "timm is not installed", ""]
    assert machine.started == 4  # two for the case that died, two for the rest
    assert "timm is not installed" in as_table(done)


def test_the_median_is_over_cases_of_the_mean_over_pairs() -> None:
    other = Case("peer:torchvision.BasicBlock", "32@16"), Case("unit:original", "32@16")
    ((constant, stochastic),) = stochastic_cases()
    measured = [
        *_measured(_THEIRS, _OURS, 0.8, 1.25),
        *_measured(*other, 0.9, 0.9),
        *_measured(*_SECOND, 1.3),
        *_measured(_OURS, _OURS, 1.01),
        *_measured(constant, stochastic, 0.74),
        Measured(_THEIRS.key, _OURS.key, "2026-01-01", error="killed"),
    ]
    found = {one.name: one for one in groups(measured)}
    blocks = found["torchvision.BasicBlock, step"]
    assert (blocks.cases, blocks.pairs, blocks.lowest, blocks.highest) == (2, 2, pytest.approx(0.9), pytest.approx(1.0))
    overall = found["all units over peers"]
    assert (overall.cases, overall.pairs, overall.median) == (3, 1, pytest.approx(1.0))
    assert found["a unit over itself"].median == pytest.approx(1.01)
    assert found["resnet110-stochastic, step, b32"].median == pytest.approx(0.74)
    record = Record(SCHEMA, "cpu-test-torch2.15", {}, tuple(measured[:-1]))
    assert max(map(len, as_table(record).splitlines())) <= 80
    assert json.loads(json.dumps(as_json(record)))["groups"][-1]["median"] == pytest.approx(0.74)


def test_pairs_of_another_machine_are_not_added_to(tmp_path: Path) -> None:
    save(_EMPTY, tmp_path / "out.json")
    with pytest.raises(UserError, match="cpu-test"):
        opened(tmp_path / "out.json", "cpu-else", {})
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(UserError, match="no record"):
        load(tmp_path / "bad.json")


def test_a_file_is_shown_and_bad_usage_is_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    save(Record(SCHEMA, "cpu-test", {}, tuple(_measured(_THEIRS, _OURS, 0.97))), path)
    assert against_peers.main(["--pairs", "0", "--out", str(path)]) == 0
    assert "0.970" in capsys.readouterr().out
    assert against_peers.main(["--select", "unit:nothing*", "--out", str(path)]) == 2
    assert "no case matches" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        against_peers.main(["--pairs", "-1"])
