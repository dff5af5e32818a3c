"""What changed, as people and programs read it."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import jsonschema
from tests.judging.run_samples import check, run, verdict

from resbench.judging.changes import changes_of
from resbench.reports.changes import change_annotations, changes_json, changes_markdown, changes_table, headline

BEFORE = run(
    verdict("veit-lost"),
    verdict("veit-broken"),
    verdict("veit-mended", "VIOLATED"),
    verdict("veit-restated"),
    verdict("veit-moved", "HOLDS", check(20.0, 10.0, 1.0)),
    verdict("veit-same"),
)
AFTER = run(
    verdict("veit-broken", "VIOLATED"),
    verdict("veit-mended"),
    verdict("veit-restated", version=2),
    verdict("veit-moved", "HOLDS", check(14.0, 4.0, 1.0)),
    verdict("veit-same"),
    verdict("veit-added"),
    environment={"python": "3.13", "packages": {"torch": "2.15.0"}, "git": {"commit": "aa"}},
    waivers=[{"claim": "veit-same", "state": "unused", "message": "the claim holds: remove the waiver"}],
)
CHANGES = changes_of(BEFORE, AFTER)


def test_the_first_line_says_how_much() -> None:
    assert headline(CHANGES) == (
        "2 claims became worse, 1 better, 1 new; 1 waiver newly fails the run; 1 margin or value moved; "
        "3 verdicts are the same"
    )
    assert headline(changes_of(BEFORE, BEFORE)) == "no claims became worse; 6 verdicts are the same"


def test_the_table() -> None:
    text = changes_table(CHANGES, "last", "run", width=80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("2 claims became worse")
    marks = [
        "WORSE (2)", "HOLDS → VIOLATED: veit-broken@digits", "veit-broken is VIOLATED",
        "HOLDS → gone: veit-lost@digits", "the later run did not judge it", "better (1)",
        "VIOLATED → HOLDS: veit-mended@digits", "new (1)", "new, HOLDS: veit-added@digits", "waivers that newly fail",
        "veit-same: the claim holds", "claims stated otherwise", "veit-restated@digits: version 1 → 2",
        "margins and values that moved", "veit-moved@digits: nearer by 6 points (noise 1.41 points): 20 → 14",
        "environment (1)", "python: 3.11.7 → 3.13",
    ]  # fmt: skip
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_long_names_and_odd_letters_stay_in_their_columns() -> None:
    odd = verdict("veit-" + "x" * 60 + "\x1b[31m\n::error::y", "HOLDS", check([float(n) for n in range(99)], 1.0))
    other = {**odd, "checks": [check([float(-n) for n in range(99)], 1.0)]}
    text = changes_table(changes_of(run(odd, verdict()), run(other)), "a" * 60, "b" * 60, width=80)
    assert "\x1b" not in text
    assert all(not line.startswith("::") for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 80


def test_claims_that_are_gone_are_named_together() -> None:
    """By what they were; a run of another selection lacks many."""
    before = run(*(verdict(f"veit-{n}") for n in range(3)), verdict("veit-9", "VIOLATED"))
    changes = changes_of(before, run())
    lines = changes_table(changes, "a", "b").splitlines()
    assert "  HOLDS → gone: veit-0@digits, veit-1@digits, veit-2@digits" in lines
    assert lines[lines.index("  VIOLATED → gone: veit-9@digits") + 1].strip() == "the later run did not judge it"
    assert "`veit-0@digits`, `veit-1@digits`, `veit-2@digits`" in "".join(changes_markdown(changes, "a", "b"))


def test_no_more_margins_than_anybody_reads() -> None:
    before = [verdict(f"veit-{n}", "HOLDS", check(5.0, 1.0)) for n in range(30)]
    after = [verdict(f"veit-{n}", "HOLDS", check(4.5, 0.5)) for n in range(30)]
    changes = changes_of(run(*before), run(*after))
    assert "  and 10 more: --format json has them" in changes_table(changes, "a", "b")
    assert "And 10 more: `resbench diff --format json` has them." in changes_markdown(changes, "a", "b")


def test_the_ways_of_a_margin() -> None:
    """Nearer, further inside, further across, back; by how much where it tells."""
    ways = []
    for before, after in ((10.0, 4.0), (4.0, 10.0), (-2.0, -8.0), (-8.0, -2.0), (4.0, 4.0)):
        left = verdict("veit-one", "HOLDS", check(1.0, before, 1.0))
        right = verdict("veit-one", "HOLDS", check(9.0, after, 1.0))
        text = changes_table(changes_of(run(left), run(right)), "a", "b")
        ways.append(" ".join(text.partition("veit-one@digits: ")[2].split())[:22])
    assert ways == [
        "nearer by 6 points (no", "further inside by 6 po", "further across by 6 po", "back by 6 points (nois",
        "changed, as far from t",
    ]  # fmt: skip


def test_a_ratio_moves_by_a_factor() -> None:
    def ratio(room: float) -> dict[str, object]:
        margin = {"room": room, "half_width": math.log(1.1), "tolerance": None, "log": True}
        return verdict("veit-one", "HOLDS", check(math.exp(room), margin=margin, expected="a / b >= 1"))

    text = changes_table(changes_of(run(ratio(math.log(8))), run(ratio(math.log(4)))), "a", "b")
    assert "nearer by a factor of 2 (noise a factor of 1.14)" in " ".join(text.split())


def test_markdown() -> None:
    parts = changes_markdown(CHANGES, "last", "run", level=3)
    text = "\n\n".join(parts)
    assert parts[0].startswith("### Changes: 2 claims became worse")
    assert parts[1] == "`run` against `last`."
    assert text.count("**worse**") == 2
    assert "| better    | VIOLATED → HOLDS" in text
    assert "`veit-restated@digits`" in text
    odd = verdict("veit-<b>|x", "VIOLATED", message="<script>|")
    text = "\n".join(changes_markdown(changes_of(run(), run(odd)), "<i>", "`"))
    assert "<script>" not in text
    assert "`veit-<b>\\|x@digits`" in text


def test_json() -> None:
    found = json.loads(changes_json(CHANGES, ("last", BEFORE), ("run", AFTER)))
    assert list(found) == [
        "schema", "before", "after", "worse", "flips", "waivers", "restated", "moved", "environment", "same",
    ]  # fmt: skip
    assert found["schema"] == "resbench.diff/1"
    assert found["worse"] is True
    assert found["before"] == {"run": "last", "summary": {"HOLDS": 5, "VIOLATED": 1}}
    flips = [(flip["claim"], flip["before"], flip["after"], flip["worse"]) for flip in found["flips"]]
    assert flips == [
        ("veit-broken@digits", "HOLDS", "VIOLATED", True),
        ("veit-lost@digits", "HOLDS", None, True),
        ("veit-added@digits", None, "HOLDS", False),
        ("veit-mended@digits", "VIOLATED", "HOLDS", False),
    ]
    assert found["restated"] == [{"claim": "veit-restated@digits", "before": 1, "after": 2}]
    assert [(one["claim"], one["room"], one["before"], one["after"]) for one in found["moved"]] == [
        ("veit-moved@digits", -6.0, 20.0, 14.0)
    ]
    assert {"name": "python", "before": "3.11.7", "after": "3.13"} in found["environment"]
    assert found["same"] == 3


def test_json_is_of_its_schema() -> None:
    schema = json.loads((files("resbench") / "schemas" / "diff.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    exact = run(verdict("veit-one", "HOLDS", check([1, 2], 1.0)))
    later = run(verdict("veit-one", "HOLDS", check([1, 3], None)))
    for before, after in ((BEFORE, AFTER), (AFTER, BEFORE), (exact, later), (run(), run())):
        found = json.loads(changes_json(changes_of(before, after), ("a", before), ("b", after)))
        jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)


def test_annotations() -> None:
    titles = [note.title for note in change_annotations(CHANGES)]
    assert titles == ["HOLDS → VIOLATED veit-broken@digits", "HOLDS → gone veit-lost@digits", "waiver veit-same"]
    assert {note.level for note in change_annotations(CHANGES)} == {"error"}
