"""The pytest plugin on as few images as the verdicts need, in pytest runs of its own."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from resbench.experiments.lesion import Body

ARGUMENTS = ("--pyargs", "resbench", "-m", "claims", "-p", "no:cacheprovider", "-p", "no:xdist")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("RESBENCH_CACHE", str(pytester.path / "cache"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def properties(junit: Path) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in ET.parse(junit).iter("property")}


def test_on_own_networks(suite: pytest.Pytester) -> None:
    chosen = ("-k", "veit-single-delete-vgg and digits", "--junitxml", "junit.xml")
    result = suite.runpytest_inprocess(*ARGUMENTS, *chosen, "--resbench-sequential", "--resbench-alpha", "0.01")
    result.assert_outcomes(passed=1)
    text = " ".join(result.stdout.str().split())
    assert "sequential, alpha 0.01: 1 of 1 statements decided early; " in text
    assert " lesioned images (" in text
    found = properties(suite.path / "junit.xml")
    assert int(found["resbench_images"]) < int(found["resbench_images_available"]) == 1797
    assert not list((suite.path / "cache").rglob("*.npy"))


def test_without_it_nothing_is_said(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess(*ARGUMENTS, "-k", "veit-paths-2n", "--junitxml", "junit.xml")
    assert "sequential" not in result.stdout.str()
    assert "resbench_images" not in properties(suite.path / "junit.xml")


def test_on_a_target_by_the_configuration_file(suite: pytest.Pytester) -> None:
    """A network that the digits' committed checkpoints hold, as if it were the user's."""
    suite.makepyfile(
        users_net="""
        from resbench.experiments.lab import Lab
        from resbench.records.places import baselines

        def build():
            return Lab("digits", baselines() / "checkpoints" / "digits").members("preact-9")[0].network
        """
    )
    suite.makepyfile(test_residual="from resbench.suite.test_claims import test_claim")
    suite.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        addopts = ["--strict-config"]
        resbench_target = "users_net:build"
        resbench_data = "digits"
        resbench_limit = 400
        resbench_sequential = true
        resbench_alpha = 0.02
        """
    )
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-k", "veit-resnet-vs-vgg-gap")
    result.assert_outcomes(passed=1)
    text = " ".join(result.stdout.str().split())
    assert "sequential, alpha 0.02: 1 of 1 statements decided early; 896 of 4,000 lesioned images (22 %)" in text


def test_an_interrupted_suite_goes_on(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    original, looks, images = Body.wrong, [1], [0]

    def counted(body: object, plans: list[object], data: list[object]) -> object:
        if not looks:
            raise KeyboardInterrupt
        looks.pop()
        images[0] += len(plans) * len(data)
        return original(body, plans, data)  # type: ignore[arg-type]

    monkeypatch.setattr(Body, "wrong", counted)
    arguments = (*ARGUMENTS, "-k", "veit-single-delete-vgg and digits", "--resbench-sequential")
    with pytest.raises(KeyboardInterrupt):
        suite.runpytest_inprocess(*arguments)
    assert images[0] > 0
    assert list((suite.path / "cache").rglob("looks--*.npy"))
    looks.extend(range(100))
    result = suite.runpytest_inprocess(*arguments)
    result.assert_outcomes(passed=1)
    text = " ".join(result.stdout.str().split())
    assert f"decided early; {images[0]:,} of " in text, "both together ran no more than the record says"
    assert not list((suite.path / "cache").rglob("looks--*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resbench-alpha", "0.01"], "--resbench-alpha goes with --resbench-sequential"),
        (["--resbench-sequential", "--resbench-alpha", "much"], "--resbench-alpha much: not a number"),
        (["--resbench-sequential", "-o", "resbench_alpha=0"], "--resbench-alpha 0: the chance of a false verdict is"),
    ],
)
def test_bad_options(suite: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = suite.runpytest_inprocess(*ARGUMENTS, "-k", "veit-paths-2n", *arguments)
    assert result.ret in (2, pytest.ExitCode.USAGE_ERROR)
    text = result.stdout.str() + result.stderr.str()
    assert message in text
    assert "Traceback" not in text
