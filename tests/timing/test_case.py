"""Names of cases, and the sets of them."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.networks.variants import unit_names
from resbench.timing.worker import case as case_module
from resbench.timing.worker.case import SHAPES, Case, CaseError, parse, unsupported
from resbench.timing.worker.grid import TAGS, cases, select


@given(
    subject=st.sampled_from(
        ["unit:preact", "unit:original~0.5", "net:torchvision:resnet50", "net:a/b.c:d", "peer:x.Y"]
    ),
    shape=st.sampled_from(list(SHAPES)),
    passing=st.sampled_from(get_args(case_module.Pass)),
    dtype=st.sampled_from(get_args(case_module.Dtype)),
    format=st.sampled_from(get_args(case_module.Format)),
    mode=st.sampled_from(get_args(case_module.Mode)),
    batch=st.integers(1, 4096),
    device=st.sampled_from(get_args(case_module.Device)),
    cache=st.sampled_from(get_args(case_module.Cache)),
)
def test_a_name_says_everything(**settings: object) -> None:
    case = Case(**settings)  # type: ignore[arg-type]
    assert parse(case.key) == case


def test_the_name_of_a_case_by_hand() -> None:
    assert Case("unit:preact", "64@8").key == "unit:preact/64@8/step/float32/nchw/eager/b32/cpu1"
    cold = Case("unit:preact", "64@8", device="cuda", cache="flushed")
    assert cold.key == "unit:preact/64@8/step/float32/nchw/eager/b32/cuda/flushed"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("preact", "is no case: SUBJECT/SHAPE"),
        ("unit:preact/64@8/step/float32/nchw/eager/32/cpu1", "is no case: SUBJECT/SHAPE"),
        ("unit:preact/64@9/step/float32/nchw/eager/b32/cpu1", "'64@9' is no shape; there are 16@32"),
        ("unit:preact/64@8/stop/float32/nchw/eager/b32/cpu1", r"'stop' - at `\$.passing`"),
        ("block:preact/64@8/step/float32/nchw/eager/b32/cpu1", "a subject begins with unit:, peer:"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(key: str, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        parse(key)


def test_every_set_is_of_cases_that_can_exist_each_once() -> None:
    for tag in TAGS:
        found = cases(tag)
        assert len(found) == len(set(found)) > 0
        assert [case for case in found if unsupported(case)] == []
        assert {parse(case.key) for case in found} == set(found)


def test_the_full_grids_have_every_unit() -> None:
    for tag in ("full-cpu", "full-gpu"):
        named = {case.name for case in cases(tag) if case.kind == "unit"}
        assert set(unit_names()) <= named
        assert {"original~0.2", "original~0.5", "original~0.8"} <= named


def test_the_grid_has_every_axis() -> None:
    for tag, devices in (("full-cpu", {"cpu1"}), ("full-gpu", {"cuda"})):
        found = [case for case in cases(tag) if case.kind == "unit"]
        assert {case.device for case in found} == devices
        assert {case.shape for case in found} >= set(SHAPES) - ({"16@32", "32@16"} if tag == "full-gpu" else set())
        assert {case.format for case in found} == {"nchw", "nhwc"}
    gpu = [case for case in cases("full-gpu") if case.kind == "unit"]
    assert {case.dtype for case in gpu} == {"float32", "tf32", "bf16"}
    assert {case.mode for case in gpu} == {"eager", "compiled", "graph"}
    assert {case.cache for case in gpu} == {"warm", "flushed"}
    assert {case.passing for case in cases("full-cpu")} == {"inference", "forward", "step"}


def test_every_peer_has_our_unit_under_the_same_conditions() -> None:
    found = cases("peers")
    ours = {msgspec.structs.replace(case, subject="") for case in found if case.kind == "unit"}
    theirs = {msgspec.structs.replace(case, subject="") for case in found if case.kind == "peer"}
    assert ours == theirs


def test_patterns_select() -> None:
    found = select(["unit:preact/64@8/*"], "default")
    assert [case.subject for case in found] == ["unit:preact"] * len(found)
    assert select(["unit:preact/64@8/step/*", "unit:preact/64@8/*"], "default").count(found[0]) == 1
    assert select([], "stochastic") == cases("stochastic")


def test_a_case_outside_of_the_sets_is_selected_by_its_whole_name() -> None:
    key = "unit:preact/64@8/step/float32/nchw/eager/b33/cpu2"
    assert [case.key for case in select([key])] == [key]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("unit:preakt/64@8/step/float32/nchw/eager/b32/cpu1", "no unit is named 'preakt'; the nearest: preact"),
        ("unit:preact/64@8/step/float32/nchw/eager/b32/cpu3", "is no case.*the nearest: unit:preact/64@8/step"),
        ("unit:preact/64@8/step/float32/nchw/graph/b32/cpu1", "CUDA graphs need a GPU"),
        ("unit:preakt/64@8/*", "no case matches 'unit:preakt/64@8/\\*'; the nearest: unit:preact/64@8"),
    ],
)
def test_a_typo_names_the_nearest(pattern: str, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        select([pattern])


def test_an_unknown_set_names_the_sets() -> None:
    with pytest.raises(CaseError, match="no set of cases is named 'all'; there are default"):
        cases("all")
