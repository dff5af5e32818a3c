"""Names in asv's site, and the suites in benchmarks/suites/."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from types import ModuleType

import pytest
from asv_samples import ROOT
from hypothesis import given
from hypothesis import strategies as st

from resbench.timing.worker.case import SHAPES, Case, CaseError, unsupported
from resbench.timing.worker.grid import TAGS, cases
from resbench.timing.worker.suites import Place, case_at, param_names, parameters, place


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/suites/, as asv imports it."""
    pytest.importorskip("asv_runner")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    before = set(sys.modules)
    found = importlib.import_module("suites")
    yield found
    for name in set(sys.modules) - before:
        if name.startswith(("suites", "_resbench_timing_worker")):
            del sys.modules[name]


def discovered(suites: ModuleType) -> dict[str, object]:
    from asv_runner.discovery import disc_benchmarks

    return {benchmark.name: benchmark for benchmark in disc_benchmarks(str(ROOT / "benchmarks" / "suites"))}


@given(
    st.builds(
        Case,
        st.sampled_from(["unit:preact", "unit:preact~0.5", "peer:timm.BasicBlock", "net:timm:resnet18 x", "engine:e"]),
        st.sampled_from([*SHAPES]),
    )
)
def test_every_part_of_a_case_is_in_its_place(case: Case) -> None:
    assert case_at(place(case)) == case


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_a_case_is_found_again_from_its_place(tag: str) -> None:
    found = cases(tag)
    assert [case_at(place(case)) for case in found] == found
    assert len({place(case) for case in found}) == len(found)


@pytest.mark.parametrize(
    "at",
    [
        Place("units.Step.track_cuda", "preact 64@8 b32", "float32 nchw eager cpu1"),
        Place("units.Step.track_cpu", "preact 64@8", "float32 nchw eager cpu1"),
        Place("units.Step.track_cpu", "preact 64@8 b32", "float32"),
        Place("units.Later.track_cpu", "preact 64@8 b32", "float32 nchw eager cpu1"),
        Place("units", "preact 64@8 b32", "float32 nchw eager cpu1"),
    ],
)
def test_what_is_no_place_is_one_line(at: Place) -> None:
    with pytest.raises(CaseError, match=r"^[^\n]+$"):
        case_at(at)


def test_asv_starts_no_process_for_a_case_that_does_not_exist(suites: ModuleType) -> None:
    """asv goes through the whole product of the parameters."""
    for tag in suites.TAGS:
        wanted = cases(tag)
        assert sum(math.prod(map(len, values)) for values in parameters(wanted).values()) == len(wanted)


def test_the_suites_hold_the_default_cases(suites: ModuleType) -> None:
    found = discovered(suites)
    wanted = [case for tag in suites.TAGS for case in cases(tag)]
    assert set(found) == {place(case).benchmark for case in wanted}
    for case in wanted:
        name, work, conditions = place(case)
        benchmark = found[name]
        assert repr(work) in benchmark.params[0]
        assert repr(conditions) in benchmark.params[1]
        assert benchmark.param_names == list(param_names(name))
        # asv would take a hash of the source: formatting it would cut the history.
        assert benchmark.version == case.version
        assert benchmark.unit == "seconds"
        assert benchmark.timeout == 600


def test_the_suites_need_no_resbench_to_be_found() -> None:
    """The worker beside them is loaded, not the one that happens to be installed."""
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import suites; "
        "suites.worker('suites'), suites.worker('case'); "
        "sys.exit('resbench' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_samples_are_seconds_and_never_rates(suites: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measure(case: Case, *, seconds: float) -> object:
        asked.append((case.key, seconds))
        return type("Round", (), {"seconds": (0.25, 0.5)})

    monkeypatch.setattr(suites.worker("sampling"), "measure", measure)
    benchmark = discovered(suites)["units.Step.track_cpu"]
    benchmark.set_param_idx(0)
    assert benchmark.do_run() == {"samples": [0.25, 0.5], "number": 1}
    assert asked == [("unit:original/16@32/step/float32/nchw/eager/b32/cpu1", suites.SECONDS)]


def test_a_case_that_this_revision_lacks_is_not_a_failure(
    suites: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """NaN is asv's n/a; None or an exception would be a failure."""

    def measure(case: object, **_: object) -> object:
        raise suites.worker("case").CaseError("unit:preact: not in this revision")

    monkeypatch.setattr(suites.worker("sampling"), "measure", measure)
    benchmark = discovered(suites)["units.Step.track_cpu"]
    benchmark.set_param_idx(0)
    assert math.isnan(benchmark.do_run())
    assert "not in this revision" in capsys.readouterr().err


def test_unsupported_cases_have_no_place_in_the_suites(suites: ModuleType) -> None:
    for name, benchmark in discovered(suites).items():
        for work in benchmark._params[0]:
            for conditions in benchmark._params[1]:
                assert unsupported(case_at(Place(name, work, conditions))) is None
