"""A lab that reads records: what is missing is not measured, what is of another making is stale."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.records.evidence_samples import MADE, REQUEST, SETTING, deletions, record, subject

import resbench.plan
import resbench.training.recipes
from resbench.claims import load_claims
from resbench.claims.model import Expectation
from resbench.errors import NotMeasured, Stale, UserError
from resbench.experiments.lab import Lab
from resbench.experiments.recorded import RecordedLab, has_evidence
from resbench.judge import Status, Verdict
from resbench.plan import Run, items_of
from resbench.records.evidence import write
from resbench.records.places import baselines
from resbench.records.results import Request, Result
from resbench.records.schemas import digest_of
from resbench.records.versions import NETWORKS, VERSIONS


def test_the_recorded_arrays(tmp_path: Path) -> None:
    record(tmp_path)
    (member,) = RecordedLab(SETTING, tmp_path).result(REQUEST)
    assert member["wrong"].sum(1).tolist() == [2, 30, 20, 4, 3, 5]


def test_what_is_not_recorded_is_not_measured_and_the_command_is_named(tmp_path: Path) -> None:
    record(tmp_path)
    lab = RecordedLab(SETTING, tmp_path)
    wanted = Request("reordering", "resnet56")
    lab.measure_all([wanted])
    way_out = r"--study examples/cifar10_public/study.toml --select resnet56` measures it"
    with pytest.raises(
        NotMeasured, match=f"reordering of resnet56 is not recorded in setting cifar10-public.*{way_out}"
    ):
        lab.result(wanted)


def test_another_version_of_the_experiment_is_stale(tmp_path: Path) -> None:
    record(tmp_path, version=VERSIONS["single_deletion"] + 1)
    with pytest.raises(Stale, match="version 2 of the experiment, not 1"):
        RecordedLab(SETTING, tmp_path).result(REQUEST)


def test_a_record_of_another_checkpoint_than_the_networks_others_is_stale(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path, request=Request("evaluation", "resnet56"))
    record(tmp_path, request=Request("duplication", "resnet56"), checkpoint=64 * "1")
    lab = RecordedLab(SETTING, tmp_path)
    assert lab.result(REQUEST)
    with pytest.raises(Stale, match="another checkpoint or data"):
        lab.result(Request("duplication", "resnet56"))


def test_a_network_on_other_images_than_the_setting_is_stale(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path, request=Request("single_deletion", "resnet44"))
    record(tmp_path, request=Request("single_deletion", "resnet32"), images=10, labels="k")
    lab = RecordedLab(SETTING, tmp_path)
    assert lab.result(REQUEST)
    with pytest.raises(Stale, match=r"other images \(10\) than the setting's \(40\)"):
        lab.result(Request("single_deletion", "resnet32"))


STUDY = """\
schema = 1
setting = "cifar10-public"
experiments = ["single_deletion"]

[[network]]
name = "resnet56"
target = "mymodel:build"
checkpoint = "weights.safetensors"
source = "made up"
published_error = 6.61
"""


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("mymodel:build", "mymodel:other", "target"),
        ("made up", "another author", "source"),
        ("6.61", "7.0", "published error"),
    ],
)
def test_a_record_of_another_network_than_the_study_names_is_stale(
    tmp_path: Path, old: str, new: str, field: str
) -> None:
    folder = tmp_path / "baselines" / "claims" / SETTING
    record(folder, source="made up")
    assert RecordedLab(SETTING, folder).result(REQUEST), "no study beside the records"
    study = tmp_path / "examples" / "cifar10_public" / "study.toml"
    study.parent.mkdir(parents=True)
    study.write_text(STUDY)
    assert RecordedLab(SETTING, folder).result(REQUEST)
    study.write_text(STUDY.replace("resnet56", "resnet20"))
    assert RecordedLab(SETTING, folder).result(REQUEST), "a study that does not speak of it"
    study.write_text(STUDY.replace(old, new))
    with pytest.raises(Stale, match=f"recorded with another {field} than the present study's; `resbench measure"):
        RecordedLab(SETTING, folder).result(REQUEST)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The records of the setting, in baselines of the test's own."""
    monkeypatch.setattr(resbench.plan, "baselines", lambda: tmp_path)
    return tmp_path / "claims" / SETTING


def judged(id: str) -> Verdict:
    claims = [claim for claim in load_claims() if claim.id == id]
    (verdict,) = Run(items_of(claims, settings=(SETTING,))).verdicts()
    return verdict


def depths(place: Path, wrong: dict[str, int]) -> None:
    """Each network has 2 of 400 images wrong, and so many without any of its ordinary units."""
    for network, errors in wrong.items():
        result = deletions([2, 300, 200, errors, errors, errors], images=400)
        record(place, (result,), Request("single_deletion", network))


def test_a_claim_is_judged_from_records(place: Path) -> None:
    depths(place, {"resnet20": 200, "resnet32": 100, "resnet44": 50, "resnet56": 10})
    verdict = judged("veit-lesion-depth-trend")
    assert verdict.status is Status.HOLDS
    assert verdict.measured == [49.5, 24.5, 12.0, 2.0]


def test_a_claim_is_violated_by_records(place: Path) -> None:
    depths(place, {"resnet20": 200, "resnet32": 100, "resnet44": 10, "resnet56": 50})
    assert judged("veit-lesion-depth-trend").status is Status.VIOLATED


def test_a_missing_network_leaves_its_claims_unmeasured(place: Path) -> None:
    depths(place, {"resnet20": 200, "resnet32": 100, "resnet44": 50})
    verdict = judged("veit-lesion-depth-trend")
    assert verdict.status is Status.NOT_MEASURED
    assert "single_deletion of resnet56 is not recorded" in verdict.message


def test_stale_records_are_not_green(place: Path) -> None:
    depths(place, {"resnet20": 200, "resnet32": 100, "resnet44": 50, "resnet56": 10})
    record(place, version=7)
    assert judged("veit-lesion-depth-trend").status is Status.STALE


def test_a_damaged_record_ends_the_run(place: Path) -> None:
    record(place).write_text("{}")
    with pytest.raises(UserError, match="not a record of evidence"):
        judged("veit-lesion-depth-trend")


def test_which_lab_a_setting_gets(place: Path) -> None:
    record(place)
    run = Run([])
    assert isinstance(run.lab(SETTING), RecordedLab)
    assert isinstance(run.lab("cifar10"), RecordedLab), "nothing is recorded yet, and nothing could be measured here"
    assert type(run.lab("imagenet")) is Lab
    assert type(Run([], folders={SETTING: place}).lab(SETTING)) is Lab
    shutil.rmtree(place / "resnet56")
    assert not has_evidence(place)
    with pytest.raises(NotMeasured, match="no trained networks for setting cifar10-public"):
        Run([]).lab(SETTING).result(REQUEST)


def test_the_committed_evidence_is_whole() -> None:
    """Every record of the setting is of this version, of one checkpoint a network, and of the same images."""
    lab = RecordedLab(SETTING, baselines() / "claims" / SETTING)
    requests = list(lab._all())
    for request in requests:
        assert lab.result(request)
    assert {request.network for request in requests} == {
        "plain20",
        "plain56",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
    }


OWN = "cifar10"
FACTS: dict[str, Any] = {"recipe": "abc", "networks": NETWORKS, "precision": "bf16", "seed": 1}


def own(folder: Path, network: str = "resnet110", *, run: int = 1, wrong: int = 4, **changes: Any) -> Path:
    """The evaluation of a network that resbench trained."""
    request = Request("evaluation", network)
    result = ({"wrong": np.arange(100)[None] < wrong},)
    facts = {**FACTS, "images": 100, **changes}
    return write(folder, OWN, request, VERSIONS["evaluation"], subject(**facts), MADE, result, run=run)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The present recipes, as far as evidence asks."""
    present: dict[str, Any] = {"resnet110": SimpleNamespace(fingerprint="abc")}
    monkeypatch.setattr(resbench.training.recipes, "load_recipes", lambda setting: present)
    return present


def evaluation(folder: Path, network: str = "resnet110") -> Result:
    return RecordedLab(OWN, folder).result(Request("evaluation", network))


def test_a_network_trained_here_is_read_as_others(tmp_path: Path, recipe: dict[str, Any]) -> None:
    own(tmp_path)
    assert evaluation(tmp_path)[0]["wrong"].sum() == 4


def test_another_recipe_is_stale(tmp_path: Path, recipe: dict[str, Any]) -> None:
    own(tmp_path)
    recipe["resnet110"] = SimpleNamespace(fingerprint="abd")
    way_out = "`resbench measure --setting cifar10 --select resnet110` measures it"
    with pytest.raises(Stale, match=f"of another recipe than the present one; {way_out}"):
        evaluation(tmp_path)
    recipe.clear()
    with pytest.raises(Stale, match="another recipe"):
        evaluation(tmp_path)


def test_other_code_of_the_networks_is_stale(tmp_path: Path, recipe: dict[str, Any]) -> None:
    own(tmp_path, networks=NETWORKS + 1)
    with pytest.raises(Stale, match="with version 2 of the networks' code, not 1"):
        evaluation(tmp_path)


def test_other_data_than_the_settings_is_stale(tmp_path: Path, recipe: dict[str, Any]) -> None:
    recipe |= dict.fromkeys(("resnet20", "resnet32"), recipe["resnet110"])
    own(tmp_path)
    own(tmp_path, "resnet20")
    own(tmp_path, "resnet32", data="other")
    assert evaluation(tmp_path, "resnet20")
    with pytest.raises(Stale, match="on other data than the setting's other records"):
        evaluation(tmp_path, "resnet32")


def test_evidence_from_before_networks_were_trained_here_is_still_read(tmp_path: Path) -> None:
    path = record(tmp_path)
    content = json.loads(path.read_text())
    for name in ("recipe", "networks", "precision"):
        del content["subject"][name]
    del content["made"]["training"]
    path.write_text(json.dumps({**content, "digest": digest_of(content)}))
    assert RecordedLab(SETTING, tmp_path).result(REQUEST)


def expectation() -> Expectation:
    (claim,) = (claim for claim in load_claims() if claim.id == "he-t1-original")
    (found,) = claim.expect
    return found


def test_the_first_of_few_runs_is_judged_and_the_median_of_five(tmp_path: Path, recipe: dict[str, Any]) -> None:
    for run, wrong in enumerate((9, 4, 5, 6), start=1):
        own(tmp_path, run=run, seed=run, checkpoint=64 * str(run), wrong=wrong)
    first = RecordedLab(OWN, tmp_path).evaluate(expectation())
    assert (first.value, first.n, first.method) == (9.0, 100, "Wilson over the test images")
    own(tmp_path, run=5, seed=5, wrong=7)
    median = RecordedLab(OWN, tmp_path).evaluate(expectation())
    assert (median.value, median.n, median.method) == (6.0, 5, "bootstrap over runs")
    assert median.detail == "median of 5 runs: 9.00, 4.00, 5.00, 6.00, 7.00 %"
    assert min(median.replicates or ()) == 4.0
    assert max(median.replicates or ()) == 9.0


def test_runs_of_another_recipe_do_not_count(tmp_path: Path, recipe: dict[str, Any]) -> None:
    for run in range(1, 6):
        own(tmp_path, run=run, seed=run, recipe="abd" if run == 3 else "abc")
    assert RecordedLab(OWN, tmp_path).evaluate(expectation()).n == 100
