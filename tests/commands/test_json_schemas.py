"""Every command with --format json has a schema, and what it prints is of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_tree import NAMED

from conftest import Run
from resbench import schemas
from resbench.records.places import baselines

NET = ("resnet20-preact", "--data", "digits", "--limit", "4")
SEED = "claims/digits/seed-1.json"


def with_json(command: Any) -> bool:
    context = command.make_context(command.name, [], resilient_parsing=True)
    shown = [param.get_help_record(context)[0] for param in command.params if "--format" in param.opts]
    return any("json" in re.split(r"\W", text) for text in shown)


WITH_JSON = sorted(name for name, (_, command) in NAMED.items() if with_json(command))


def schema_of(name: str) -> str:
    """`resbench claims` is `resbench claims list`."""
    return "claims-list" if name == "claims" else name.replace(" ", "-")


def checked(name: str, text: str) -> Any:
    found = json.loads(text)
    jsonschema.validate(found, schemas.read(name), cls=jsonschema.Draft202012Validator)
    return found


def test_commands_that_print_json_are_found() -> None:
    assert {"check", "claims show", "records diff", "survey", "doctor"} <= set(WITH_JSON)


@pytest.mark.parametrize("name", WITH_JSON)
def test_every_command_with_json_has_a_schema(name: str) -> None:
    assert schema_of(name) in schemas.names(), f"write src/resbench/schemas/{schema_of(name)}.json"


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_is_one(name: str) -> None:
    schema = schemas.read(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"].startswith("resbench ")
    assert schema["description"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("check", ("check", "--select", "veit-paths-*", "--kind", "exact")),
        ("claims-list", ("claims", "list")),
        ("claims-list", ("claims",)),
        ("claims-show", ("claims", "show", "veit-single-delete-vgg")),
        ("claims-show", ("claims", "show", "veit-no-preserved-flow")),
        ("units", ("units", "resnet20-preact", "--input", "3x8x8")),
        ("compare", ("compare", "cpu-epyc-9xx4-torch2.9", "cpu-epyc-9xx4-torch2.15")),
        ("history", ("history", str(baselines() / "asv"))),
        ("history", ("history", str(baselines() / "asv"), "--pin", "cpu-epyc-9xx4-torch2.15")),
        ("claims-wanted", ("claims", "wanted")),
        ("schema", ("schema",)),
        ("faults", ("faults", "--list")),
        ("figure", ("figure", "--list")),
        ("figure", ("figure", "veit-fig7")),
        ("bench", ("bench", "--list")),
        ("bench", ("bench", "--list", "--set", "engines")),
    ],
)
def test_outputs(run: Run, name: str, arguments: tuple[str, ...]) -> None:
    code, out, _ = run(*arguments, "--format", "json")
    assert code in (0, 1)
    checked(name, out)


def test_the_file_of_a_run_says_when(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check", "--select", "veit-paths-2n", "--format", "json", "--out", str(tmp_path))
    written = checked("check", (tmp_path / "verdicts.json").read_text())
    assert code == 0
    assert written.pop("at").endswith("+00:00")
    assert written == checked("check", out)


def test_lesions(run: Run) -> None:
    modes = [part for mode in ("single", "multi", "reorder", "duplicate", "pairs") for part in ("--mode", mode)]
    code, out, _ = run("lesion", *NET, *modes, "--draws", "1", "--k", "1", "--swaps", "1", "--format", "json")
    assert code == 0
    assert len(checked("lesion", out)["single"]) == 9


def test_paths(run: Run) -> None:
    for more in (("--forward",), ("--sampled", "--max-paths", "2"), ("--survival", "linear:0.5", "--max-length", "2")):
        code, out, err = run("paths", *NET, *more, "--format", "json")
        assert code == 0, err
        checked("paths", out)


def test_a_run_on_a_target_with_waivers(run: Run, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.toml"
    waivers.write_text('[[waiver]]\nclaim = "unit-identity-shortcut"\nreason = "r"\nowner = "o"\nexpiry = 2999-01-01\n')
    arguments = ("--select", "unit-test-*", "--data", "digits", "--limit", "8", "--sequential")
    code, out, _ = run(
        "check", "--target", "resnet20-preact", *arguments, "--waivers", str(waivers), "--format", "json"
    )
    found = checked("check", out)
    assert code in (0, 1)
    assert found["environment"]["target"]["name"] == "resnet20-preact"
    assert {"waivers", "sequential"} <= set(found)


def test_records(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(baselines() / SEED, store)
    assert checked("records-verify", run("records", "verify", str(store), "--format", "json")[1])["wrong"] == []
    merged = run("records", "merge", str(store), "--out", str(tmp_path / "all"), "--format", "json")
    assert checked("records-merge", merged[1])["written"] == ["seed-1.json"]
    (tmp_path / "all" / "seed-1.json").write_text("{}")
    code, out, _ = run("records", "verify", str(tmp_path / "all"), "--format", "json")
    assert (code, len(checked("records-verify", out)["wrong"])) == (1, 1)
    shutil.copy(baselines() / "claims" / "digits" / "seed-2.json", store)
    shutil.copy(baselines() / SEED, tmp_path / "all")
    code, out, _ = run("records", "diff", str(store), str(tmp_path / "all"), "--format", "json")
    assert code == 1
    found = checked("records-diff", out)
    assert found["same"] == 1
    assert found["different"][0]["only_in"] == "first"
    assert checked("records-migrate", run("records", "migrate", str(store), "--format", "json")[1]) == {"done": []}


def test_committed_files_are_of_their_schemas() -> None:
    checked("faults", (baselines() / "kill-matrix.json").read_text())
    for path in (baselines() / "throughput").glob("*.json"):
        checked("bench", path.read_text())


def test_doctor(run: Run) -> None:
    assert checked("doctor", run("doctor", "--device", "cpu", "--format", "json")[1])


def test_survey(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"library": "torchvision", "version": "1", "torch": "2", "family": "resnet", "adapted": "yes"}]
    monkeypatch.setattr("resbench.survey.command.run_survey", lambda options: rows)
    code, out, _ = run("survey", "torchvision", "--out", str(tmp_path / "s.csv"), "--format", "json")
    assert code == 0
    assert checked("survey", out)["rows"] == rows


def test_ab() -> None:
    from resbench.reports.ab import ab_json
    from resbench.timing.ab import AbRow
    from resbench.timing.change import Change, Ratio
    from resbench.timing.worker.grid import cases

    case, other = cases("default")[:2]
    rows = [
        AbRow(case, case, Change.SLOWER, Ratio(1.2, 1.1, 1.3, 0.01), 0.01),
        AbRow(case, other, missing=("not there", "")),
    ]
    text = ab_json(rows, "main", "the working tree", margin=0.05, environment={"python": "3.13"})
    assert checked("ab", text)["cases"][1]["base_case"] == case.key


def test_schema_command(run: Run) -> None:
    code, out, _ = run("schema", "claims", "--format", "json")
    assert code == 2
    code, out, _ = run("schema", "claims show")
    assert json.loads(out) == schemas.read("claims-show")
    assert {line.split()[0] for line in run("schema")[1].splitlines()} == set(schemas.names())


def test_a_wrong_output_is_noticed() -> None:
    with pytest.raises(jsonschema.ValidationError):
        checked("doctor", '[{"topic": "t", "fact": "f", "grade": "fine", "action": ""}]')
    with pytest.raises(jsonschema.ValidationError):
        checked("units", '[{"index": 0}]')


def test_the_documentation_names_every_schema() -> None:
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    assert [name for name in schemas.names() if f"`{name}`" not in text] == []
