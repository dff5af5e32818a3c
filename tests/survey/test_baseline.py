"""The committed survey: large enough, nearly all adapted, and still true of the libraries that are installed."""

from __future__ import annotations

from importlib import metadata

import pandas as pd
import pytest

import resbench.survey.row as row_module
from resbench.records.places import baselines
from resbench.survey.row import survey_row
from resbench.survey.selection import families
from resbench.survey.table import columns, share_adapted
from resbench.survey.verdicts import VIOLATIONS

_AGAIN = [
    ("torchvision", "mobilenet_v3_small"),
    ("torchvision", "regnet_x_400mf"),
    ("torchvision", "googlenet"),
    ("timm", "convnext/convnextv"),
    ("timm", "levit/levit"),
    ("transformers", "levit/LevitForImageClassification"),
    ("transformers", "mobilenet_v2"),
]
"""Small networks of each library; LeViT keeps caches, which its first pass fills."""

_KNOWN = {
    ("torchvision", "resnet50"): 16,
    ("torchvision", "resnext101_32x8d"): 33,
    ("torchvision", "convnext_tiny"): 18,
    ("torchvision", "mobilenet_v2"): 10,
    ("torchvision", "efficientnet_b0"): 9,
    ("torchvision", "regnet_x_400mf"): 22,
    ("torchvision", "swin_t"): 24,
    ("timm", "vit_tiny_patch16_224"): 24,
    ("timm", "repvgg_a0"): 17,
    ("timm", "inception_resnet_v2"): 40,
    ("timm", "darknetaa53"): 23,
    ("timm", "mixer_s16_224"): 16,
    ("timm", "cait_xxs24_224"): 50,
    ("transformers", "ResNetForImageClassification"): 16,
    ("transformers", "SwinForImageClassification"): 24,
}
"""Units by the papers' tables: blocks, or blocks times two where attention and MLP have a shortcut each (CaiT: 24 and
the class attention's second half)."""


@pytest.fixture(scope="module")
def survey() -> pd.DataFrame:
    return pd.read_csv(baselines() / "survey.csv", dtype=str, keep_default_na=False)


def test_it_has_the_columns_of_a_survey(survey: pd.DataFrame) -> None:
    """Its claims are those that were judged on targets when it was made."""
    now, then = columns(), list(survey.columns)
    fixed = now.index("drops") + 1
    assert then[:fixed] == now[:fixed]
    assert then[-1] == VIOLATIONS
    assert {"unit-identity-shortcut", "unit-gradient-passes"} <= set(then[fixed:-1])
    statuses = set(survey[then[fixed:-1]].to_numpy().ravel())
    assert statuses <= {"", "HOLDS", "VIOLATED", "NOT_MEASURED"}


def test_it_covers_three_libraries_and_nearly_all_are_adapted(survey: pd.DataFrame) -> None:
    run = survey[survey["adapted"] != "not run"]
    assert len(run) >= 150
    assert set(run["library"]) == {"torchvision", "timm", "transformers"}
    rows = [{column: value for column, value in row.items() if value} for row in survey.to_dict("records")]
    adapted, residual = share_adapted(rows)
    assert residual >= 150
    assert adapted / residual >= 0.95


def test_every_handle_kept_its_promises(survey: pd.DataFrame) -> None:
    adapted = survey[survey["adapted"] == "yes"]
    broken = adapted[adapted["handles"] != "ok"]
    assert broken[["network", "handles"]].to_numpy().tolist() == []


def test_the_units_are_those_of_the_papers(survey: pd.DataFrame) -> None:
    found = {(row["library"], row["network"]): row["units"] for _, row in survey.iterrows()}
    assert {key: found[key] for key in _KNOWN} == {key: str(units) for key, units in _KNOWN.items()}


def test_every_violation_says_where(survey: pd.DataFrame) -> None:
    claims = [column for column in survey.columns if "-" in column]
    for _, row in survey.iterrows():
        for claim in claims:
            assert (row[claim] == "VIOLATED") == (claim in row["violations"])


@pytest.mark.parametrize(("library", "family"), _AGAIN)
def test_a_row_is_still_true(library: str, family: str, survey: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(library)
    (row,) = survey[(survey["library"] == library) & (survey["family"] == family)].to_dict("records")
    if row["version"] != metadata.version(library):
        pytest.skip(f"the survey is of {library} {row['version']}, installed is {metadata.version(library)}")
    monkeypatch.setattr(row_module, "judge", lambda target: {})
    (found,) = (survey_row(one) for one in families(library) if one.name == family)
    expected = {column: row[column] for column in columns()[: columns().index("drops") + 1] if row[column]}
    assert {**found, "torch": row["torch"]} == expected
