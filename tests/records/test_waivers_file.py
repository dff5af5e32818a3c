"""`waivers.toml`: where it is found, and that nothing but whole entries are taken from it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from resbench.errors import UserError
from resbench.records.waivers import Waiver, chosen_waivers, find_waivers, read_waivers

WHOLE = {"claim": '"veit-one"', "reason": '"see issue 12"', "owner": '"a.person"', "expiry": "2026-12-31"}


def entry(**changes: str | None) -> str:
    """One entry, with fields changed or (None) left out."""
    fields = {name: value for name, value in (WHOLE | changes).items() if value is not None}
    return "\n".join(["[[waiver]]", *(f"{name} = {value}" for name, value in fields.items()), ""])


def read(tmp_path: Path, text: str) -> list[Waiver]:
    (tmp_path / "waivers.toml").write_text(text)
    return read_waivers(tmp_path / "waivers.toml")


@pytest.mark.parametrize("expiry", ["2026-12-31", '"2026-12-31"'])
def test_an_entry(tmp_path: Path, expiry: str) -> None:
    (waiver,) = read(tmp_path, entry(expiry=expiry))
    day = datetime.date(2026, 12, 31)
    assert waiver == Waiver(claim="veit-one", reason="see issue 12", owner="a.person", expiry=day)
    assert waiver.name == "veit-one"
    (waiver,) = read(tmp_path, entry(setting='"digits"'))
    assert waiver.name == "veit-one@digits"


def test_an_empty_file_waives_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == []


FAULTS = [
    (entry(reason=None), "waiver 1 (veit-one): reason: is missing"),
    (entry(owner=None), "waiver 1 (veit-one): owner: is missing"),
    (entry(expiry=None), "waiver 1 (veit-one): expiry: is missing"),
    (entry() + entry(claim=None), "waiver 2: claim: is missing"),
    (entry(reason='""'), "waiver 1 (veit-one): reason: is empty"),
    (entry(owner='" "'), "waiver 1 (veit-one): owner: is empty"),
    (entry(owner="3"), "waiver 1 (veit-one): owner: expected `str`, got `int`"),
    (entry(until="2026-12-31"), "waiver 1 (veit-one): until: unknown field"),
    (entry(expiry='"31.12.2026"'), "waiver 1 (veit-one): expiry: not a date; write one as 2026-12-31"),
    (entry(expiry='"2026-02-30"'), "waiver 1 (veit-one): expiry: not a date; write one as 2026-12-31"),
    (entry(expiry='"never"'), "waiver 1 (veit-one): expiry: not a date; write one as 2026-12-31"),
    (entry(expiry="20261231"), "waiver 1 (veit-one): expiry: 20261231 is not a date; write one as 2026-12-31"),
    (
        entry(expiry="2026-12-31T10:00:00"),
        "waiver 1 (veit-one): expiry: 2026-12-31 10:00:00 is not a date; write one as 2026-12-31",
    ),
    (entry() + entry(), "veit-one is waived twice; keep one of the entries"),
    (
        entry(setting='"digits"') + entry(),
        "veit-one is waived twice, once for all its settings; keep one of the entries",
    ),
    (
        entry() + entry(setting='"digits"'),
        "veit-one@digits is waived twice, once for all its settings; keep one of the entries",
    ),
    ("[[waivers]]\n", "waivers: unknown field; entries are written [[waiver]]"),
    ("[waiver]\nclaim = 'x'\n", "waiver: expected `array`, got `object`; entries are written [[waiver]]"),
    ("waiver = [3]\n", "waiver 1: expected `object`, got `int`"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_fault_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'waivers.toml'}: {message}"


def test_what_is_no_toml_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not valid TOML"):
        read(tmp_path, "[[waiver]\n")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_waivers(tmp_path / "bytes.toml")
    with pytest.raises(UserError, match="No such file"):
        chosen_waivers(tmp_path / "missing.toml", tmp_path)


def test_different_settings_of_one_claim(tmp_path: Path) -> None:
    assert len(read(tmp_path, entry(setting='"digits"') + entry(setting='"cifar10"'))) == 2


def test_found_in_the_repository_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "waivers.toml").write_text(entry())
    repository, below = tmp_path / "repository", tmp_path / "repository" / "a" / "b"
    below.mkdir(parents=True)
    assert find_waivers(below) is None, "no repository: only the folder itself"
    (repository / ".git").mkdir()
    assert find_waivers(below) is None, "the file above is not this repository's"
    (repository / "waivers.toml").write_text(entry(owner='"b"'))
    assert find_waivers(below) == repository / "waivers.toml"
    (below / "waivers.toml").write_text(entry(owner='"c"'))
    assert find_waivers(below) == below / "waivers.toml"
    assert [waiver.owner for waiver in chosen_waivers(None, repository)] == ["b"]
    assert chosen_waivers(tmp_path / "waivers.toml", below)[0].owner == "a.person"
    assert chosen_waivers(None, repository / "a")[0].owner == "b"
    assert chosen_waivers(None, tmp_path.parent / "nowhere") == []
