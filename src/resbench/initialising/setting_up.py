"""What `resbench init` does: looks, tries, plans, writes, and says what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resbench.configuration import TABLE, read_configuration
from resbench.errors import UserError
from resbench.initialising.candidates import Candidate, candidates
from resbench.initialising.repository import Repository, inspected, python_files
from resbench.initialising.trial import Trial, tried
from resbench.initialising.writing import Change, planned, write
from resbench.talking import note, verbose

__all__ = ["Done", "InitOptions", "set_up", "text_of"]

_TRIED = 6
"""Candidates at most; each may take a while."""

_OWN = {"kinds": ["exact"]}
"""What is judged where there is no network: the papers' own arithmetic, in seconds."""


@dataclass(frozen=True)
class InitOptions:
    """What the user says instead of having it found out; ``without_target``: judge no network of the user's.

    ``checkpoint`` and the place of ``data`` start from the current folder, as those of other commands do.
    """

    folder: Path = field(default_factory=Path)
    target: str = ""
    input: str = ""
    data: str = ""
    mean: str = ""
    std: str = ""
    checkpoint: Path | None = None
    units: tuple[str, ...] = ()
    survival: str = ""
    without_target: bool = False
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True)
class Done:
    """``changes``: of the files.  ``table``: what pyproject.toml says now.  ``network``: a line, empty without one."""

    changes: tuple[Change, ...]
    table: dict[str, Any]
    network: str

    def to_json(self, *, dry_run: bool) -> dict[str, Any]:
        files = [{"path": str(one.path), "action": one.action, "why": one.why} for one in self.changes]
        return {"dry_run": dry_run, "configuration": self.table, "network": self.network, "files": files}


def set_up(options: InitOptions) -> Done:
    """Find out what is not said, and write what is missing; nothing where ``options.dry_run``.

    Raises:
        UserError: the network that is named, or every one that is there, cannot be judged; a file that is there would
            have to be replaced; nothing is written then.
    """
    if options.without_target and options.target:
        raise UserError("--without-target and --target exclude each other")
    repository = inspected(options.folder)
    present = _present(repository)
    if present is not None and not options.force and _agrees(present, options):
        table, network = present, ""
    else:
        if present is not None and not options.without_target:
            options = replace(options, target=options.target or str(present.get("target", "")))
        table, network = _table(repository, options)
    changes = planned(repository, table, _remarks(table), force=options.force)
    if not options.dry_run:
        write(changes)
    return Done(tuple(changes), table, network)


def _present(repository: Repository) -> dict[str, Any] | None:
    """The table that is there, as it is."""
    import tomllib

    path = repository.folder / "pyproject.toml"
    if not path.is_file() or read_configuration(path) is None:
        return None
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["resbench"]
    return table


def _agrees(present: dict[str, Any], options: InitOptions) -> bool:
    """Whether nothing that the user says now is another thing than what stands there."""
    said = _said(options, options.folder.resolve())
    return all(present.get(key) == value for key, value in said.items())


def _table(repository: Repository, options: InitOptions) -> tuple[dict[str, Any], str]:
    said = _said(options, repository.folder)
    if options.without_target:
        return dict(_OWN), ""
    trial = _named(repository, options) if options.target else _found(repository, options)
    if trial is None:
        return dict(_OWN), ""
    table = {"target": trial.target, **({"input": trial.input} if trial.input else {}), **said}
    return table, trial.description


def _said(options: InitOptions, folder: Path) -> dict[str, Any]:
    """The keys that the options give, with paths from the folder of pyproject.toml."""
    kind, colon, place = options.data.partition(":")
    values = {
        "target": options.target,
        "input": options.input,
        "data": f"{kind}:{_from(folder, Path(place))}" if colon else kind,
        "mean": options.mean,
        "std": options.std,
        "checkpoint": "" if options.checkpoint is None else _from(folder, options.checkpoint),
        "units": list(options.units),
        "survival": options.survival,
    }
    return {key: value for key, value in values.items() if value}


def _from(folder: Path, path: Path) -> str:
    whole = path.resolve()
    return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else whole.as_posix()


def _named(repository: Repository, options: InitOptions) -> Trial:
    trial = _trial(options.target, repository, options)
    if trial.error:
        raise UserError(f"--target {options.target} cannot be judged: {trial.error}")
    return trial


def _found(repository: Repository, options: InitOptions) -> Trial | None:
    """The first candidate that can be judged; None where there is none at all."""
    found = candidates(python_files(repository))
    failed: list[str] = []
    refused = set()
    for candidate in found.ready[:_TRIED]:
        note(f"trying {candidate.target} ...")
        trial = _trial(candidate.target, repository, options)
        if not trial.error:
            _others([one for one in found.ready if one not in refused], candidate)
            return trial
        refused.add(candidate)
        failed.append(_failure(candidate, trial))
        if verbose():
            note(failed[-1])
    failed += [f"{one.target} needs arguments ({', '.join(one.needs)})" for one in found.wanting]
    if failed:
        listed = "; ".join(failed[:3]) + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")
        raise UserError(
            f"no network here can be judged as it is ({listed}): name a function without parameters that returns one "
            "with --target MODULE:CALLABLE, or give --without-target"
        )
    return None


def _failure(candidate: Candidate, trial: Trial) -> str:
    said = trial.error.removeprefix(f"target {candidate.target}: ")
    return said if said.startswith(candidate.target) else f"{candidate.target}: {said}"


def _others(ready: Sequence[Candidate], chosen: Candidate) -> None:
    others = [one.target for one in ready if one != chosen and one.rank[0] < 3]
    if others:
        note(f"{chosen.target} is taken; --target names another: {', '.join(others[:5])}")


def _trial(target: str, repository: Repository, options: InitOptions) -> Trial:
    from resbench.targets.options import TargetOptions

    kind, colon, place = options.data.partition(":")
    described = TargetOptions(
        target=target,
        checkpoint=None if options.checkpoint is None else options.checkpoint.resolve(),
        data=f"{kind}:{Path(place).resolve()}" if colon else kind,
        mean=options.mean,
        std=options.std,
        input=options.input,
        units=options.units,
        survival=options.survival,
        roots=(repository.folder, repository.source),
    )
    described.check()
    return tried(described, repository.folder)


def _remarks(table: dict[str, Any]) -> list[str]:
    if "target" in table:
        return ["What `resbench check` and `pytest -m claims` judge."]
    return [
        "No network of yours is judged yet, only the papers' own arithmetic. Instead of the line below write",
        'target = "mypackage.models:build"    # MODULE:CALLABLE, a function without parameters',
        'input = "3x32x32"',
    ]


def text_of(done: Done, *, dry_run: bool, folder: Path) -> str:
    """What was done, a line each, and what to do next."""
    lines = [f"{TABLE}: {done.network or ', '.join(f'{key} = {value!r}' for key, value in done.table.items())}"]
    verbs = {"create": "created", "edit": "edited", "replace": "replaced", "keep": "kept", "skip": "not written"}
    for change in done.changes:
        path = change.path.relative_to(folder) if change.path.is_relative_to(folder) else change.path
        verb = f"would be {verbs[change.action]}" if dry_run and change.writes else verbs[change.action]
        lines.append(f"{verb}: {path}" + (f" ({change.why})" if change.why else ""))
    if "target" not in done.table:
        lines.append('No network of yours is judged yet: name it in pyproject.toml, target = "MODULE:CALLABLE"')
    return "\n".join([*lines, "", "Next: pytest -m claims"])
