"""The pytest plugin: marker ``claims``, one item per claim and setting, a board of verdicts at the end.

With ``--resbench-target`` (or ``resbench_target`` in the configuration file) the claims are judged on the user's own
network instead of resbench's; a project's suite gets them by
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

if TYPE_CHECKING:
    from resbench.experiments.sequential import Sequential
    from resbench.judge import Verdict
    from resbench.plan import Item, Run
    from resbench.targets.options import TargetOptions

_RUN: pytest.StashKey[Run] = pytest.StashKey()
_ITEMS: pytest.StashKey[list[Item]] = pytest.StashKey()
_VERDICT: pytest.StashKey[Verdict] = pytest.StashKey()
_SEQUENTIAL: pytest.StashKey[Sequential | None] = pytest.StashKey()
_PARAMETER = "claim_item"

_TARGET_OPTIONS = {
    "target": "judge this network: MODULE:CALLABLE, a zoo name, torchvision:NAME, timm:NAME, transformers:NAME",
    "checkpoint": "weights of the target: safetensors, or a saved state_dict",
    "data": "data of the target: digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE",
    "mean": "mean of the images, scaled to [0, 1]: R,G,B",
    "std": "standard deviation of the images: R,G,B",
    "limit": "at most so many images of the data",
    "input": "size of the target's input, where no data are given: CxHxW",
    "units": "modules that are the target's residual units: globs, separated by blanks, or repeated",
    "survival": "survival probabilities of the target: linear:0.5, uniform:0.8, or P1,P2,... for every unit",
    "against": "another network that the target must be equal to",
    "against-checkpoint": "weights of its own for --resbench-against",
    "device": "where the target is measured (default: cpu)",
}

_SEQUENTIALLY = "stop single deletions as soon as the verdicts are decided"
_ALPHA = "with --resbench-sequential: chance of a false verdict on a statement (default: 0.05)"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("resbench", "claims about residual networks")
    group.addoption(
        "--resbench-retrain", action="store_true", help="train the networks of the claims afresh before judging them"
    )
    group.addoption(
        "--resbench-seed",
        type=int,
        default=None,
        help="seed of --resbench-retrain (default: random) or of --resbench-target (default: 0)",
    )
    group.addoption("--resbench-sequential", action="store_true", default=None, help=_SEQUENTIALLY)
    parser.addini("resbench_sequential", f"{_SEQUENTIALLY} (as --resbench-sequential)", type="bool", default=False)
    group.addoption("--resbench-alpha", default=None, metavar="ALPHA", help=_ALPHA)
    parser.addini("resbench_alpha", f"{_ALPHA} (as --resbench-alpha)", default="")
    for name, text in _TARGET_OPTIONS.items():
        action = "append" if name == "units" else "store"
        group.addoption(f"--resbench-{name}", action=action, default=None, metavar=name.upper(), help=text)
        parser.addini(f"resbench_{name.replace('-', '_')}", f"{text} (as --resbench-{name})", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "claims: claims of the residual-network papers (resbench)")
    retrain, seed, target = (config.getoption(f"resbench_{name}") for name in ("retrain", "seed", "target"))
    if retrain and target:
        raise pytest.UsageError("--resbench-retrain is for resbench's own networks and excludes --resbench-target")
    if seed is not None and not (retrain or _given(config, "target")):
        raise pytest.UsageError("--resbench-seed goes with --resbench-retrain or --resbench-target")
    if config.getoption("resbench_alpha") is not None and not _sequentially(config):
        raise pytest.UsageError("--resbench-alpha goes with --resbench-sequential")


def _sequentially(config: pytest.Config) -> bool:
    return bool(config.getoption("resbench_sequential") or config.getini("resbench_sequential"))


def _sequential(config: pytest.Config) -> Sequential | None:
    """What a sequential run is told; None where all images are to be looked at.

    Raises:
        UserError: alpha is no number, or out of range.
    """
    if not _sequentially(config):
        return None
    from resbench.checking import sequential_run
    from resbench.errors import UserError

    given = config.getoption("resbench_alpha")
    text = str(config.getini("resbench_alpha") if given is None else given).strip()
    try:
        alpha = float(text) if text else None
    except ValueError:
        raise UserError(f"--resbench-alpha {text}: not a number") from None
    return sequential_run(alpha, config.getoption("resbench_seed") or 0, "--resbench-alpha")


def _given(config: pytest.Config, name: str) -> str:
    """An option of the target: from the command line, else from the configuration file.

    ``--resbench-retrain`` speaks of resbench's own networks, whatever the configuration file names.
    """
    if config.getoption("resbench_retrain"):
        return ""
    option = f"resbench_{name.replace('-', '_')}"
    given: str | list[str] | None = config.getoption(option)
    found = str(config.getini(option)) if given is None else given
    return (" ".join(found) if isinstance(found, list) else found).strip()


def _root(config: pytest.Config, name: str) -> Path:
    """Where the path in an option starts: the configuration file's folder if it stands there, else the current one."""
    return config.rootpath if config.getoption(f"resbench_{name.replace('-', '_')}") is None else Path()


def _target_options(config: pytest.Config) -> TargetOptions:
    """What the user says about a target; paths of the configuration file start from its folder.

    Raises:
        UserError: options that do not go together, or do not parse.
    """
    from resbench.errors import UserError
    from resbench.targets.options import TargetOptions

    def path(name: str) -> Path | None:
        text = _given(config, name)
        return _root(config, name) / text if text else None

    kind, colon, place = _given(config, "data").partition(":")
    limit = _given(config, "limit")
    if limit and not (limit.isdigit() and int(limit) >= 2):
        raise UserError(f"--resbench-limit {limit}: not a number of images, at least 2")
    options = TargetOptions(
        target=_given(config, "target"),
        checkpoint=path("checkpoint"),
        data=f"{kind}:{_root(config, 'data') / place}" if colon else kind,
        mean=_given(config, "mean"),
        std=_given(config, "std"),
        input=_given(config, "input"),
        units=tuple(_given(config, "units").split()),
        survival=_given(config, "survival"),
        limit=int(limit) if limit else None,
        against=_given(config, "against"),
        against_checkpoint=path("against-checkpoint"),
        device=_given(config, "device") or "cpu",
        seed=config.getoption("resbench_seed") or 0,
        roots=(config.rootpath,),
    )
    options.check("--resbench-")
    return options


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "claim_verdict" not in metafunc.fixturenames:
        return
    from resbench.claims import load_claims
    from resbench.errors import UserError
    from resbench.plan import items_of, target_items_of

    try:
        metafunc.config.stash[_SEQUENTIAL] = _sequential(metafunc.config)
        of_target = bool(_target_options(metafunc.config).target)
        items = (target_items_of if of_target else items_of)(load_claims())
    except UserError as error:
        raise pytest.UsageError(f"resbench: {error}") from error
    metafunc.parametrize(_PARAMETER, items, ids=[item.id for item in items], indirect=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_ITEMS] = _claim_items(session.items)


def _claim_items(tests: Sequence[pytest.Item]) -> list[Item]:
    found: list[Item] = []
    for test in tests:
        params: dict[str, Any] = getattr(getattr(test, "callspec", None), "params", {})
        if _PARAMETER in params:
            found.append(params[_PARAMETER])
    return found


@pytest.fixture
def claim_item(request: pytest.FixtureRequest) -> Item:
    """The claim and setting of this test."""
    item: Item = request.param
    return item


@pytest.fixture
def claim_verdict(claim_item: Item, request: pytest.FixtureRequest) -> Verdict:
    """The verdict on this test's claim; experiments run once a session, for all collected claims."""
    from resbench.errors import UserError

    config = request.config
    try:
        if _RUN not in config.stash:
            config.stash[_RUN] = _new_run(config)
        verdict = config.stash[_RUN].verdict(claim_item)
    except UserError as error:
        pytest.exit(f"resbench: {error}", returncode=2)
    request.node.stash[_VERDICT] = verdict
    shown = {"version": verdict.version, "status": verdict.status.value, "value": verdict.measured}
    shown |= {"interval": verdict.interval, "expected": verdict.expected, "unit": verdict.unit}
    sequential = config.stash[_SEQUENTIAL]
    if sequential is not None:
        from resbench.reports.sequential import images_of

        images = images_of(sequential.to_json([]), claim_item.id)
        shown |= {} if images is None else {"images": images[0], "images_available": images[1]}
    for name, value in shown.items():
        request.node.user_properties.append((f"resbench_{name}", value if value is None else str(value)))
    return verdict


def _new_run(config: pytest.Config) -> Run:
    from resbench.checking import check_device, loaded_target, retrained_folders
    from resbench.plan import Run, kept_of_target, partial_results
    from resbench.records.places import baselines

    items, sequential = config.stash[_ITEMS], config.stash[_SEQUENTIAL]
    options = _target_options(config)
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


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    rows = [report.resbench_verdict for report in reports if hasattr(report, "resbench_verdict")]
    if not rows:
        return
    from resbench.claims import load_claims
    from resbench.judge import Status, Verdict
    from resbench.reports import table

    verdicts = []
    for row in rows:
        row = {key: value for key, value in row.items() if key != "checks"}
        row["interval"] = None if row["interval"] is None else tuple(row["interval"])
        verdicts.append(Verdict(**{**row, "status": Status(row["status"]), "checks": ()}))
    terminalreporter.section("claims")
    width = max(80, terminalreporter._tw.fullwidth)
    terminalreporter.write_line(table(verdicts, load_claims(), width=width, colour=terminalreporter._tw.hasmarkup))
    spent = [report.resbench_sequential for report in reports if hasattr(report, "resbench_sequential")]
    if spent:
        from resbench.reports.sequential import joined, spent_text
        from resbench.reports.words import wrap

        terminalreporter.write_line("\n".join(["", *wrap(spent_text(joined(spent)), width)]))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run that ended leaves no measurements behind; an interrupted one does, and the next run reuses them."""
    run = session.config.stash.get(_RUN, None)
    if run is not None and exitstatus != pytest.ExitCode.INTERRUPTED:
        run.finish()
