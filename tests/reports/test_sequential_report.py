"""What a sequential run spent, in the reports for people and for CI servers."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from report_samples import one

from resbench.reports import junit, markdown
from resbench.reports.sequential import images_of, joined, spent_text


def statement(name: str, decided: str, images: int, quantity: str = "lesions.median_of_units") -> dict[str, Any]:
    return {"name": name, "quantity": quantity, "params": {}, "decided": decided, "images": images, "of": 1797}


RECORD: dict[str, Any] = {
    "alpha": 0.05,
    "method": "betting confidence sequence",
    "source": "Waudby-Smith and Ramdas 2024",
    "statements": [
        statement("veit-one@digits", "early", 128),
        statement("veit-one@digits", "at the last look", 1797, "lesions.least"),
        statement("veit-two@digits", "not measured", 0),
    ],
    "networks": [{"network": "preact-9", "passes": 2500, "of": 10_000}],
    "on_all_images": [{"name": "veit-three@digits", "quantity": "lesions.error_by_tau", "params": {}}],
}


def test_markdown_has_a_section() -> None:
    text = markdown([one()], [], {}, RECORD)
    section = text.partition("## Images\n\n")[2]
    assert section.startswith(
        r"Sequential, alpha 0.05: 1 of 3 statements decided early; 2,500 of 10,000 lesioned images (25 %)."
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert rows[0] == ["claim", "quantity", "images", "decided"]
    assert rows[2:] == [
        ["`veit-one@digits`", r"median\_of\_units", "128 of 1,797", "early"],
        ["`veit-one@digits`", "least", "1,797 of 1,797", "at the last look"],
        ["`veit-two@digits`", r"median\_of\_units", "", "not measured"],
    ]
    assert "On all their images (they vary between draws): `veit-three@digits`." in section
    assert "Betting confidence sequence: Waudby-Smith and Ramdas 2024." in section
    assert "## Images" not in markdown([one()], [], {})
    nothing = markdown([one()], [], {}, {**RECORD, "statements": [], "networks": [], "on_all_images": []})
    assert "Sequential, alpha 0.05: 0 of 0 statements decided early.\n\nBetting" in nothing


def test_junit_has_the_images_of_a_case() -> None:
    verdicts = [one(id="veit-one"), one(id="veit-two")]

    def properties(**record: Any) -> list[dict[str, str]]:
        root = ElementTree.fromstring(junit(verdicts, seconds=1.0, timestamp="now", **record).encode())
        return [{p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in root.iter("testcase")]

    first, second = properties(sequential=RECORD)
    assert (first["images"], first["images_available"]) == ("1797", "1797")
    assert "images" not in second
    assert "images" not in properties()[0]


def test_a_verdict_took_as_many_as_the_statement_that_took_most() -> None:
    assert images_of(RECORD, "veit-one@digits") == (1797, 1797)
    assert images_of(RECORD, "veit-two@digits") is None
    assert images_of(RECORD, "veit-three@digits") is None


def test_records_of_processes_are_joined() -> None:
    """Two of one run: the second measured the same network, and another setting's."""
    other = {"network": "target", "passes": 10, "of": 20}
    second = {
        **RECORD,
        "statements": [*RECORD["statements"][:1], statement("veit-four@target", "early", 10)],
        "networks": [*RECORD["networks"], other],
        "on_all_images": [],
    }
    found = joined([RECORD, second])
    assert [each["name"].partition("@")[0] for each in found["statements"]] == [
        "veit-one",
        "veit-one",
        "veit-two",
        "veit-four",
    ]
    assert found["networks"] == [*RECORD["networks"], other]
    assert found["on_all_images"] == RECORD["on_all_images"]
    assert spent_text(found).endswith("2 of 4 statements decided early; 2,510 of 10,020 lesioned images (25 %)")
