"""Claims on a user's network: from the command line, under pytest, and in the reports."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_nets
import torch

import resbench.checking
from conftest import Run
from resbench.claims.model import AtLeast, AtMost, Claim, Equals, Expectation, Kind, Source
from resbench.errors import NotMeasured, UserError
from resbench.experiments.lab import TargetLab
from resbench.judge import Status, judge_claim
from resbench.plan import Run as Judging
from resbench.plan import items_of, target_items_of
from resbench.records.measurement import Measurement
from resbench.records.results import Request
from resbench.reports import explain, table
from resbench.targets.load import load_target
from resbench.targets.options import TargetOptions

NET = ("--target", "sample_nets:build", "--input", "3x16x16")


def expectation(setting: str, kind: Kind, quantity: str = "lesions.ordinary_median_increase") -> Expectation:
    return Expectation(
        setting=setting,
        kind=kind,
        quantity=quantity,
        params={"network": "target"},
        compare=AtMost(bound=50.0),
        unit="points",
        origin="chosen",
        why="test",
    )


def claim(id: str, *expectations: Expectation) -> Claim:
    return Claim(
        id=id,
        version=1,
        locus="section 4",
        statement="Something.",
        provenance="seen",
        changelog=["1: x"],
        source=Source(arxiv="1605.06431", version="v2", title="Residual Networks"),
        expect=list(expectations),
    )


CLAIMS = [
    claim("t-lesion", expectation("target", "trained"), expectation("digits", "trained")),
    claim("t-error", expectation("target", "trained", "accuracy.test_error")),
    claim("t-own-structure", expectation("any", "structural")),
    claim("t-own-training", expectation("digits", "trained"), expectation("cifar10", "trained")),
    claim("t-count", expectation("any", "exact")),
    claim("t-numbers", expectation("published", "reference")),
    claim("t-text"),
]


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resbench.checking, "load_claims", lambda: CLAIMS)


def test_without_a_target_its_items_are_not_listed() -> None:
    assert [item.id for item in items_of(CLAIMS)] == [
        "t-lesion@digits",
        "t-own-structure@any",
        "t-own-training@digits",
        "t-own-training@cifar10",
        "t-count@any",
        "t-numbers@published",
    ]
    with pytest.raises(UserError, match="name it with --target"):
        items_of(CLAIMS, settings=["target"])


def test_with_a_target_every_claim_is_listed_once() -> None:
    items = target_items_of(CLAIMS)
    assert [item.id for item in items] == [f"{claim.id}@target" for claim in CLAIMS[:-1]]
    assert [item.reason.partition(":")[0] for item in items] == [
        "",
        "",
        "speaks of resbench's own networks",
        "speaks of networks that resbench trains",
        "arithmetic",
        "re-analysis of published numbers",
    ]
    assert [e.setting for e in items[0].claim.expect] == ["target"]
    assert [item.id for item in target_items_of(CLAIMS, kinds=["trained"], settings=["target"])] == [
        "t-lesion@target",
        "t-error@target",
        "t-own-training@target",
    ]


def trained(tmp_path: Path) -> tuple[str, ...]:
    """Options of a network that is right about data which it has seen: its own answers."""
    torch.manual_seed(0)
    net = sample_nets.build().eval()
    with torch.no_grad():
        net.head.weight *= 50
    images = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)
    with torch.no_grad():
        labels = net(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    data = ("--data", f"npz:{tmp_path / 'data.npz'}")
    return ("--target", "sample_nets:build", "--checkpoint", str(tmp_path / "net.pt"), *data)


@pytest.mark.usefixtures("catalogue")
def test_the_command_judges_the_target(run: Run, tmp_path: Path) -> None:
    code, out, err = run("check", *trained(tmp_path), "--format", "json", "--out", str(tmp_path / "out"))
    report = json.loads(out)
    status = {verdict["id"]: verdict["status"] for verdict in report["verdicts"]}
    assert code == 0
    assert status.pop("t-lesion") in ("HOLDS", "INCONCLUSIVE", "VIOLATED", "NOT_MEASURED")
    assert status.pop("t-error") in ("HOLDS", "NOT_MEASURED")
    assert set(status.values()) == {"NOT_MEASURED"}
    assert {verdict["setting"] for verdict in report["verdicts"]} == {"target"}
    target = report["environment"]["target"]
    assert (target["name"], target["units"], target["images"]) == ("sample_nets:build", 4, 300)
    assert target["trained"]
    assert "resbench: sample_nets:build: 4 units (3 identity, 1 padding)" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["junit.xml", "verdicts.json", "verdicts.md"]


@pytest.mark.usefixtures("catalogue")
def test_nothing_measured_on_one_target_is_used_for_another(run: Run, tmp_path: Path) -> None:
    """Also after an interruption: nothing of a target is kept on disk."""
    run("check", *trained(tmp_path))
    assert not list((tmp_path / "cache").rglob("*.npz"))


@pytest.mark.usefixtures("catalogue")
def test_the_board_is_brief_about_what_was_not_measured(run: Run) -> None:
    code, out, _ = run("check", *NET)
    assert code == 0
    lines = out.splitlines()
    start = lines.index("not measured on the target (ids: --format json)")
    reasons = " ".join(" ".join(lines[start:]).split())
    assert "2 no data: give --data (digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE)" in reasons
    assert "1 arithmetic: needs no target" in reasons
    assert "t-count" not in out
    assert "Veit, Wilber" not in out, "a heading above nothing"
    assert lines[-2].endswith("6 not measured")
    assert run("check", *NET, "--strict")[0] == 1


def test_a_violation_names_the_unit_in_its_message() -> None:
    one = claim("t-unit", expectation("target", "structural"))
    one.expect[0] = Expectation(
        setting="target", kind="structural", quantity="a.b", compare=Equals(value=0), unit="units", origin="derived",
        why="x",
    )  # fmt: skip
    verdict = judge_claim(one, "target", [Measurement(1, detail="layer2.1: its output is 0.9 x its input")])
    assert verdict.status is Status.VIOLATED
    assert verdict.message == "measured 1, expected 0 exactly; layer2.1: its output is 0.9 x its input"
    text = " ".join(explain(verdict).split())
    assert text.count("layer2.1: its output is 0.9 x its input") == 1
    assert "layer2.1: its output is 0.9" in " ".join(table([verdict], [one]).split())
    assert judge_claim(one, "target", [Measurement(0, detail="4 units")]).message == "measured 0, expected 0 exactly"


def test_experiments_on_a_target_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.experiments import evaluation, lesion

    running: list[str] = []
    log: list[str] = []

    def experiment(name: str) -> Any:
        def measured(member: Any) -> dict[str, Any]:
            log.append(f"{name} beside {running}")
            running.append(name)
            torch.randn(200, 200) @ torch.randn(200, 200)
            running.remove(name)
            return {"wrong": np.zeros((1, 3), dtype=bool)}

        return measured

    monkeypatch.setattr(evaluation, "evaluation", experiment("evaluation"))
    monkeypatch.setattr(lesion, "single_deletion", experiment("single_deletion"))
    lab = TargetLab(load_target(TargetOptions(target="sample_nets:build", input="3x16x16")))
    lab.measure_all([Request("evaluation", "target"), Request("single_deletion", "target")])
    assert log == ["single_deletion beside []", "evaluation beside []"]
    with pytest.raises(NotMeasured, match="the network post-9 is not the target"):
        lab.result(Request("evaluation", "post-9"))


def test_warnings_of_the_model_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ``-W error`` (as here) they would fail its claims."""
    from resbench.experiments import evaluation

    def warned(member: Any) -> dict[str, Any]:
        warnings.warn("a deprecated layer", DeprecationWarning, stacklevel=1)
        return {"wrong": np.zeros((1, 3), dtype=bool)}

    monkeypatch.setattr(evaluation, "evaluation", warned)
    lab = TargetLab(load_target(TargetOptions(target="sample_nets:build", input="3x16x16")))
    assert lab.result(Request("evaluation", "target"))[0]["wrong"].shape == (1, 3)


def test_a_run_needs_its_target() -> None:
    with pytest.raises(UserError, match="needs a target"):
        Judging(target_items_of(CLAIMS)).verdicts()


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's repository: a network with a scaled shortcut, and its suite."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(
        users_net="""
        import torch
        from sample_nets import Block, Net

        class Scaled(Block):
            def forward(self, x):
                return torch.relu(0.9 * x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))

        def build():
            net = Net()
            net.layer1[1] = Scaled(8, 8)
            return net
        """
    )
    pytester.makepyfile(test_residual="from resbench.suite.test_claims import test_claim")
    folder = str(Path(sample_nets.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", folder, prepend=os.pathsep)  # of the processes that it starts
    monkeypatch.syspath_prepend(folder)
    return pytester


def test_a_users_suite_has_the_claims(repository: pytest.Pytester) -> None:
    repository.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        addopts = ["--strict-markers", "--strict-config"]
        resbench_target = "users_net:build"
        resbench_input = "3x16x16"
        """
    )
    result = repository.runpytest_subprocess("-p", "no:cacheprovider", "-k", "unit-identity or unit-gradient or veit-p")
    assert result.ret == 1
    text = " ".join(result.stdout.str().split())
    assert "VIOLATED unit-identity-shortcut@target" in text
    assert "layer1.1: its output is 0.9 x its input" in text
    assert "layer1.0: its output" not in text
    assert result.parseoutcomes()["skipped"] >= 1


def test_the_packages_suite_takes_the_target_from_options(repository: pytest.Pytester) -> None:
    arguments = ("--pyargs", "resbench", "-m", "claims", "-p", "no:cacheprovider", "-k", "unit-identity")
    target = ("--resbench-target", "users_net:build", "--resbench-input", "3x16x16")
    result = repository.runpytest_subprocess(*arguments, *target)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_claim?unit-identity-shortcut@target?*"])
    chosen = repository.runpytest_subprocess(*arguments, *target, "--resbench-units", "layer2.*")
    assert chosen.ret == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resbench-target", "users_net:biuld"], "module users_net has no 'biuld'; nearest: build"),
        (["--resbench-target", "users_net:build"], "give --input 3x32x32"),
        (["--resbench-target", "users_net:build", "--resbench-input", "16"], "not channels x height x width"),
        (["--resbench-checkpoint", "x.pt"], "--resbench-checkpoint goes with --resbench-target"),
        (["--resbench-seed", "3"], "goes with --resbench-retrain or --resbench-target"),
        (["--resbench-target", "users_net:build", "--resbench-retrain"], "excludes --resbench-target"),
        (["--resbench-target", "users_net:build", "--resbench-limit", "x"], "--resbench-limit x: not a number"),
    ],
)
def test_bad_input_ends_the_suite_with_one_line(
    repository: pytest.Pytester, arguments: list[str], message: str
) -> None:
    result = repository.runpytest_inprocess("-p", "no:cacheprovider", "-k", "unit-identity", *arguments)
    assert result.ret in (2, pytest.ExitCode.USAGE_ERROR)
    lines = (result.stdout.str() + result.stderr.str()).splitlines()
    assert any(message in line for line in lines)
    assert "Traceback" not in "\n".join(lines)


def test_paths_of_the_configuration_file_start_from_its_folder(
    repository: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.path / "weights").mkdir()
    torch.save(sample_nets.build().state_dict(), repository.path / "weights" / "net.pt")
    repository.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        resbench_target = "users_net:build"
        resbench_input = "3x16x16"
        resbench_checkpoint = "weights/net.pt"
        """
    )
    inside = repository.mkdir("inside")
    (inside / "test_it.py").write_text("from resbench.suite.test_claims import test_claim\n")
    monkeypatch.chdir(inside)
    result = repository.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "unit-identity")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*layer1.1: its output is 0.9 x its input*"])


def test_a_bound_that_the_target_misses_is_violated(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = claim("t-strict", expectation("target", "trained", "accuracy.test_error"))
    import msgspec

    strict.expect[0] = msgspec.structs.replace(strict.expect[0], compare=AtLeast(bound=60.0))
    monkeypatch.setattr(resbench.checking, "load_claims", lambda: [strict])
    code, out, _ = run("check", *trained(tmp_path), "--format", "json")
    assert code == 1
    assert json.loads(out)["verdicts"][0]["message"].endswith("of 300 images wrong")
