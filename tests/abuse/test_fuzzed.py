"""Damaged files of every kind: the right answer or one line, never a traceback, never green by other values.

`python -m benchmarks.fuzz` does the same with a thousand and more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.fuzz import Bench, judged
from benchmarks.fuzz_commands import COMMANDS, Command, Ended, fault_of, trial
from benchmarks.fuzz_edits import EDITS, edited
from benchmarks.fuzz_formats import FORMATS, Format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resbench.errors import UserError

_EACH = 4

_JSON = [
    format for format in FORMATS if format.name in ("evidence", "record of a seed", "checkpoint index", "timing run")
]
_JSON += [
    format
    for format in FORMATS
    if format.name.startswith(("asv", "pytest-benchmark", "pace", "claims.lock", "seeds.json", "verdicts"))
]

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bench]:
    return {format.name: Bench.of(format, tmp_path_factory.mktemp("format")) for format in _JSON}


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_a_damaged_file(format: Format, tmp_path: Path) -> None:
    bench, generator = Bench.of(format, tmp_path), random.Random(format.name)
    for number in range(_EACH):
        what, content = edited(bench.good, generator)
        assert not bench.outcome(content).fault, f"input {number}, {what}"
    assert bench.outcome(bench.good).what == "right"


@pytest.mark.parametrize("format", _JSON, ids=lambda format: format.name)
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_json_in_place_of_a_part(benches: dict[str, Bench], format: Format, data: st.DataObject) -> None:
    bench = benches[format.name]
    document = json.loads(bench.good)
    holder, key = data.draw(st.sampled_from(list(_holders(document))))
    holder[key] = data.draw(documents)
    assert not bench.outcome(json.dumps(document).encode("utf-8", "surrogatepass")).fault


def _holders(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from _holders(value)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_damaged_file_through_a_command(command: Command, tmp_path: Path) -> None:
    trials = trial(command, tmp_path, random.Random(command.file))
    for _ in range(2):
        what, fault = next(trials)
        assert not fault, what


@pytest.mark.parametrize("field", ["git", "packages"])
def test_an_environment_of_another_form(field: str, tmp_path: Path) -> None:
    """Found by the thousand: what other tools' files say of the machine is read only when it is looked at."""
    from resbench.timing.readers import read

    path = next(format for format in FORMATS if format.name.startswith("pytest-benchmark")).made(tmp_path)
    document = json.loads(path.read_bytes())
    document["machine_info"]["resbench"][field] = 7
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="its environment's 'git' is no table" if field == "git" else "is damaged"):
        read(str(path))


def test_damage_is_damage() -> None:
    content = b'{"a": [1, 2, {"b": 3}]}\n' * 3
    for edit in EDITS:
        generator = random.Random(1)
        assert any(edit(content, generator) != content for _ in range(20)), edit
    generator = random.Random(2)
    assert all(edited(content, generator)[1] != content for _ in range(200))


def test_the_judges_of_outcomes_are_strict() -> None:
    def broken() -> object:
        raise KeyError("digest")

    def refused() -> object:
        raise UserError("one line\nand another")

    assert judged(broken, 1, True).fault == "KeyError: 'digest'"
    assert judged(refused, 1, True).fault.startswith("2 lines")
    assert judged(lambda: 2, 1, True).fault
    assert not judged(lambda: 2, 1, False).fault
    assert not judged(lambda: 1, 1, True).fault
    good = Ended(0, "HOLDS", "")
    assert fault_of(Ended(0, "HOLDS, too", ""), good, True)
    assert not fault_of(Ended(1, "VIOLATED", ""), good, True)
    assert fault_of(Ended(2, "", "Traceback (most recent call last):\n  ...\nKeyError\n"), good, True)
    assert fault_of(Ended(2, "", "\n"), good, True)
    assert fault_of(Ended(139, "", ""), good, True)
    assert not fault_of(Ended(2, "", "resbench: no such file\n"), good, True)


def test_a_changed_tolerance_is_not_judged_by(tmp_path: Path) -> None:
    claims = next(format for format in FORMATS if format.name == "claims of a paper")
    path = claims.made(tmp_path)
    text = path.read_text()
    assert "bound = 80.0" in text
    path.write_text(text.replace("bound = 80.0", "bound = 8.0", 1))
    with pytest.raises(UserError, match="changed without a higher version"):
        claims.read(path)
