"""`resbench init`: what it finds, writes, keeps and refuses; and the claims of a repository that it has set up."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from repositories import FILES, NET, files, table

from conftest import Run
from resbench import schemas
from resbench.initialising import setting_up, trial
from resbench.initialising.trial import Trial
from resbench.targets.options import TargetOptions


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fake_trial(monkeypatch: pytest.MonkeyPatch) -> dict[str, Trial]:
    """Answers of trials by target, where no process is to be started."""
    answers: dict[str, Trial] = {}

    def tried(options: TargetOptions, folder: Path, seconds: float = 0.0) -> Trial:
        return answers.get(options.target, Trial(options.target, error="no residual additions were found"))

    monkeypatch.setattr(setting_up, "tried", tried)
    return answers


def test_a_trial_finds_the_size_of_the_input(repository: Path) -> None:
    (repository / "gray.py").write_text(NET.replace("channels=3", "channels=1"))
    found = trial.tried(TargetOptions(target="gray:Net", roots=(repository,)), repository)
    assert (found.input, found.error) == ("1x28x28", "")


def test_a_trial_that_hangs_or_dies(repository: Path) -> None:
    (repository / "bad.py").write_text(
        "import os, time\ndef hang(): time.sleep(60)\ndef die(): os._exit(3)\nprint('noise')\n"
    )
    hung = trial.tried(TargetOptions(target="bad:hang", roots=(repository,)), repository, seconds=0.2)
    assert hung.error == "took longer than 0 s"
    died = trial.tried(TargetOptions(target="bad:die", roots=(repository,)), repository)
    assert died.error == "its process ended without an answer"


def test_a_dry_run_writes_nothing(run: Run, repository: Path, fake_trial: dict[str, Trial]) -> None:
    (repository / "model.py").write_text(NET)
    fake_trial["model:Net"] = Trial("model:Net", "3x32x32", "model:Net: 2 units")
    code, out, _ = run("init", "--dry-run")
    assert code == 0
    assert set(files(repository)) == {"model.py"}
    assert 'target = "model:Net"' in out
    assert "would be created: pyproject.toml" in out
    assert "pip install resbench" in out


def test_what_is_in_pyproject_stays(run: Run, repository: Path, fake_trial: dict[str, Trial]) -> None:
    text = '# mine\n[project]\nname = "x"   # a name\nversion = "1"\n\n[tool.ruff]\nline-length = 100\n'
    (repository / "pyproject.toml").write_text(text)
    (repository / "model.py").write_text(NET)
    fake_trial["model:Net"] = Trial("model:Net", "3x32x32", "model:Net: 2 units")
    assert run("init")[0] == 0
    assert (repository / "pyproject.toml").read_text().startswith(text)
    assert table(repository)["target"] == "model:Net"
    assert "pip install -e ." in (repository / ".github" / "workflows" / "resbench.yml").read_text()


def test_tests_go_where_tests_are(run: Run, repository: Path) -> None:
    (repository / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["checks"]\n')
    (repository / "checks").mkdir()
    (repository / "requirements.txt").write_text("numpy\n")
    assert run("init")[0] == 0
    assert (repository / "checks" / "test_claims.py").is_file()
    workflow = (repository / ".github" / "workflows" / "resbench.yml").read_text()
    assert "pip install -r requirements.txt" in workflow
    assert "pip install -e ." not in workflow


def test_a_folder_of_a_repository(run: Run, repository: Path) -> None:
    (repository / "part").mkdir()
    assert run("init", "part")[0] == 0
    assert {"part/pyproject.toml", "part/tests/test_claims.py", ".github/workflows/resbench.yml"} <= set(
        files(repository)
    )
    assert "working-directory: part" in (repository / ".github" / "workflows" / "resbench.yml").read_text()


def test_outside_git_there_is_no_workflow(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    monkeypatch.chdir(folder)
    code, out, _ = run("init")
    assert code == 0
    assert set(files(folder)) == {"pyproject.toml", "tests/test_claims.py"}
    assert "no git repository" in out


@pytest.mark.parametrize("path", ["tests/test_claims.py", ".github/workflows/resbench.yml"])
def test_files_are_not_overwritten(run: Run, repository: Path, path: str) -> None:
    (repository / path).parent.mkdir(parents=True)
    (repository / path).write_text("# mine\n")
    if path.endswith(".yml"):
        (repository / path).write_text("name: other\n")
    before = files(repository)
    code, out, err = run("init")
    assert (code, out) == (2, "")
    assert "--force" in err
    assert err.count("\n") == 1
    assert files(repository) == before
    code, out, _ = run("init", "--force")
    assert code == 0
    assert f"replaced: {path}" in out


def test_another_table_is_not_overwritten(run: Run, repository: Path, fake_trial: dict[str, Trial]) -> None:
    text = '[tool.resbench]\ntarget = "model:Net"   # mine\nseed = 1\n'.replace("seed = 1\n", 'device = "cpu"\n')
    (repository / "pyproject.toml").write_text(text)
    fake_trial["other:Net"] = Trial("other:Net", "1x8x8", "other:Net: 2 units")
    code, _, err = run("init", "--target", "other:Net")
    assert code == 2
    assert "target = 'model:Net'" in err
    assert "--force" in err
    assert (repository / "pyproject.toml").read_text() == text
    assert run("init")[0] == 0
    assert (repository / "pyproject.toml").read_text() == text
    assert run("init", "--target", "other:Net", "--force")[0] == 0
    assert table(repository) == {"target": "other:Net", "device": "cpu", "input": "1x8x8"}
    assert "# mine" in (repository / "pyproject.toml").read_text()


def test_an_option_alone_keeps_the_target_that_is_there(
    run: Run, repository: Path, fake_trial: dict[str, Trial]
) -> None:
    (repository / "model.py").write_text(NET)
    (repository / "pyproject.toml").write_text('[tool.resbench]\ntarget = "other:Net"\n')
    fake_trial["model:Net"] = Trial("model:Net", "3x32x32", "model:Net: 2 units")
    fake_trial["other:Net"] = Trial("other:Net", "3x8x8", "other:Net: 2 units")
    code, _, err = run("init", "--input", "3x8x8")
    assert code == 2
    assert "no input" in err
    assert run("init", "--input", "3x8x8", "--force")[0] == 0
    assert table(repository) == {"target": "other:Net", "input": "3x8x8"}


def test_what_is_said_is_not_guessed(run: Run, repository: Path, fake_trial: dict[str, Trial]) -> None:
    (repository / "model.py").write_text(NET)
    fake_trial["torchvision:resnet18"] = Trial("torchvision:resnet18", "", "resnet18: 8 units")
    arguments = ("--data", "npz:test.npz", "--units", "layer*", "--survival", "linear:0.5", "--mean", "0.5")
    code, _, err = run("init", "--target", "torchvision:resnet18", *arguments, "--std", "0.25")
    assert (code, err) == (0, "")
    assert table(repository) == {
        "target": "torchvision:resnet18",
        "data": "npz:test.npz",
        "mean": "0.5",
        "std": "0.25",
        "units": ["layer*"],
        "survival": "linear:0.5",
    }


@pytest.mark.parametrize(
    ("arguments", "model", "message"),
    [
        (("--target", "model:nothing"), NET, "--target model:nothing cannot be judged"),
        ((), NET, "with --target MODULE:CALLABLE"),
        ((), NET.replace("channels=3", "channels"), "model:Net needs arguments (channels)"),
        (("--without-target", "--target", "x:y"), NET, "exclude each other"),
        (("nowhere",), NET, "no such folder"),
        (("--input", "3x3"), NET, "--input 3x3"),
    ],
)
def test_refusals_write_nothing(
    run: Run, repository: Path, fake_trial: dict[str, Trial], arguments: tuple[str, ...], model: str, message: str
) -> None:
    (repository / "model.py").write_text(model)
    code, out, err = run("init", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert set(files(repository)) == {"model.py"}


def test_without_a_target(run: Run, repository: Path) -> None:
    (repository / "model.py").write_text(NET)
    assert run("init", "--without-target")[0] == 0
    assert table(repository) == {"kinds": ["exact"]}


def test_as_json(run: Run, repository: Path) -> None:
    code, out, _ = run("init", "--without-target", "--format", "json")
    assert code == 0
    found = json.loads(out)
    jsonschema.validate(found, schemas.read("init"))
    assert {Path(one["path"]).name for one in found["files"]} == {Path(name).name for name in FILES}


def test_the_workflow_is_yaml_of_a_workflow(run: Run, repository: Path) -> None:
    yaml = pytest.importorskip("yaml")
    run("init", "--without-target")
    found = yaml.safe_load((repository / ".github" / "workflows" / "resbench.yml").read_text())
    assert found["jobs"]["claims"]["steps"][-1] == {"run": "pytest -m claims"}
