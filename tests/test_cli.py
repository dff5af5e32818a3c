"""The command line: contracts of its JSON, exit codes, and one clear line for every bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import resbench.checking
import resbench.cli
from conftest import Run
from resbench.experiments import lesion
from resbench.records.places import baselines

VERDICT_KEYS = [
    "id", "version", "kind", "setting", "status", "measured", "expected", "interval", "unit", "source", "message",
]  # fmt: skip


def test_exact_claims_hold_without_torch() -> None:
    """In a fresh interpreter: the exact claims need neither torch nor numpy."""
    script = (
        "import sys; sys.argv = ['resbench', 'check', '--kind', 'exact', '--format', 'json']\n"
        "from resbench.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, [m for m in ('torch', 'numpy', 'scipy') if m in sys.modules], "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"
    report = json.loads(done.stdout)
    assert list(report) == ["schema", "environment", "verdicts", "summary"]
    assert report["schema"] == 1
    assert {verdict["kind"] for verdict in report["verdicts"]} == {"exact"}
    assert report["summary"]["HOLDS"] == len(report["verdicts"]) > 30
    assert all(list(verdict)[: len(VERDICT_KEYS)] == VERDICT_KEYS for verdict in report["verdicts"])


def test_claims_list_as_json(run: Run) -> None:
    code, out, _ = run("claims", "--format", "json")
    catalogue = json.loads(out)
    assert code == 0
    assert {"id", "version", "paper", "source", "kind", "settings", "statement"} <= set(catalogue[0])
    assert json.loads(run("claims", "list", "--format", "json")[1]) == catalogue


def test_claims_fit_80_columns(run: Run) -> None:
    for arguments in (["claims"], ["claims", "show", "veit-single-delete-vgg"]):
        code, out, _ = run(*arguments)
        assert code == 0
        assert max(len(line) for line in out.splitlines()) <= 80


def test_show_as_json(run: Run) -> None:
    code, out, _ = run("claims", "show", "veit-paths-2n", "--format", "json")
    assert code == 0
    assert json.loads(out)["id"] == "veit-paths-2n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--select", "veit-path-2n"], "veit-paths-2n"),
        (["check", "--select", "nothing-*"], "nothing-*"),
        (["claims", "show", "veit-single-delete-vg"], "veit-single-delete-vgg"),
        (["check", "--kind", "exakt"], "unknown kind 'exakt'"),
        (["check", "--setting", "digit"], "unknown setting 'digit'"),
        (["check", "--seed", "3"], "--seed goes with --retrain or --target"),
        (["check", "--setting", "target"], "name it with --target"),
        (["check", "--checkpoints", "nowhere"], "no such folder"),
        (["check", "--checkpoints", "nowhere", "--retrain"], "exclude each other"),
        (["check", "--device", "cuda:99"], "--device cuda:99: not usable here"),
        (["check", "--device", "gpu"], "--device gpu: not usable here"),
        (["check", "--select", "veit-no-preserved-flow"], "assert nothing"),
        (["train", "--network", "resnet"], "no network 'resnet'"),
        (["train", "--setting", "mnist"], "no setting 'mnist'"),
        (["train", "--seed", "1", "--seed", "2"], "--out"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("resbench: ")
    assert err.count("\n") == 1
    assert message in err


def test_an_unwritable_output_folder_fails_before_measuring(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run("check", "--kind", "exact", "--out", str(tmp_path / "file" / "folder"))
    assert (code, out) == (2, "")
    assert "cannot write" in err


def test_reports_are_written(run: Run, tmp_path: Path) -> None:
    code, _, _ = run("check", "--select", "veit-paths-2n", "--out", str(tmp_path / "out"))
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["junit.xml", "verdicts.json", "verdicts.md"]


def test_not_measured_fails_only_when_strict(run: Run) -> None:
    assert run("check", "--select", "veit-single-delete-vgg", "--setting", "cifar10")[0] == 0
    assert run("check", "--select", "veit-single-delete-vgg", "--setting", "cifar10", "--strict")[0] == 1


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed checkpoints that a test may damage."""
    root = tmp_path / "baselines"
    shutil.copytree(baselines() / "checkpoints" / "digits", root / "checkpoints" / "digits")
    for module in (resbench.checking, resbench.plan):
        monkeypatch.setattr(module, "baselines", lambda: root)
    return root / "checkpoints" / "digits"


TRAINED = ("check", "--select", "huang-heatmap", "--setting", "digits")


def test_a_truncated_checkpoint(run: Run, checkpoints: Path) -> None:
    path = checkpoints / "post-9.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    code, out, err = run(*TRAINED)
    assert (code, out) == (2, "")
    assert "post-9.safetensors: its hash is not the one in index.json" in err
    assert err.count("\n") == 1


def test_a_missing_checkpoint(run: Run, checkpoints: Path) -> None:
    (checkpoints / "post-9.safetensors").unlink()
    code, _, err = run(*TRAINED)
    assert code == 2
    assert "No such file" in err


def test_exchanged_checkpoints(run: Run, checkpoints: Path) -> None:
    index = json.loads((checkpoints / "index.json").read_text())
    files = index["files"]
    files["post-9"], files["post-9-stochastic"] = files["post-9-stochastic"], files["post-9"]
    (checkpoints / "index.json").write_text(json.dumps(index))
    code, _, err = run(*TRAINED)
    assert code == 2
    assert "network is 'post-9" in err


def test_another_recipe_makes_the_evidence_stale(run: Run, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from msgspec.structs import replace

    from resbench.training import recipes

    changed = {name: replace(recipe, lr=0.2) for name, recipe in recipes.load_recipes("digits").items()}
    monkeypatch.setattr(recipes, "load_recipes", lambda setting: changed)
    code, out, _ = run(*TRAINED, "--format", "json")
    assert code == 1
    assert json.loads(out)["summary"]["STALE"] == 1


def test_without_checkpoints_nothing_is_green(run: Run, checkpoints: Path) -> None:
    shutil.rmtree(checkpoints)
    code, out, _ = run(*TRAINED, "--format", "json")
    assert code == 0
    assert json.loads(out)["summary"]["NOT_MEASURED"] == 1
    assert json.loads(out)["summary"]["HOLDS"] == 0


def test_an_interrupted_run_is_continued(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C keeps what was measured; the next run reuses it, and a complete run leaves nothing behind."""
    arguments = ("check", "--select", "veit-single-delete-vgg", "--select", "veit-lesion-depth-trend")
    measured: list[str] = []
    interrupting = [True]
    real = lesion.single_deletion

    def counted(member: object) -> object:
        measured.append("single")
        if interrupting and len(measured) > 4:
            raise KeyboardInterrupt
        return real(member)  # type: ignore[arg-type]

    monkeypatch.setattr(lesion, "single_deletion", counted)
    monkeypatch.setattr("resbench.experiments.lab.workers", lambda: 1)
    code, out, err = run(*arguments, "--setting", "digits")
    assert (code, out) == (130, "")
    assert "finished measurements are kept" in err
    for thread in threading.enumerate():  # in a process of its own, these would be gone
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(30)
    interrupting.clear()
    code, _, err = run(*arguments, "--setting", "digits")
    assert code == 0
    assert "reused 2 measurements of an interrupted run" in err
    code, _, err = run(*arguments, "--setting", "digits")
    assert code == 0
    assert "reused" not in err


def test_an_interrupted_process_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console script does not wait for the experiments still under way."""
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr(resbench.cli, "main", lambda: sys.exit(130))
    with pytest.raises(SystemExit):
        resbench.cli.run()
    assert ended == [130]
    monkeypatch.setattr(resbench.cli, "main", lambda: sys.exit(1))
    with pytest.raises(SystemExit):
        resbench.cli.run()
    assert ended == [130]


def test_a_crashed_experiment_is_an_error_not_green(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(member: object) -> object:
        raise RuntimeError("the experiment broke")

    monkeypatch.setattr(lesion, "single_deletion", crash)
    code, out, _ = run("check", "--select", "veit-single-delete-vgg", "--setting", "digits", "--format", "json")
    (verdict,) = json.loads(out)["verdicts"]
    assert code == 1
    assert verdict["status"] == "ERROR"
    assert "the experiment broke" in verdict["message"]
