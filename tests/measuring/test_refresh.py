"""`resbench check --refresh`: what is stale is measured again, nothing else, and what is lacking is said in a line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.measuring.test_measure import SETTING, study  # noqa: F401  (a fixture)
from tests.records.evidence_samples import record, subject
from tests.reports.report_samples import check, claim, expectation, one

import resbench.measuring.refresh
import resbench.plan
import resbench.records.versions
from resbench.claims.model import AtLeast
from resbench.errors import Stale as StaleError
from resbench.errors import UserError
from resbench.experiments.lab import Lab
from resbench.experiments.recorded import RecordedLab
from resbench.judge import Status, Verdict
from resbench.measuring.refresh import Refresh, judge_refreshed, refresh
from resbench.plan import Item
from resbench.records.evidence import evidence_path, read_evidence
from resbench.records.results import Request
from resbench.records.versions import VERSIONS

Run = Callable[..., tuple[int, str, str]]
A, B = Request("evaluation", "a"), Request("evaluation", "b")


def items(*settings: str) -> list[Item]:
    each = claim("veit-one", *(expectation(AtLeast(bound=16), setting, "trained", "%") for setting in settings))
    return [Item(each, setting) for setting in settings]


def verdict(status: Status, setting: str) -> Verdict:
    return one(status, setting=setting, checks=(check(status, 17.3),))


class Judge:
    """Plays the judge: what is stale in each setting, until that has been refreshed."""

    def __init__(self, stale: dict[str, list[Request]], monkeypatch: pytest.MonkeyPatch, lacking: Sequence[str] = ()):
        self.stale, self.lacking = stale, lacking
        self.judged: list[list[str]] = []
        self.refreshed: list[tuple[str, list[Request]]] = []
        monkeypatch.setattr(resbench.measuring.refresh, "refresh", self.refresh)

    def __call__(self, some: Sequence[Item]) -> tuple[list[Verdict], dict[str, list[Request]]]:
        self.judged.append([item.setting for item in some])
        verdicts = [
            verdict(Status.STALE if self.stale.get(item.setting) else Status.HOLDS, item.setting) for item in some
        ]
        return verdicts, {item.setting: list(self.stale[item.setting]) for item in some if self.stale.get(item.setting)}

    def refresh(self, setting: str, requests: Sequence[Request], options: Refresh) -> str:
        if setting in self.lacking:
            raise UserError("no data: give --data")
        self.refreshed.append((setting, list(requests)))
        self.stale[setting] = [request for request in self.stale[setting] if request not in requests]
        return "1 recorded"


def test_only_the_stale_setting_is_measured_and_judged_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = Judge({"two": [A]}, monkeypatch)
    verdicts = judge_refreshed(items("one", "two", "three"), judge, Refresh())
    assert [each.status for each in verdicts] == [Status.HOLDS] * 3
    assert [each.setting for each in verdicts] == ["one", "two", "three"]
    assert judge.judged == [["one", "two", "three"], ["two"]]
    assert judge.refreshed == [("two", [A])]
    assert capsys.readouterr().err == "resbench: refreshed two: 1 recorded\n"


def test_nothing_stale_measures_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge({}, monkeypatch)
    judge_refreshed(items("one"), judge, Refresh())
    assert (len(judge.judged), judge.refreshed) == (1, [])
    assert capsys.readouterr().err == "resbench: nothing is stale\n"


def test_what_is_lacking_is_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = Judge({"one": [A, B], "two": [A]}, monkeypatch, lacking=["one"])
    verdicts = judge_refreshed(items("one", "two"), judge, Refresh())
    assert [each.status for each in verdicts] == [Status.STALE, Status.HOLDS]
    first, second = capsys.readouterr().err.splitlines()
    assert first == "resbench: not refreshed: one (a/evaluation, b/evaluation): no data: give --data"
    assert second == "resbench: refreshed two: 1 recorded"


def test_what_a_new_record_makes_stale_is_measured_too_but_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Judge):
        """A new record of one request makes the other stale, on and on."""

        def refresh(self, setting: str, requests: Sequence[Request], options: Refresh) -> str:
            self.refreshed.append((setting, list(requests)))
            self.stale[setting] = [B] if A in requests else [A]
            return ""

    judge = Endless({"one": [A]}, monkeypatch)
    (found,) = judge_refreshed(items("one"), judge, Refresh())
    assert judge.refreshed == [("one", [A]), ("one", [B])]
    assert found.status is Status.STALE, "it ends, and says what it found"


def test_a_lab_knows_what_is_stale(tmp_path: Path) -> None:
    lab = Lab("digits", tmp_path)
    lab.remember(A, StaleError("of another recipe"))
    lab.remember(B, ({"wrong": 3},))
    assert lab.stale() == [A]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of the test's own: its baselines."""
    folder = tmp_path / "baselines"
    folder.mkdir()
    for module in (resbench.plan, resbench.measuring.refresh):
        monkeypatch.setattr(module, "baselines", lambda: folder)
    return folder


def test_a_study_and_its_weights_must_be_at_hand(place: Path) -> None:
    record(place / "claims" / SETTING)
    stale = [Request("single_deletion", "resnet56")]
    with pytest.raises(UserError, match=r"its study is not here .*: refresh in a checkout of the repository"):
        refresh(SETTING, stale, Refresh())
    file = place.parent / "examples" / "cifar10_public" / "study.toml"
    file.parent.mkdir(parents=True)
    file.write_text("")
    with pytest.raises(UserError, match="give the folder of its weights with --checkpoints FOLDER"):
        refresh(SETTING, stale, Refresh())


def test_a_papers_setting_goes_to_its_measuring(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all records of the network: those of another checkpoint go with it; what is current is kept there."""
    for experiment in ("evaluation", "single_deletion"):
        path = evidence_path(place / "claims" / "cifar10", Request(experiment, "vgg15"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    seen: list[Any] = []
    monkeypatch.setattr("resbench.measuring.own.measure_own", lambda options: seen.append(options) or "done")
    given = Refresh("cifar10:data", True, Path("weights"), "cuda")
    assert refresh("cifar10", [Request("duplication", "vgg15")], given) == "done"
    (own,) = seen
    assert own.select == ("vgg15/duplication", "vgg15/evaluation", "vgg15/single_deletion")
    assert (own.data, own.download, own.checkpoints, own.device) == ("cifar10:data", True, Path("weights"), "cuda")


def test_without_data_a_papers_setting_stays_stale(place: Path) -> None:
    with pytest.raises(UserError, match="no data: give --data cifar10:ROOT"):
        refresh("cifar10", [Request("evaluation", "vgg15")], Refresh())


def test_networks_that_are_measured_at_every_check_are_trained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def trained(*arguments: Any) -> list[Path]:
        seen.append(arguments)
        return [Path("folder")]

    monkeypatch.setattr("resbench.retraining.train_networks", trained)
    stale = [Request("evaluation", "preact-9"), Request("single_deletion", "preact-9"), Request("evaluation", "post-9")]
    assert refresh("digits", stale, Refresh()) == "post-9, preact-9 trained again in folder"
    assert seen == [("digits", ["post-9", "preact-9"], (0,), None, 2)]


def test_from_stale_records_to_verdicts(
    place: Path,
    study: Path,  # noqa: F811
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real measurements of a tiny study: one experiment gets another version, its record alone is made again."""
    home = place.parent / "examples" / "cifar10_public"
    home.parent.mkdir()
    home.mkdir()
    for name in ("study.toml", "tiny_public.py", "small.safetensors", "data.npz"):
        shutil.copy(study.parent / name, home / name)
    data, folder = f"npz:{home / 'data.npz'}", place / "claims" / SETTING
    measure = ("measure", "--study", str(home / "study.toml"), "--data", data, "--checkpoints", str(home))
    wanted = ("--select", "resnet56/path_gradients", "--select", "*/evaluation")
    code, _, err = run(*measure, "--out", str(folder), *wanted)
    assert code == 0, err
    kept = (folder / "resnet56" / "evaluation.json").read_bytes()
    other = VERSIONS["path_gradients"] + 1
    monkeypatch.setitem(resbench.records.versions.VERSIONS, "path_gradients", other)  # type: ignore[index]

    def checked(*more: str) -> tuple[int, str, str]:
        chosen = ("--select", "veit-effective-paths-5-17", "--setting", SETTING, "--format", "json")
        code, out, err = run("check", *chosen, *more)
        (found,) = json.loads(out)["verdicts"]
        judged = [(check["quantity"], check["params"]["network"]) for check in found["checks"]]
        return code, found["checks"][judged.index(("paths.mean_length", "resnet56"))]["status"], err

    code, status, _ = checked()
    assert (code, status) == (1, "STALE")
    code, status, err = checked("--refresh", "--data", data)
    assert (code, status) == (1, "STALE")
    assert err.endswith("(resnet56/path_gradients): give the folder of its weights with --checkpoints FOLDER\n")
    _, status, err = checked("--refresh", "--data", data, "--checkpoints", str(home))
    assert status in ("HOLDS", "VIOLATED", "INCONCLUSIVE")
    assert "resbench: refreshed cifar10-public: 1 recorded" in err
    assert "1 were there, of 2" in err, "the evaluation was current"
    found = read_evidence(folder, SETTING, Request("path_gradients", "resnet56"))
    assert found is not None
    assert found.version == other
    assert (folder / "resnet56" / "evaluation.json").read_bytes() == kept
    assert "nothing is stale" in checked("--refresh")[2]


def test_usage(run: Run) -> None:
    for other in (("--retrain",), ("--sequential",), ("--target", "resnet20")):
        code, _, err = run("check", "--refresh", *other)
        assert code == 2
        assert err == f"resbench: --refresh measures resbench's own recorded evidence again and excludes {other[0]}\n"


def test_a_refreshed_record_is_read(tmp_path: Path) -> None:
    """The lab that judges again reads the folder anew: nothing is kept of what was stale."""
    request = Request("single_deletion", "resnet56")
    record(tmp_path, version=VERSIONS["single_deletion"] + 1)
    stale = RecordedLab(SETTING, tmp_path)
    with pytest.raises(StaleError):
        stale.result(request)
    assert stale.stale() == [request]
    record(tmp_path)
    assert RecordedLab(SETTING, tmp_path).result(request)
    assert subject().images == 40
