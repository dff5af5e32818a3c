"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

SELECTED = "veit-paths-2n or huang-expected-depth or veit-single-delete-imagenet200"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("RESBENCH_CACHE", str(pytester.path / "cache"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("--pyargs", "resbench", "-m", "claims", "-p", "no:cacheprovider", *arguments)


def test_items_are_named_by_claim_and_setting(suite: pytest.Pytester) -> None:
    result = run(suite, "--co", "-q")
    result.stdout.fnmatch_lines(["*test_claims.py::test_claim?veit-single-delete-vgg@digits?"])
    assert result.ret == 0


def test_verdicts_outcomes_and_board(suite: pytest.Pytester) -> None:
    result = run(suite, "-k", f"({SELECTED}) and not published", "-rs")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] >= 2
    assert outcomes["skipped"] == 1
    result.stdout.fnmatch_lines(["*= claims =*", "*veit-paths-2n@any*", "SKIPPED*NOT_MEASURED*"])


def test_junit_properties(suite: pytest.Pytester) -> None:
    run(suite, "-k", "veit-paths-2n", "--junitxml=junit.xml")
    root = ET.parse(suite.path / "junit.xml").getroot()
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties["resbench_version"] == "1"
    assert properties["resbench_value"] == "8"


def test_xdist(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess(
        "--pyargs", "resbench", "-m", "claims", "-k", "veit-paths-2n or veit-pathlen", "-n", "2"
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*= claims =*", "*veit-paths-2n@any*"])


def test_a_failing_claim_explains_itself(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        from resbench.experiments import combinatorics

        combinatorics.path_count = lambda n: 2**n - 1
        """
    )
    result = suite.runpytest_subprocess(
        "--pyargs", "resbench", "-m", "claims", "-k", "veit-paths-2n", "-p", "no:cacheprovider"
    )
    assert result.ret == 1
    text = result.stdout.str()
    for part in ("arXiv:1605.06431", "measured", "7 paths", "8", "VIOLATED"):
        assert part in text
    assert "Traceback" not in text


def test_seed_needs_retrain(suite: pytest.Pytester) -> None:
    result = run(suite, "--resbench-seed", "3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--resbench-seed goes with --resbench-retrain or --resbench-target*"])


def test_other_tests_pay_nothing(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert not [name for name in sys.modules if name.startswith("resbench.claims") or name == "torch"]
        """
    )
    result = suite.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert "claims" not in result.stdout.str()


def test_user_error_ends_the_run_with_exit_code_2(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.errors import UserError
    from resbench.plan import Run

    def damaged(self: Run, item: object) -> None:
        raise UserError("checkpoint x: truncated")

    monkeypatch.setattr(Run, "verdict", damaged)
    result = run(suite, "-k", "veit-paths-2n")
    assert result.ret == 2
    assert "resbench: checkpoint x: truncated" in result.stdout.str() + result.stderr.str()


def test_catalogue_ids_are_test_ids(suite: pytest.Pytester) -> None:
    """Every claim that asserts something has an item, in every one of its settings; on a target, where one is given."""
    from resbench.claims import load_claims

    listed = run(suite, "--co", "-q").stdout.str()
    wanted = {f"[{claim.id}@{setting}]" for claim in load_claims() for setting in claim.settings}
    assert {one for one in wanted if one not in listed} == {one for one in wanted if one.endswith("@target]")}
    listed = run(suite, "--co", "-q", "--resbench-target", "resnet20").stdout.str()
    assert {claim.id for claim in load_claims() if claim.expect and f"[{claim.id}@target]" not in listed} == set()
