"""Waivers in whole runs: `resbench check` in every format, and the pytest plugin."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from resbench.experiments import combinatorics

Run = Callable[..., tuple[int, str, str]]

LATER, EARLIER = "2999-12-31", "2020-01-01"
CLAIM = "veit-paths-2n"
"""Exact, of the one setting `any`."""


def entry(claim: str = CLAIM, setting: str = "any", expiry: str = LATER) -> str:
    place = f'setting = "{setting}"\n' if setting else ""
    return (
        f'[[waiver]]\nclaim = "{claim}"\n{place}reason = "the counter is being rewritten"\nowner = "a.person"\n'
        f"expiry = {expiry}\n"
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, of a repository of its own."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim is VIOLATED: 7 paths where 8 are expected."""
    monkeypatch.setattr(combinatorics, "path_count", lambda n: 2**n - 1)


def checked(run: Run, *arguments: str, format: str = "table") -> tuple[int, str, str]:
    return run("check", "--select", CLAIM, "--setting", "any", "--format", format, *arguments)


@pytest.mark.usefixtures("broken")
def test_waived_in_every_format(run: Run, place: Path) -> None:
    assert checked(run)[0] == 1
    (place / "waivers.toml").write_text(entry())
    said = "waived until 2999-12-31 by a.person: the counter is being rewritten"
    code, text, _ = checked(run)
    assert code == 0
    assert said in " ".join(text.split())
    assert "1 WAIVED" in text
    code, text, _ = checked(run, "--strict", format="json")
    assert code == 0
    found = json.loads(text)
    assert found["summary"]["WAIVED"] == 1
    assert found["summary"]["HOLDS"] == 0
    (verdict,) = found["verdicts"]
    assert (verdict["status"], verdict["measured"]) == ("WAIVED", 7)
    assert verdict["waiver"]["status"] == "VIOLATED"
    assert (found["waivers"][0]["state"], found["waivers"][0]["owner"]) == ("used", "a.person")
    _, text, _ = checked(run, format="md")
    assert "a.person" in text
    assert "2999-12-31" in text
    assert "the counter is being rewritten" in text
    _, text, _ = checked(run, format="junit")
    root = ET.fromstring(text)
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("2", "0", "1")
    case, waiver = root.iter("testcase")
    skipped = case.find("skipped")
    assert skipped is not None
    assert said in str(skipped.get("message"))
    assert {p.get("name"): p.get("value") for p in case.iter("property")}["waiver_owner"] == "a.person"
    assert waiver.find("failure") is None


@pytest.mark.usefixtures("broken")
def test_an_expired_waiver_is_red_in_every_format(run: Run, place: Path) -> None:
    (place / "waivers.toml").write_text(entry(expiry=EARLIER))
    said = "the waiver expired on 2020-01-01 (a.person: the counter is being rewritten)"
    code, text, _ = checked(run)
    assert code == 1
    assert said in " ".join(text.split())
    assert "1 EXPIRED" in text
    found = json.loads(checked(run, format="json")[1])
    assert (found["verdicts"][0]["status"], found["waivers"][0]["state"]) == ("VIOLATED", "expired")
    assert said in found["verdicts"][0]["message"]
    root = ET.fromstring(checked(run, format="junit")[1])
    assert root.get("failures") == "2"
    assert "waiver expired on 2020-01-01" in checked(run, format="md")[1]


def test_an_unused_waiver_is_red_in_every_format(run: Run, place: Path) -> None:
    (place / "waivers.toml").write_text(entry())
    code, text, _ = checked(run)
    assert code == 1
    assert "1 HOLDS" in text
    assert "UNUSED waiver veit-paths-2n@any: the claim holds: remove the waiver" in " ".join(text.split())
    found = json.loads(checked(run, format="json")[1])
    assert (found["verdicts"][0]["status"], found["waivers"][0]["state"]) == ("HOLDS", "unused")
    root = ET.fromstring(checked(run, format="junit")[1])
    assert root.get("failures") == "1"
    assert "| UNUSED" in checked(run, format="md")[1]


def test_a_part_of_the_catalogue_leaves_other_waivers_alone(run: Run, place: Path) -> None:
    two_settings = "veit-paths-over-20"
    (place / "waivers.toml").write_text(entry("he-t2-full-preact", setting="") + entry(two_settings, setting=""))
    code, text, _ = run("check", "--select", two_settings, "--setting", "any")
    assert code == 0
    assert "waivers: 1 undecided, 1 not selected" in text
    (place / "waivers.toml").write_text(entry("he-no-such-claim"))
    assert checked(run)[0] == 1, "an id that nothing has is wrong whatever was selected"


def test_a_named_file(run: Run, place: Path) -> None:
    (place / "waivers.toml").write_text(entry())
    (place / "none.toml").write_text("")
    assert checked(run, "--waivers", "none.toml")[0] == 0
    code, _, err = checked(run, "--waivers", "missing.toml")
    assert (code, err) == (2, "resbench: missing.toml: No such file or directory; --waivers names a file of waivers\n")


def test_a_bad_file_ends_the_run(run: Run, place: Path) -> None:
    (place / "waivers.toml").write_text('[[waiver]]\nclaim = "veit-paths-2n"\n')
    code, out, err = checked(run)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.endswith("waivers.toml: waiver 1 (veit-paths-2n): reason: is missing\n")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("RESBENCH_CACHE", str(pytester.path / "cache"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (pytester.path / ".git").mkdir()
    return pytester


def suite_run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    chosen = ("--pyargs", "resbench", "-m", "claims", "-p", "no:cacheprovider", "-k", f"{CLAIM} and any")
    return suite.runpytest_inprocess(*chosen, "-rx", *arguments)


@pytest.mark.usefixtures("broken")
def test_pytest_expects_the_failure_of_a_waived_claim(suite: pytest.Pytester) -> None:
    (suite.path / "waivers.toml").write_text(entry())
    result = suite_run(suite, "--junitxml=junit.xml")
    assert (result.ret, result.parseoutcomes()) == (
        0,
        {"xfailed": 1, "deselected": result.parseoutcomes()["deselected"]},
    )
    result.stdout.fnmatch_lines(["WAIVED *veit-paths-2n@any*", "*1 WAIVED*"])
    assert "waived until 2999-12-31 by a.person" in result.stdout.str()
    properties = {p.get("name"): p.get("value") for p in ET.parse(suite.path / "junit.xml").getroot().iter("property")}
    assert properties["resbench_status"] == "WAIVED"
    assert (properties["resbench_waiver_owner"], properties["resbench_waiver_expiry"]) == ("a.person", LATER)


@pytest.mark.usefixtures("broken")
def test_pytest_and_an_expired_waiver(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\nresbench_waivers = ours.toml\n")
    (suite.path / "ours.toml").write_text(entry(expiry=EARLIER))
    result = suite_run(suite)
    assert result.ret == 1
    assert "the waiver expired on 2020-01-01" in result.stdout.str()


def test_pytest_fails_for_an_unused_waiver(suite: pytest.Pytester) -> None:
    (suite.path / "waivers.toml").write_text(entry())
    result = suite_run(suite)
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == 1
    result.stdout.fnmatch_lines(["UNUSED waiver veit-paths-2n@any: the claim holds: remove the waiver*"])
    (suite.path / "waivers.toml").write_text(entry("he-t2-full-preact", setting=""))
    assert suite_run(suite).ret == 0, "not selected"


def test_pytest_and_a_bad_file(suite: pytest.Pytester) -> None:
    result = suite_run(suite, "--resbench-waivers", "missing.toml")
    assert result.ret == 2
    text = result.stdout.str() + result.stderr.str()
    assert "resbench: missing.toml: No such file or directory; --waivers names a file of waivers" in text
    assert "Traceback" not in text


def test_unused_waivers_under_xdist(suite: pytest.Pytester) -> None:
    (suite.path / "waivers.toml").write_text(entry())
    result = suite.runpytest_subprocess(
        "--pyargs", "resbench", "-m", "claims", "-k", f"{CLAIM} and any", "-n", "1", "-p", "no:cacheprovider"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(["UNUSED waiver veit-paths-2n@any*"])
