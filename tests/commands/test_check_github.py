"""`resbench check --format github`: the board, annotations on the right lines, the job's summary, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.judging.run_samples import document, verdict
from tests.reports.report_samples import one

import resbench.checking
from conftest import Run
from resbench.claims import load_claims
from resbench.judge import Status, Verdict
from resbench.locating import Line, claims_in, repository, target_line, waiver_lines_in

ROOT = Path(__file__).resolve().parents[2]
CLAIM = "veit-paths-2n"


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may be in one themselves."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def faked(monkeypatch: pytest.MonkeyPatch, *statuses: Status) -> None:
    """Each exact claim's verdict, made by hand: of the first ones these, of the others HOLDS."""

    def judge(items: list[object], *_: object) -> list[Verdict]:
        given = [*statuses, *[Status.HOLDS] * len(items)]
        ids = [CLAIM, *(claim.id for claim in load_claims() if claim.id != CLAIM)]
        return [one(status, id=id, setting="any") for status, id in zip(given, ids, strict=False)][: len(items)]

    monkeypatch.setattr(resbench.checking, "judge_items", judge)


def test_all_that_holds_has_no_annotations(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    code, out, err = run("check", "--select", "veit-paths-*", "--kind", "exact", "--format", "github")
    assert (code, err) == (0, "")
    assert "::" not in out
    assert re.match(r"## Claims: (all \d+ hold|the one judged holds)\n", (tmp_path / "summary.md").read_text())


def test_what_fails_is_annotated_on_its_claim(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    faked(monkeypatch, Status.VIOLATED, Status.INCONCLUSIVE)
    code, out, err = run("check", "--kind", "exact", "--format", "github")
    assert code == 1
    first, second = [line for line in out.splitlines() if line.startswith("::")]
    found = re.match(r"::error file=([^,]*),line=(\d+),title=VIOLATED veit-paths-2n@any::measured%?", first)
    assert found, first
    line = (ROOT / found[1]).read_text().splitlines()[int(found[2]) - 1]
    assert line == f'id = "{CLAIM}"'
    assert second.startswith("::warning file=src/resbench/claims/")
    assert "this fails the run as well" in second
    assert err == "resbench: GITHUB_STEP_SUMMARY is not set: no job's summary was written\n"


def test_no_more_than_github_shows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, *[Status.INCONCLUSIVE] * 12, *[Status.ERROR] * 14)
    _, out, _ = run("check", "--kind", "exact", "--format", "github")
    lines = [line for line in out.splitlines() if line.startswith("::")]
    assert [sum(line.startswith(f"::{level}") for line in lines) for level in ("error", "warning")] == [10, 10]
    assert "5 more errors: the log and the job's summary have them all" in lines[9]
    assert "3 more warnings" in lines[19]


def test_what_changed_since_an_earlier_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    lost = verdict("veit-lost")
    (tmp_path / "verdicts.json").write_text(json.dumps(document(lost)))
    arguments = ("check", "--select", "veit-paths-*", "--kind", "exact", "--format", "github", "--since", str(tmp_path))
    code, _, _ = run(*arguments)
    assert code == 0, "what changed is shown; `resbench diff` fails"
    text = (tmp_path / "summary.md").read_text()
    assert "### Changes: 1 claim became worse" in text
    assert "`veit-lost@digits`" in text


def test_since_is_read_before_anything_is_measured(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*_: object) -> list[Verdict]:
        raise AssertionError("measured")

    monkeypatch.setattr(resbench.checking, "judge_items", judge)
    code, out, err = run("check", "--kind", "exact", "--format", "github", "--since", str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert "No such file or directory" in err


def test_a_summary_that_cannot_be_written_is_told_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary.md"))
    code, out, err = run("check", "--kind", "exact", "--format", "github")
    assert (code, out) == (2, "")
    assert "cannot write GITHUB_STEP_SUMMARY" in err


def test_since_goes_with_github(run: Run, tmp_path: Path) -> None:
    code, _, err = run("check", "--kind", "exact", "--since", str(tmp_path))
    assert code == 2
    assert "--since goes with --format github" in err


def test_strict_says_what_was_not_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, Status.NOT_MEASURED)
    assert run("check", "--kind", "exact", "--format", "github")[0] == 0
    code, out, _ = run("check", "--kind", "exact", "--format", "github", "--strict")
    assert code == 1
    assert "::error title=NOT_MEASURED::1 of " in out


def test_every_claim_has_its_line() -> None:
    lines = claims_in(ROOT)
    for claim in load_claims():
        found = lines[claim.id]
        assert (ROOT / found.file).read_text().splitlines()[found.number - 1] == f'id = "{claim.id}"'


def test_an_installed_copy_has_no_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one elsewhere, nor one in a virtual environment inside the repository."""
    assert claims_in(tmp_path) == {}
    file = tmp_path / ".venv" / "lib" / "site-packages" / "resbench" / "claims" / "veit2016.toml"
    monkeypatch.setattr("resbench.locating.claim_lines", lambda: {CLAIM: (file, 3)})
    assert claims_in(tmp_path) == {}


def project(root: Path, **files: str) -> Path:
    (root / ".git").mkdir(parents=True)
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_toml", ".toml").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_line_that_names_the_target(tmp_path: Path) -> None:
    configuration = '[tool.pytest.ini_options]\nresbench_target = "mymodel:build"\n'
    test = "from resbench.suite.test_claims import test_claim\n"
    named = '"""x"""\n\nTARGET = "mymodel:build"\n'
    root = project(tmp_path / "a", pyproject_toml=configuration, tests__test_claims_py=test)
    assert target_line(root, root, "mymodel:build") == Line("pyproject.toml", 2)
    assert target_line(root, root, "mymodel:build2") == Line("tests/test_claims.py", 1)
    root = project(tmp_path / "b", pyproject_toml="[project]\n", tests__test_b_py=named, tests__test_a_py=test)
    assert target_line(root, root, "mymodel:build") == Line("tests/test_b.py", 3)
    assert target_line(root, root, "other:build") == Line("tests/test_a.py", 1)
    root = project(tmp_path / "c", pyproject_toml="[project]\n")
    assert target_line(root, root, "mymodel:build") is None
    root = project(tmp_path / "d", packages__one__pyproject_toml=configuration)
    assert target_line(root, root / "packages" / "one", "mymodel:build") == Line("packages/one/pyproject.toml", 2)


def test_files_that_cannot_be_read_have_no_lines(tmp_path: Path) -> None:
    root = project(tmp_path / "a")
    (root / "pyproject.toml").write_bytes(b"\xff\xfe mymodel:build")
    (root / "tox.ini").mkdir()
    assert target_line(root, root, "mymodel:build") is None


def test_the_lines_of_waivers(tmp_path: Path) -> None:
    text = '# waivers\n[[waiver]]\nclaim = "a-b"\nreason = "r"\n\n[[waiver]]\nsetting = "digits"\nclaim = "a-c"\n'
    root = project(tmp_path / "a", waivers_toml=text)
    found = waiver_lines_in(root, root / "waivers.toml", ["a-b", "a-c@digits", "a-d"])
    assert found == {"a-b": Line("waivers.toml", 3), "a-c@digits": Line("waivers.toml", 8)}


def test_outside_of_a_repository_nothing_has_a_line(tmp_path: Path) -> None:
    assert repository(ROOT / "src" / "resbench") == ROOT
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    found = repository(deep)
    assert found is None or found in tmp_path.parents
