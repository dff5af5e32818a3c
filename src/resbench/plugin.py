"""The pytest plugin: marker ``claims``, one item per claim and setting, a board of verdicts at the end.

With ``--resbench-target`` (or ``target`` in ``[tool.resbench]`` of pyproject.toml) the claims are judged on the user's
own network instead of resbench's; a project's suite gets them by
``from resbench.suite.test_claims import test_claim`` in a test file, or by ``pytest --pyargs resbench``.

Imports nothing of resbench until a claim is collected: a project that merely has resbench installed pays nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resbench.plugin_options import (
    add_options,
    check_options,
    configuration,
    sequential_options,
    target_options,
    waivers_of,
)

if TYPE_CHECKING:
    from resbench.experiments.sequential import Sequential
    from resbench.judge import Verdict
    from resbench.judging.waivers import Use
    from resbench.plan import Item, Run
    from resbench.records.waivers import Waiver

_RUN: pytest.StashKey[Run] = pytest.StashKey()
_ITEMS: pytest.StashKey[list[Item]] = pytest.StashKey()
_VERDICT: pytest.StashKey[Verdict] = pytest.StashKey()
_SEQUENTIAL: pytest.StashKey[Sequential | None] = pytest.StashKey()
_WAIVERS: pytest.StashKey[Sequence[Waiver]] = pytest.StashKey()
_USES: pytest.StashKey[list[Use]] = pytest.StashKey()
_PARAMETER = "claim_item"


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "claims: claims of the residual-network papers (resbench)")
    check_options(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "claim_verdict" not in metafunc.fixturenames:
        return
    from resbench.errors import UserError

    try:
        metafunc.config.stash[_SEQUENTIAL] = sequential_options(metafunc.config)
        items = _items(metafunc.config)
    except UserError as error:
        if hasattr(metafunc.config, "workerinput"):  # of xdist: the process that prints hears of errors only
            raise pytest.UsageError(f"resbench: {error}") from error
        pytest.exit(f"resbench: {error}", returncode=2)
    metafunc.parametrize(_PARAMETER, items, ids=[item.id for item in items], indirect=True)


def _items(config: pytest.Config) -> list[Item]:
    """The claims and settings that ``[tool.resbench]`` chooses; all where it chooses none.

    Raises:
        UserError: it chooses none that exists, or options do not go together.
    """
    from resbench.claims import load_claims, select
    from resbench.plan import items_of, target_items_of

    found, claims = configuration(config), load_claims()
    of_target = bool(target_options(config).target)
    if found is None:
        return (target_items_of if of_target else items_of)(claims)
    claims = select(claims, found.select)
    if of_target:
        return target_items_of(claims, kinds=found.kinds)
    return items_of(claims, kinds=found.kinds, settings=found.settings)


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_ITEMS] = _claim_items(session.items)
    if session.config.stash[_ITEMS]:
        _waivers(session.config)  # a file that is none ends the run before anything is measured


def _claim_items(tests: Sequence[pytest.Item]) -> list[Item]:
    found: list[Item] = []
    for test in tests:
        params: dict[str, Any] = getattr(getattr(test, "callspec", None), "params", {})
        if _PARAMETER in params:
            found.append(params[_PARAMETER])
    return found


def _waivers(config: pytest.Config) -> Sequence[Waiver]:
    """Read once a process."""
    from resbench.errors import UserError

    if _WAIVERS not in config.stash:
        try:
            config.stash[_WAIVERS] = waivers_of(config)
        except UserError as error:
            pytest.exit(f"resbench: {error}", returncode=2)
    return config.stash[_WAIVERS]


@pytest.fixture
def claim_item(request: pytest.FixtureRequest) -> Item:
    """The claim and setting of this test."""
    item: Item = request.param
    return item


@pytest.fixture
def claims_strict(request: pytest.FixtureRequest) -> bool:
    """Whether a claim that is not measured fails: ``strict`` of ``[tool.resbench]``."""
    found = configuration(request.config)
    return found is not None and found.strict


@pytest.fixture
def claim_verdict(claim_item: Item, request: pytest.FixtureRequest) -> Verdict:
    """The verdict on this test's claim, waivers applied; experiments run once a session, for all collected claims."""
    from resbench.errors import UserError
    from resbench.judging.waivers import waived
    from resbench.records.waivers import today

    config = request.config
    try:
        if _RUN not in config.stash:
            config.stash[_RUN] = _new_run(config)
        verdict = waived(config.stash[_RUN].verdict(claim_item), _waivers(config), today())
    except UserError as error:
        pytest.exit(f"resbench: {error}", returncode=2)
    request.node.stash[_VERDICT] = verdict
    shown = {"version": verdict.version, "status": verdict.status.value, "value": verdict.measured}
    shown |= {"interval": verdict.interval, "expected": verdict.expected, "unit": verdict.unit}
    if verdict.waiver is not None:
        shown |= {f"waiver_{name}": value for name, value in verdict.waiver.to_json().items()}
    sequential = config.stash[_SEQUENTIAL]
    if sequential is not None:
        from resbench.reports.sequential import images_of

        images = images_of(sequential.to_json([]), claim_item.id)
        shown |= {} if images is None else {"images": images[0], "images_available": images[1]}
    for name, value in shown.items():
        request.node.user_properties.append((f"resbench_{name}", value if value is None else str(value)))
    return verdict


def _new_run(config: pytest.Config) -> Run:
    from resbench.checking import check_device, loaded_target
    from resbench.plan import Run, kept_of_target, partial_results
    from resbench.records.places import baselines
    from resbench.retraining import retrained_folders

    items, sequential = config.stash[_ITEMS], config.stash[_SEQUENTIAL]
    options = target_options(config)
    if options.target:
        check_device(options.device)
        target = loaded_target(options)
        partial = None if sequential is None else kept_of_target(target)
        return Run(items, target=target, partial=partial, sequential=sequential)
    folders: dict[str, Path] = {}
    if config.getoption("resbench_retrain"):
        from filelock import FileLock

        scratch = _scratch(config)
        scratch.mkdir(parents=True, exist_ok=True)
        # Under xdist the first worker trains; the others wait here and then find everything trained.
        with FileLock(scratch / "training.lock"):
            folders = retrained_folders(items, _seed(config), scratch)
    present = folders or {"digits": baselines() / "checkpoints" / "digits"}
    return Run(items, folders=folders, partial=partial_results(present), sequential=sequential)


def _run_id(config: pytest.Config) -> str:
    """The same in every process of one pytest run, another in every run."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    return str(worker["testrunuid"]) if worker is not None else f"{id(config):x}"


def _seed(config: pytest.Config) -> int:
    given: int | None = config.getoption("resbench_seed")
    if given is not None:
        return given
    import os
    import time

    source = _run_id(config) if hasattr(config, "workerinput") else f"{time.time_ns()}-{os.getpid()}"
    return int(hashlib.sha256(source.encode()).hexdigest(), 16) % 1_000_000


def _scratch(config: pytest.Config) -> Path:
    if hasattr(config, "workerinput"):
        return Path(tempfile.gettempdir()) / f"resbench-{_run_id(config)}"
    folder = Path(tempfile.mkdtemp(prefix="resbench-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    verdict = item.stash.get(_VERDICT, None)
    if verdict is not None and call.when == "call":
        # A plain attribute of plain values: xdist carries it to the process that prints.
        report.__dict__["resbench_verdict"] = {
            **verdict.to_json(),
            "statement": verdict.statement,
            "breaks": verdict.breaks,
        }
        sequential = item.config.stash[_SEQUENTIAL]
        if sequential is not None:
            report.__dict__["resbench_sequential"] = sequential.to_json([])
    return report


def _reported(config: pytest.Config) -> tuple[list[Any], list[Verdict]]:
    """The reports of claims so far, in every process of the run, and their verdicts."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    stats = {} if terminal is None else terminal.stats
    reports = [report for found in stats.values() for report in found if hasattr(report, "resbench_verdict")]
    if not reports:
        return [], []
    from resbench.judge import Status, Verdict

    verdicts = []
    for report in reports:
        row = {key: value for key, value in report.resbench_verdict.items() if key not in ("checks", "waiver")}
        row["interval"] = None if row["interval"] is None else tuple(row["interval"])
        verdicts.append(Verdict(**{**row, "status": Status(row["status"]), "checks": ()}))
    return reports, verdicts


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    reports, verdicts = _reported(config)
    if not verdicts:
        return
    from resbench.claims import load_claims
    from resbench.reports import table

    terminalreporter.section("claims")
    width, colour = max(80, terminalreporter._tw.fullwidth), terminalreporter._tw.hasmarkup
    uses = config.stash.get(_USES, [])
    terminalreporter.write_line(table(verdicts, load_claims(), width=width, colour=colour, waivers=uses))
    spent = [report.resbench_sequential for report in reports if hasattr(report, "resbench_sequential")]
    if spent:
        from resbench.reports.sequential import joined, spent_text
        from resbench.reports.words import wrap

        terminalreporter.write_line("\n".join(["", *wrap(spent_text(joined(spent)), width)]))


def _judge_waivers(session: pytest.Session) -> None:
    """Unused and expired waivers fail the run; only the process that knows all verdicts can tell."""
    config = session.config
    _, verdicts = _reported(config)
    if not verdicts or hasattr(config, "workerinput"):
        return
    from resbench.claims import load_claims
    from resbench.judging.waivers import judge_waivers
    from resbench.records.waivers import today

    target, found = bool(target_options(config).target), configuration(config)
    whole = not (config.getoption("resbench_retrain") or (found is not None and found.kinds))
    uses = judge_waivers(_waivers(config), verdicts, load_claims(), today=today(), target=target, whole=whole)
    config.stash[_USES] = uses
    if any(use.red for use in uses) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run that ended leaves no measurements behind; an interrupted one does, and the next run reuses them."""
    _judge_waivers(session)
    run = session.config.stash.get(_RUN, None)
    if run is not None and exitstatus != pytest.ExitCode.INTERRUPTED:
        run.finish()
