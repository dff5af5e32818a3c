"""What the commands `check` and `units` do."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resbench.claims import load_claims
from resbench.claims import select as select_claims
from resbench.errors import UserError, of_option
from resbench.github_job import check_job, tell_job
from resbench.judge import Verdict, exit_code
from resbench.judging.recorded import read_run
from resbench.judging.waivers import judge_waivers, waived
from resbench.measuring.refresh import Refresh, judge_refreshed
from resbench.plan import TARGET, Item, Run, check_kinds, items_of, kept_of_target, partial_results, target_items_of
from resbench.progress import MeasurementProgress
from resbench.records.environment import environment
from resbench.records.partial import PartialResults
from resbench.records.places import baselines, check_writable
from resbench.records.results import Request
from resbench.records.waivers import chosen_waivers, today
from resbench.reporting import Report, show, terminal_width
from resbench.retraining import retrained_folders
from resbench.talking import note
from resbench.targets.options import TargetOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resbench.experiments.sequential import Sequential
    from resbench.targets.images import Images
    from resbench.targets.target import UserTarget

__all__ = [
    "Options",
    "check",
    "check_device",
    "judge_items",
    "loaded_target",
    "run_check",
    "sequential_run",
    "terminal_width",
    "units_of",
]


@dataclass(frozen=True)
class Options:
    """The options of `resbench check`."""

    select: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    retrain: bool = False
    seed: int | None = None
    strict: bool = False
    checkpoints: Path | None = None
    device: str = "cpu"
    format: str = "table"
    out: Path | None = None
    sequential: bool = False
    alpha: float | None = None
    waivers: Path | None = None
    refresh: Refresh | None = None
    since: Path | None = None
    target: TargetOptions = field(default_factory=TargetOptions)


def run_check(options: Options) -> int:
    """Judge, print, write; returns the exit code.

    Raises:
        UserError: bad input.
    """
    _check_usage(options)
    claims = load_claims()
    of_target = bool(options.target.target)
    with of_option("--select"):
        selected = select_claims(claims, options.select)
    with of_option("--kind"):
        check_kinds(options.kinds)
    with of_option("--setting"):
        items = (target_items_of if of_target else items_of)(selected, kinds=options.kinds, settings=options.settings)
    if not items:
        only_target = not of_target and any(TARGET in claim.settings for claim in selected)
        hint = "they speak of your own network: give --target" if only_target else "see `resbench claims`"
        raise UserError(f"the selected claims assert nothing there; {hint}")
    check_device(options.device)
    check_writable(options.out)
    if options.format == "github":
        check_job()
    waivers = chosen_waivers(options.waivers, Path())
    since = None if options.since is None else (str(options.since), read_run(options.since))
    started = time.perf_counter()  # the wall clock may jump
    target, sequential = None, _sequential(options)
    if of_target:
        target = loaded_target(options.target)
        verdicts = judge_on_target(items, target, sequential, None if sequential is None else kept_of_target(target))
    elif options.retrain:
        with tempfile.TemporaryDirectory(prefix="resbench-") as scratch:
            folders = retrained_folders(items, options.seed, Path(scratch))
            verdicts = judge_items(items, folders, options.device, sequential)
    elif options.refresh is not None:
        verdicts = judge_refreshed(items, lambda some: _judged(some, {}, options.device, None), options.refresh)
    else:
        chosen = {} if options.checkpoints is None else {"digits": options.checkpoints}
        verdicts = judge_items(items, chosen, options.device, sequential)
    where = environment() if target is None else {**environment(), "target": target.to_json()}
    day = today()
    verdicts = [waived(verdict, waivers, day) for verdict in verdicts]
    whole = not (options.retrain or options.checkpoints is not None or options.kinds)
    uses = judge_waivers(waivers, verdicts, claims, today=day, target=of_target, whole=whole)
    record = None if sequential is None else sequential.to_json(verdicts)
    report = Report(verdicts, claims, uses, where, record, started, options.strict)
    show(report, options.format, options.out)
    if options.format == "github":
        name = options.target.target
        tell_job(report, strict=options.strict, target=name, waivers=options.waivers, since=since)
    return exit_code(verdicts, options.strict, uses)


def check(
    model: nn.Module | None = None,
    example: Tensor | None = None,
    *,
    select: Sequence[str] = (),
    kinds: Sequence[str] = (),
    settings: Sequence[str] = (),
    units: Sequence[str] = (),
    survival: Sequence[float] | None = None,
    data: Images | tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
    sequential: bool = False,
    alpha: float | None = None,
    spent: dict[str, Any] | None = None,
) -> list[Verdict]:
    """Judge claims from Python: on resbench's own networks, or on ``model``.

    Args:
        model: a live network; it is measured in place and left as it was.
        example: two or more images that it takes, ``(N, C, H, W)``; the first of ``data`` where not given.
        select: globs of claim ids (``"veit-*"``); all claims where empty.
        kinds: ``exact``, ``structural``, ``trained``, ``reference``; all where empty.
        settings: ``digits``, ``cifar10-public`` and so on, ``target`` of a model; all where empty.
        units: globs of module names that choose the units, as for :func:`resbench.adapt`.
        survival: the probability of every unit; the model's ``survival_probabilities`` where not given.
        data: normalised images ``(N, C, H, W)`` and labels ``(N,)``, or :class:`resbench.targets.images.Images`.
        seed: of what is drawn at random.
        sequential: delete units on as few images as the verdicts need, looked at in an order drawn by ``seed``; what is
            undecided when they end is judged on all of them.
        alpha: with ``sequential``, the probability of a false verdict on a statement (0.05).
        spent: with ``sequential``, a dictionary that gets the images used: what ``resbench check --format json`` has
            under ``sequential``.

    Returns:
        One verdict for every selected claim and setting; ``n`` of its checks is how many images each was judged on.

    Raises:
        UserError: bad input.

    Examples:
        >>> verdicts = check(torchvision.models.resnet18(), torch.randn(2, 3, 64, 64), kinds=["structural"])
        >>> [verdict.id for verdict in verdicts if verdict.status == "VIOLATED"]
        []
        >>> spent = {}
        >>> verdicts = check(model, data=(images, labels), sequential=True, spent=spent)
        >>> [(one["name"], one["images"], one["of"]) for one in spent["statements"]]
        [('veit-resnet-vs-vgg-gap@target', 128, 10000)]
    """
    if not sequential and (alpha is not None or spent is not None):
        raise UserError(f"{'spent' if alpha is None else 'alpha'} goes with sequential=True")
    stopping = sequential_run(alpha, seed, "alpha") if sequential else None
    claims = select_claims(load_claims(), select)
    if model is None:
        verdicts = judge_items(items_of(claims, kinds=kinds, settings=settings), {}, "cpu", stopping)
    else:
        from resbench.experiments.probes import modes_kept
        from resbench.targets.load import target_of

        items = target_items_of(claims, kinds=kinds, settings=settings)
        with modes_kept(model):
            target = target_of(model, example, units=units, survival=survival, data=data, seed=seed)
            verdicts = judge_on_target(items, target, stopping)
    if stopping is not None and spent is not None:
        spent.update(stopping.to_json(verdicts))
    return verdicts


def _check_usage(options: Options) -> None:
    options.target.check()
    if options.alpha is not None and not options.sequential:
        raise UserError("--alpha goes with --sequential")
    if options.since is not None and options.format != "github":
        raise UserError("--since goes with --format github; `resbench diff` compares two runs")
    if options.target.target and (options.retrain or options.checkpoints is not None):
        name = "--retrain" if options.retrain else "--checkpoints"
        raise UserError(f"{name} is for resbench's own networks and excludes --target")
    if options.refresh is not None and (options.target.target or options.retrain or options.sequential):
        name = "--target" if options.target.target else "--retrain" if options.retrain else "--sequential"
        raise UserError(f"--refresh measures resbench's own recorded evidence again and excludes {name}")
    if options.seed is not None and not (options.retrain or options.target.target):
        raise UserError("--seed goes with --retrain or --target")
    if options.retrain and options.checkpoints is not None:
        raise UserError("--checkpoints and --retrain exclude each other")
    if options.checkpoints is not None and not options.checkpoints.is_dir():
        raise UserError(f"--checkpoints {options.checkpoints}: no such folder; `resbench train --out` makes one")


def _sequential(options: Options) -> Sequential | None:
    return sequential_run(options.alpha, options.seed or 0) if options.sequential else None


def sequential_run(alpha: float | None, seed: int, name: str = "--alpha") -> Sequential:
    """What a sequential run is told, 0.05 where no ``alpha`` is given; it becomes the record of the run.

    Raises:
        UserError: ``alpha``, which the user knows as ``name``, out of range.
    """
    from resbench.experiments.sequential import ALPHA, Sequential

    if alpha is not None and not 0.0001 <= alpha <= 0.5:
        raise UserError(f"{name} {alpha:g}: the chance of a false verdict is from 0.0001 to 0.5")
    return Sequential(ALPHA if alpha is None else alpha, seed)


def loaded_target(options: TargetOptions) -> UserTarget:
    """The target, with a line on standard error that says what it is.

    Raises:
        UserError: it cannot be loaded.
    """
    from resbench.targets.load import load_target

    target = load_target(options)
    note(str(target))
    return target


def units_of(options: TargetOptions, format: str) -> str:
    """What `adapt` finds in a model, as text.

    Raises:
        UserError: it cannot be loaded or adapted.
    """
    from resbench.reports.units import units_json, units_table
    from resbench.targets.load import load_target

    options.check()
    check_device(options.device)
    units = load_target(options).units
    return json.dumps(units_json(units), indent=1) if format == "json" else units_table(units, width=terminal_width())


def judge_on_target(
    items: Sequence[Item],
    target: UserTarget,
    sequential: Sequential | None = None,
    partial: PartialResults | None = None,
) -> list[Verdict]:
    """The verdicts on ``items`` of the setting ``target``, with a progress bar; as :func:`judge_items`."""
    with MeasurementProgress() as progress:
        run = Run(items, target=target, partial=partial, listener=progress, sequential=sequential)
        verdicts = run.verdicts()
    _ended(partial, sequential)
    return verdicts


def judge_items(
    items: Sequence[Item], folders: Mapping[str, Path], device: str, sequential: Sequential | None = None
) -> list[Verdict]:
    """The verdicts on ``items``, with a progress bar; an interrupted run's measurements are kept and reused."""
    return _judged(items, folders, device, sequential)[0]


def _judged(
    items: Sequence[Item], folders: Mapping[str, Path], device: str, sequential: Sequential | None
) -> tuple[list[Verdict], dict[str, list[Request]]]:
    """The verdicts, and what was stale for them, by setting."""
    partial = _partial(items, folders, device)
    with MeasurementProgress() as progress:
        run = Run(items, folders=folders, device=device, partial=partial, listener=progress, sequential=sequential)
        verdicts = run.verdicts()
    _ended(partial, sequential)
    return verdicts, run.stale()


def _ended(partial: PartialResults | None, sequential: Sequential | None) -> None:
    """Say what was there of an interrupted run, and forget it."""
    reused = [] if partial is None or not partial.reused else [f"{len(partial.reused)} measurements"]
    reused += [f"{sequential.reused:,} lesioned images"] if sequential is not None and sequential.reused else []
    if reused:
        note(f"reused {' and '.join(reused)} of an interrupted run")
    if partial is not None:
        partial.clear()


def check_device(device: str) -> None:
    """Fail at once where the device is not here; nothing falls back to the CPU."""
    if device == "cpu":
        return
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {device}: not usable here ({reason}); use --device cpu") from error


def _partial(items: Sequence[Item], folders: Mapping[str, Path], device: str) -> PartialResults | None:
    settings = {item.setting for item in items if any(e.kind == "trained" for e in item.claim.expect)}
    known = {s: folders.get(s) or baselines() / "checkpoints" / s for s in settings}
    present = {setting: folder for setting, folder in known.items() if folder.is_dir()}
    return partial_results(present, device) if present else None
