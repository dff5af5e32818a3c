from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from resbench.claims import catalogue_json, check_quantities, cite, find, load_claims, resolve_quantity, select
from resbench.claims.model import AtLeast, Claim
from resbench.errors import UserError

HEAD = """\
schema = 1
paper = "veit2016"
[source]
arxiv = "1605.06431"
version = "v2"
title = "Residual Networks Behave Like Ensembles of Relatively Shallow Networks"
"""
CLAIM = """\
[[claim]]
id = "veit-sound"
version = 2
locus = "section 4.1, figure 3"
statement = "Something sound."
provenance = "seen"
changelog = ["1: first encoded", "2: tolerance measured"]
[[claim.expect]]
setting = "any"
kind = "exact"
quantity = "combinatorics.path_count"
params = { n = 54 }
unit = "paths"
compare = { op = "equals", value = 18014398509481984 }
origin = "derived"
why = "2^54"
"""
SECOND = """\
[[claim.expect]]
setting = "digits"
kind = "trained"
quantity = "lesions.increase"
unit = "points"
compare = COMPARE
origin = "chosen"
why = "because"
"""


def write(folder: Path, text: str, name: str = "veit.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def fault(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_claims([path])
    message = str(caught.value)
    assert "\n" not in message
    return message


def with_compare(folder: Path, compare: str) -> Path:
    return write(folder, HEAD + CLAIM + SECOND.replace("COMPARE", compare))


def test_a_sound_file(tmp_path: Path) -> None:
    [claim] = load_claims([write(tmp_path, HEAD + CLAIM)])
    assert claim.paper == "veit2016"
    assert claim.expect[0].params == {"n": 54}
    assert cite(claim) == "arXiv:1605.06431v2, section 4.1, figure 3"


def test_a_claim_may_have_its_own_paper_and_source(tmp_path: Path) -> None:
    own = 'paper = "he2015"\nsource = { arxiv = "1512.03385", version = "v1", title = "Deep" }\n[[claim.expect]]'
    [claim] = load_claims([write(tmp_path, HEAD + CLAIM.replace("[[claim.expect]]", own, 1))])
    assert claim.paper == "he2015"
    assert cite(claim) == "arXiv:1512.03385v1, section 4.1, figure 3"


def test_order_is_by_file_name_then_as_written(tmp_path: Path) -> None:
    second = write(
        tmp_path, HEAD + CLAIM.replace("veit-sound", "b-two") + CLAIM.replace("veit-sound", "b-one"), "b.toml"
    )
    first = write(tmp_path, HEAD + CLAIM.replace("veit-sound", "a-three"), "a.toml")
    assert [claim.id for claim in load_claims([second, first])] == ["a-three", "b-two", "b-one"]


def test_a_number_for_a_bound_may_be_an_integer(tmp_path: Path) -> None:
    [claim] = load_claims([with_compare(tmp_path, '{ op = "at_least", bound = 1 }')])
    assert claim.expect[1].compare == AtLeast(bound=1.0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version = 2\nlocus", "version = = 2\nlocus", ["not valid TOML", "line 9"]),
        ('locus = "section 4.1, figure 3"\n', "", ["claim veit-sound: locus: is missing"]),
        ("locus =", "locsu =", ["claim veit-sound: locsu: unknown field", "did you mean 'locus'"]),
        ("origin =", "orign =", ["claim veit-sound: expect[0].orign: unknown field", "did you mean 'origin'"]),
        ("value =", "vlaue =", ["expect[0].compare.vlaue: unknown field", "did you mean 'value'"]),
        ('op = "equals", ', "", ["expect[0].compare.op: is missing"]),
        ('"equals"', '"equal"', ["expect[0].compare.op: 'equal' is none of", "did you mean 'equals'"]),
        ('unit = "paths"\n', "", ["claim veit-sound: expect[0].unit: is missing"]),
        ('unit = "paths"', 'unit = ""', ["expect[0].unit", "length >= 1"]),
        ("version = 2\nlocus", 'version = "2"\nlocus', ["claim veit-sound: version: expected `int`, got `str`"]),
        ("version = 2\nlocus", "version = true\nlocus", ["version: expected `int`, got `bool`"]),
        ('kind = "exact"', 'kind = "exakt"', ["expect[0].kind: 'exakt' is none of", "did you mean 'exact'"]),
        ('setting = "any"', 'setting = "digits"', ["expect[0].setting: 'digits' is no setting of kind 'exact'"]),
        ('"combinatorics.path_count"', '"path_count"', ["expect[0].quantity", "regex"]),
        ("n = 54", "n = nan", ["expect[0].params.n: nan is not a finite number"]),
        ("n = 54", "n = [1, { m = inf }]", ["expect[0].params.n: inf is not a finite number"]),
        ("n = 54", "n = 2016-05-20", ["expect[0].params.n: 2016-05-20 is neither text, number, list nor table"]),
        ('"2: tolerance measured"', '"3: tolerance"', ["claim veit-sound: changelog", "'2: ...'"]),
        (', "2: tolerance measured"', "", ["claim veit-sound: changelog", "'2: ...'"]),
        ('"2: tolerance measured"', '"20: tolerance"', ["claim veit-sound: changelog", "'2: ...'"]),
        ('id = "veit-sound"\n', "", ["claim number 1: id: is missing"]),
        ('id = "veit-sound"', 'id = "Veit sound"', ["claim Veit sound: id: expected `str` matching regex"]),
        ("schema = 1", "schema = 2", ["veit.toml: schema: '2' is none of 1"]),
        ("paper = ", "papr = ", ["veit.toml: papr: unknown field; did you mean 'paper'"]),
        ("arxiv =", "arxif =", ["veit.toml: source.arxif: unknown field; did you mean 'arxiv'"]),
        ("changelog", 'not_asserted = "opinion"\nchangelog', ["claim veit-sound: not_asserted: is given although"]),
    ],
)
def test_faults_name_file_claim_and_field(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    text = HEAD + CLAIM
    assert old in text
    message = fault(write(tmp_path, text.replace(old, new, 1)))
    assert message.startswith("veit.toml: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        ('{ op = "rank", statistic = "spearman" }', "compare: needs at_least or at_most"),
        ('{ op = "rank", statistic = "kendall", at_least = 1.5 }', "compare: a rank correlation lies between -1 and 1"),
        ('{ op = "rank", statistic = "pearson", at_least = 0.5 }', "compare.statistic: 'pearson' is none of spearman"),
        ('{ op = "ratio", over = "a", under = "b" }', "compare: needs at_least or at_most"),
        ('{ op = "ratio", over = "a", under = "b", at_least = 2, at_most = 1 }', "at_least 2.0 is above at_most 1.0"),
        ('{ op = "ratio", over = "a", under = "a", at_least = 2 }', "compare.under: is the same entry as over"),
        ('{ op = "between", low = 2, high = 1 }', "compare: low 2.0 is above high 1.0"),
        ('{ op = "within", value = 3 }', "compare: within needs abs or rel"),
        ('{ op = "within", value = 3, abs = -0.1 }', "compare.abs: a tolerance cannot be negative"),
        ('{ op = "within", value = 3, abs = 1, rel = -0.1 }', "compare.rel: a tolerance cannot be negative"),
        ('{ op = "within", value = [], abs = 1 }', "compare.value: is an empty list"),
        ('{ op = "within", value = [1, nan], abs = 1 }', "compare.value: nan is not a finite number"),
        ('{ op = "within", value = [1, "2"], abs = 1 }', "compare.value[1]: expected `float`, got `str`"),
        ('{ op = "equals", value = inf }', "compare.value: inf is not a finite number"),
        ('{ op = "at_least", bound = -inf }', "compare.bound: -inf is not a finite number"),
        ('{ op = "at_most", bound = "3" }', "compare.bound: expected `float`, got `str`"),
        ('{ op = "monotone", direction = "increasing", slack = -1 }', "compare.slack: a tolerance cannot be negative"),
        ('{ op = "monotone", direction = "increasing", strict = true, slack = 1 }', "compare.slack: a strict"),
        ('{ op = "monotone", direction = "ascending" }', "compare.direction: 'ascending' is none of increasing"),
        ('{ op = "order", names = ["a", "b", "a"] }', "compare.names: 'a' stands there twice"),
        ('{ op = "order", names = ["a"] }', "compare.names: expected `array` of length >= 2"),
        ('{ op = "order", names = ["a", "b"], margin = -1 }', "compare.margin: cannot be negative"),
    ],
)
def test_comparators_that_decide_nothing(tmp_path: Path, compare: str, words: str) -> None:
    message = fault(with_compare(tmp_path, compare))
    assert message.startswith("veit.toml: claim veit-sound: expect[1].compare")
    assert words in message


def test_a_misspelt_setting_is_no_setting(tmp_path: Path) -> None:
    text = HEAD + CLAIM + SECOND.replace("COMPARE", '{ op = "at_least", bound = 1 }').replace('"digits"', '"cifr10"')
    assert "did you mean 'cifar10'?" in fault(write(tmp_path, text))


def test_a_claim_asserts_or_says_why_not(tmp_path: Path) -> None:
    bare = CLAIM.split("[[claim.expect]]")[0]
    assert "claim veit-sound: expect: is missing" in fault(write(tmp_path, HEAD + bare))
    [claim] = load_claims([write(tmp_path, HEAD + bare + 'not_asserted = "an interpretation"\n')])
    assert (claim.kind, claim.settings) == ("text", [])


def test_a_duplicate_names_both_files(tmp_path: Path) -> None:
    files = [write(tmp_path, HEAD + CLAIM, name) for name in ("a.toml", "b.toml")]
    with pytest.raises(UserError, match=r"^b\.toml: claim veit-sound: id: is taken already in a\.toml$"):
        load_claims(files)


def test_the_second_claim_is_named(tmp_path: Path) -> None:
    broken = CLAIM.replace("veit-sound", "veit-second").replace("statement =", "statment =")
    assert "claim veit-second: statment: unknown field" in fault(write(tmp_path, HEAD + CLAIM + broken))


@pytest.mark.parametrize("text", ["", HEAD, HEAD + "claim = 3\n", HEAD + "claim = [3]\n"])
def test_files_without_claims(tmp_path: Path, text: str) -> None:
    assert fault(write(tmp_path, text)).startswith("veit.toml: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "gone.toml: No such file or directory" in fault(tmp_path / "gone.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert "binary.toml: is not UTF-8" in fault(binary)


def claims_named(*ids: str) -> list[Claim]:
    common: dict[str, Any] = {"version": 1, "locus": "1", "statement": "s", "provenance": "seen", "changelog": ["1: x"]}
    return [Claim(id=id, **common) for id in ids]


def test_select_keeps_catalogue_order() -> None:
    claims = claims_named("veit-a", "he-b", "veit-c", "huang-d")
    assert [claim.id for claim in select(claims, ["huang-*", "veit-*", "veit-c"])] == ["veit-a", "veit-c", "huang-d"]
    assert select(claims, []) == claims


def test_select_suggests() -> None:
    claims = claims_named("veit-single-delete", "he-shortcut")
    with pytest.raises(UserError, match=r"no claim matches 'veit-singel\*'; nearest: veit-single-delete"):
        select(claims, ["he-*", "veit-singel*"])
    with pytest.raises(UserError, match="`resbench claims` lists them all"):
        select(claims, ["zzz"])


def test_find() -> None:
    claims = claims_named("veit-single-delete", "he-shortcut")
    assert find(claims, "he-shortcut") is claims[1]
    with pytest.raises(UserError, match="nearest: he-shortcut"):
        find(claims, "he-shortcuts")
    with pytest.raises(UserError):
        find(claims, "he-*")


def test_catalogue_rows_are_json(tmp_path: Path) -> None:
    [row] = catalogue_json(load_claims([write(tmp_path, HEAD + CLAIM)]))
    assert json.loads(json.dumps(row)) == row
    assert row["source"] == "arXiv:1605.06431v2, section 4.1, figure 3"
    assert (row["kind"], row["settings"], row["verified"]) == ("exact", ["any"], True)
    expected = "id version paper source kind settings statement provenance verified known_conflicts"
    assert list(row) == expected.split()


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package of experiments with one module, ``combinatorics``."""
    importlib.import_module("resbench.experiments.combinatorics")  # so that there is one to put back
    folder = tmp_path / "fakes"
    folder.mkdir()
    (folder / "combinatorics.py").write_text("limit = 3\ndef path_count(n): return 2**n\ndef free(**rest): return 1\n")
    package = types.ModuleType("resbench.experiments")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "resbench.experiments", package)
    monkeypatch.delitem(sys.modules, "resbench.experiments.combinatorics", raising=False)


@pytest.mark.usefixtures("experiment")
def test_quantities_resolve() -> None:
    assert resolve_quantity("combinatorics.path_count")(n=5) == 32


@pytest.mark.usefixtures("experiment")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "combinatorics.",
            "combinatoric.",
            "quantity: resbench.experiments has no module 'combinatoric'; did you mean",
        ),
        ("path_count", "paths_count", "has no function 'paths_count'; did you mean 'path_count'?"),
        ("path_count", "limit", "has no function 'limit'"),
        ("n = 54", "m = 54", "params.m: combinatorics.path_count takes no such parameter"),
    ],
)
def test_unresolved_quantities_name_the_claim(tmp_path: Path, old: str, new: str, words: str) -> None:
    sound = load_claims([write(tmp_path, HEAD + CLAIM)])
    check_quantities(sound)
    with pytest.raises(UserError) as caught:
        check_quantities(load_claims([write(tmp_path, HEAD + CLAIM.replace(old, new))]))
    assert str(caught.value).startswith("claim veit-sound: expect[0].")
    assert words in str(caught.value)


def test_the_packages_claims_load_and_resolve() -> None:
    claims = load_claims()
    assert {"veit2016", "he2016", "huang2016"} <= {claim.paper for claim in claims}
    check_quantities(claims)
