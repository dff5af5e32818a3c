"""What a run judges: items from claims; and the run itself, over labs that answer as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.reports.report_samples import claim

import resbench.experiments.sequential
from resbench import plan
from resbench.claims.model import AtLeast, Expectation, Kind
from resbench.errors import NotMeasured, UserError
from resbench.experiments.reading import reads
from resbench.judge import Status
from resbench.plan import Item, Run, items_of, kept_of_target, partial_results, target_items_of
from resbench.records.measurement import Measurement
from resbench.records.partial import PartialResults
from resbench.records.results import Request


def expectation(setting: str, kind: Kind = "trained", quantity: str = "made.share", **params: object) -> Expectation:
    return Expectation(
        setting=setting,
        kind=kind,
        quantity=quantity,
        compare=AtLeast(bound=90),
        unit="%",
        origin="chosen",
        why="because",
        params=params,
    )


MIXED = claim(
    "t-mixed", expectation("digits", "structural"), expectation("digits", "trained"), expectation("cifar10", "trained")
)
ON_TARGETS = claim("t-target", expectation("target", "structural"), expectation("any", "structural"))
COUNTED = claim("t-count", expectation("any", "exact"))
CLAIMS = [ON_TARGETS, MIXED, COUNTED, claim("t-text")]


def contents(items: Iterable[Item]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(item.id, [(e.setting, e.kind) for e in item.claim.expect]) for item in items]


def test_one_item_a_claim_and_setting() -> None:
    assert contents(items_of(CLAIMS)) == [
        ("t-target@any", [("any", "structural")]),
        ("t-mixed@digits", [("digits", "structural"), ("digits", "trained")]),
        ("t-mixed@cifar10", [("cifar10", "trained")]),
        ("t-count@any", [("any", "exact")]),
    ]
    assert all(item.reason == "" for item in items_of(CLAIMS))


def test_items_hold_only_what_was_asked_for() -> None:
    assert contents(items_of(CLAIMS, kinds=["trained", "exact"])) == [
        ("t-mixed@digits", [("digits", "trained")]),
        ("t-mixed@cifar10", [("cifar10", "trained")]),
        ("t-count@any", [("any", "exact")]),
    ]
    assert contents(items_of(CLAIMS, kinds=["trained"], settings=["cifar10"])) == [
        ("t-mixed@cifar10", [("cifar10", "trained")])
    ]
    assert items_of(CLAIMS, kinds=["exact"], settings=["digits"]) == []


def test_what_cannot_be_asked_for() -> None:
    for items in (items_of, target_items_of):
        with pytest.raises(UserError, match=r"unknown kind 'train': choose from exact, structural, trained, reference"):
            items(CLAIMS, kinds=["exact", "train"])
    with pytest.raises(UserError, match=r"unknown setting 'x': the selected claims have any, cifar10, digits$"):
        items_of(CLAIMS, settings=["digits", "x"])
    with pytest.raises(UserError, match=r"unknown setting 'x': the selected claims have none$"):
        items_of([], settings=["x"])
    with pytest.raises(UserError, match="name it with --target"):
        items_of(CLAIMS, settings=["target"])
    with pytest.raises(UserError, match="'digits' is one of resbench's own networks"):
        target_items_of(CLAIMS, settings=["target", "digits"])


def test_items_of_a_target_say_why_they_cannot_be_measured() -> None:
    items = target_items_of(CLAIMS, settings=["target"])
    assert contents(items) == [
        ("t-target@target", [("target", "structural")]),
        ("t-mixed@target", [("digits", "structural"), ("digits", "trained"), ("cifar10", "trained")]),
        ("t-count@target", [("any", "exact")]),
    ]
    assert [item.reason for item in items] == [
        "",
        "speaks of resbench's own networks: run without a target",
        "arithmetic: needs no target",
    ]
    (mixed,) = target_items_of(CLAIMS, kinds=["trained"])
    assert contents([mixed]) == [("t-mixed@target", [("digits", "trained"), ("cifar10", "trained")])]
    assert mixed.reason == "speaks of networks that resbench trains: run without a target"


REQUEST = Request("evaluation", "preact-9")


def shares(one: PartialResults, other: PartialResults) -> bool:
    """Whether ``other`` finds what ``one`` keeps."""
    with one.lock(REQUEST):
        one.put(REQUEST, [{"wrong": torch.tensor([1]).numpy()}])
    with other.lock(REQUEST):
        found = other.get(REQUEST) is not None
    one.clear()
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(place: Path, index: str) -> Path:
    place.mkdir(parents=True)
    (place / "index.json").write_text(index)
    return place


def test_an_interrupted_run_is_continued_only_over_the_same_networks(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = folder_of(tmp_path / "one", "{}"), folder_of(tmp_path / "other", '{"a": 1}')
    kept = partial_results({"digits": one, "cifar10": other})
    assert shares(kept, partial_results({"cifar10": other, "digits": one}, "cpu"))
    assert shares(kept, partial_results({"digits": folder_of(tmp_path / "copy", "{}"), "cifar10": other}))
    assert not shares(kept, partial_results({"digits": other, "cifar10": one}))
    assert not shares(kept, partial_results({"digits": one}))
    assert not shares(kept, partial_results({"digits": one, "imagenet": other}))
    assert not shares(kept, partial_results({"digits": one, "cifar10": tmp_path / "none"}))
    assert not shares(kept, partial_results({"digits": one, "cifar10": other}, "cuda"))
    monkeypatch.setattr(plan, "source_fingerprint", lambda: "another resbench")
    assert not shares(kept, partial_results({"digits": one, "cifar10": other}))


def test_what_is_kept_lies_in_the_cache(cache: Path) -> None:
    with partial_results({}).lock(REQUEST):
        assert [path.name for path in cache.iterdir()] == ["partial"]


def target(weight: float = 1.0, images: str = "d", device: str = "cpu") -> Any:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, weight)
    data = SimpleNamespace(fingerprint=lambda: images)
    return SimpleNamespace(model=model, units=[], data=data, device=torch.device(device))


def test_a_sequential_run_is_continued_only_over_the_same_target(cache: Path) -> None:
    def kept(*given: Any) -> PartialResults:
        found = kept_of_target(target(*given))
        assert found is not None
        return found

    assert shares(kept(), kept())
    assert not shares(kept(), kept(2.0))
    assert not shares(kept(), kept(1.0, "e"))
    assert not shares(kept(), kept(1.0, "d", "cuda:1"))
    assert shares(kept(1.0, "d", "cuda:0"), kept(1.0, "d", "cuda:1")), "which of several alike computes, is all one"
    without = target()
    without.data = None
    assert kept_of_target(without) is None


GOOD = Measurement(95, interval=(94, 96), method="Wilson")


class FakeLab:
    """Answers a quantity as told, and writes down what it is asked to measure."""

    made: list[FakeLab]
    answers: Mapping[str, Measurement | Exception]

    def __init__(self, *given: Any, **options: Any):
        self.given, self.options = given, options
        self.measured: list[list[Request]] = []
        FakeLab.made.append(self)

    def measure_all(self, requests: Iterable[Request]) -> None:
        self.measured.append(list(requests))

    def evaluate(self, expectation: Expectation) -> Measurement:
        answer = self.answers.get(expectation.quantity, GOOD)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeTargetLab(FakeLab):
    pass


class FakeRecordedLab(FakeLab):
    pass


@reads(("evaluation", "network"))
def share(result: Any, *, network: str) -> None: ...


@reads(("evaluation", "network"), ("single_deletion", "networks"))
def trend(result: Any, results: Any, *, network: str, networks: list[str]) -> None: ...


def count() -> None: ...


QUANTITIES: dict[str, Callable[..., Any]] = {"made.share": share, "made.trend": trend, "made.count": count}


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeLab]:
    """The labs that a run made; ``baselines()`` is the test's own folder."""
    monkeypatch.setattr(FakeLab, "made", [], raising=False)
    monkeypatch.setattr(FakeLab, "answers", {}, raising=False)
    for name, fake in (("Lab", FakeLab), ("TargetLab", FakeTargetLab), ("RecordedLab", FakeRecordedLab)):
        monkeypatch.setattr(plan, name, fake)
    monkeypatch.setattr(plan, "baselines", lambda: tmp_path)
    monkeypatch.setattr(plan, "resolve_quantity", QUANTITIES.__getitem__)
    return FakeLab.made


def item(setting: str, *quantities: tuple[str, dict[str, object]], reason: str = "", id: str = "t-one") -> Item:
    return Item(
        claim(id, *(expectation(setting, "trained", name, **params) for name, params in quantities)), setting, reason
    )


ONE = ("made.share", {"network": "a"})
SEVERAL = ("made.trend", {"network": "b", "networks": ["c", "d"]})
NONE = ("made.count", {})
UNKNOWN = ("made.typo", {})
NAMELESS = ("made.share", {})


def test_what_an_item_is_judged_on(labs: list[FakeLab], monkeypatch: pytest.MonkeyPatch) -> None:
    raised = ZeroDivisionError("division by zero")
    monkeypatch.setattr(FakeLab, "answers", {"made.trend": raised, "made.count": NotMeasured("no network")})
    two = item("digits", ONE, SEVERAL, NONE)
    run = Run([two])
    assert run.outcomes(two)[:2] == [GOOD, raised]
    verdict = run.verdict(two)
    assert (verdict.id, verdict.setting, verdict.status) == ("t-one", "digits", Status.ERROR)
    assert [check.judgement.status for check in verdict.checks] == [Status.HOLDS, Status.ERROR, Status.NOT_MEASURED]


def test_a_users_error_ends_the_run(labs: list[FakeLab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeLab, "answers", {"made.share": UserError("a damaged checkpoint")})
    one = item("digits", ONE)
    with pytest.raises(UserError, match="a damaged checkpoint"):
        Run([one]).verdicts()


def test_an_item_with_a_reason_is_not_measured(labs: list[FakeLab]) -> None:
    verdict = Run([]).verdict(item("target", ONE, reason="speaks of other networks"))
    assert (verdict.id, verdict.setting, verdict.status) == ("t-one", "target", Status.NOT_MEASURED)
    assert verdict.message == "speaks of other networks"
    assert labs == []


def test_a_settings_experiments_are_asked_for_at_once_and_once(labs: list[FakeLab]) -> None:
    items = [
        item("digits", UNKNOWN, NAMELESS, SEVERAL, NONE),
        item("any", NONE),
        item("digits", NONE, reason="left out"),
        item("digits", ONE),
    ]
    verdicts = Run(items).verdicts()
    assert [verdict.setting for verdict in verdicts] == ["digits", "any", "digits", "digits"]
    assert [lab.given[0] for lab in labs] == ["digits", "any"]
    digits, anywhere = labs
    asked = [("evaluation", "b"), ("single_deletion", "c"), ("single_deletion", "d"), ("evaluation", "a")]
    assert digits.measured == [[Request(*each) for each in asked]]
    assert anywhere.measured == [[]]


def test_an_item_with_a_reason_asks_for_nothing(labs: list[FakeLab]) -> None:
    Run(
        [item("digits", ONE, reason="left out"), item("digits", SEVERAL, reason="left out"), item("digits", NONE)]
    ).verdicts()
    assert labs[0].measured == [[]]


def test_a_lab_gets_the_runs_options(labs: list[FakeLab], tmp_path: Path) -> None:
    partial, listener = PartialResults(tmp_path, "abc"), object()
    run = Run(
        [item("digits", ONE), item("own", ONE), item("target", ONE)],
        folders={"own": tmp_path / "fresh"},
        device="cuda",
        partial=partial,
        listener=listener,  # type: ignore[arg-type]
        target="the target",  # type: ignore[arg-type]
    )
    run.verdicts()
    digits, own, users = labs
    options = {"device": "cuda", "kept": partial, "listener": listener}
    assert (type(digits), digits.given, digits.options) == (
        FakeLab,
        ("digits", tmp_path / "checkpoints" / "digits"),
        options,
    )
    assert (type(own), own.given, own.options) == (FakeLab, ("own", tmp_path / "fresh"), options)
    assert (type(users), users.given, users.options) == (FakeTargetLab, ("the target",), {"listener": listener})
    assert run.target == "the target"


def test_by_default_the_cpu_measures(labs: list[FakeLab]) -> None:
    Run([item("digits", ONE)]).verdicts()
    assert labs[0].options == {"device": "cpu", "kept": None, "listener": None}


def test_an_item_of_the_target_needs_one(labs: list[FakeLab]) -> None:
    with pytest.raises(UserError, match="needs a target"):
        Run([item("target", ONE)]).verdicts()


def test_recorded_evidence_is_read_where_no_networks_were_named(labs: list[FakeLab], tmp_path: Path) -> None:
    (tmp_path / "claims" / "digits" / "preact-9").mkdir(parents=True)
    (tmp_path / "claims" / "digits" / "preact-9" / "evaluation.json").write_text("{}")
    items = [item("digits", ONE), item("cifar10", ONE)]  # the first is recorded, the second would have to be
    Run(items).verdicts()
    assert [(type(lab), lab.given) for lab in labs] == [
        (FakeRecordedLab, (setting, tmp_path / "claims" / setting)) for setting in ("digits", "cifar10")
    ]
    labs.clear()
    Run(items, folders={"digits": tmp_path, "cifar10": tmp_path}).verdicts()
    assert [type(lab) for lab in labs] == [FakeLab, FakeLab]


def test_a_sequential_run_stops_what_is_measured_before_it_measures_the_rest(
    labs: list[FakeLab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def measure_sequentially(lab: FakeLab, *given: Any) -> None:
        assert lab.measured == []
        calls.append((lab, *given))

    monkeypatch.setattr(resbench.experiments.sequential, "measure_sequentially", measure_sequentially)
    partial, sequential = PartialResults(tmp_path, "abc"), object()
    first, other, second = item("digits", ONE, NONE), item("any", NONE), item("digits", SEVERAL, id="t-two")
    excused = item("digits", ONE, reason="left out")
    recorded = item("cifar10", ONE)
    items = [first, other, excused, second, recorded]
    Run(items, partial=partial, sequential=sequential).verdicts()  # type: ignore[arg-type]
    assert [lab.given[0] for lab in labs] == ["digits", "any", "cifar10"]
    assert calls == [
        (
            labs[0],
            [("t-one@digits", e) for e in first.claim.expect] + [("t-two@digits", e) for e in second.claim.expect],
            sequential,
            partial,
        ),
        (labs[1], [("t-one@any", e) for e in other.claim.expect], sequential, partial),
    ]
    calls.clear()
    Run(items).verdicts()
    assert calls == []


def test_a_finished_run_leaves_nothing(tmp_path: Path) -> None:
    partial = PartialResults(tmp_path, "abc")
    with partial.lock(REQUEST):
        partial.put(REQUEST, [])
    Run([]).finish()
    assert list(tmp_path.rglob("*.npz"))
    Run([], partial=partial).finish()
    assert not list(tmp_path.rglob("*.npz"))
