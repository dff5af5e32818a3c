"""What the command `report` does: verdicts, figures and what is recorded, to one HTML page."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.claims import load_claims
from resbench.claims import select as select_claims
from resbench.errors import UserError
from resbench.figures import FIGURES, Figure, build
from resbench.figures.sources import Sources
from resbench.judge import Verdict
from resbench.judging.recorded import FILE, read_run
from resbench.judging.waivers import waived
from resbench.plan import TARGET, Run, items_of, partial_results
from resbench.progress import CountProgress, MeasurementProgress
from resbench.records.environment import environment
from resbench.records.partial import PartialResults
from resbench.records.places import baselines, check_writable, partial_measurements, write_atomically
from resbench.records.waivers import chosen_waivers, today
from resbench.reports.page.material import context_of
from resbench.reports.page.render import Page, html, verdict_sentence
from resbench.reports.page.restoring import restored_verdicts
from resbench.reports.verdicts import to_json
from resbench.talking import note

__all__ = ["PageOptions", "kept_for_pages", "make_page"]

_LARGEST = 3_000_000
"""Bytes: what a page may have to be opened on a phone."""


@dataclass(frozen=True)
class PageOptions:
    """The options of `resbench report`.  ``run``, ``earlier``: files or folders that `resbench check --out` wrote."""

    out: Path
    run: Path | None = None
    earlier: tuple[Path, ...] = ()
    select: tuple[str, ...] = ()


def make_page(options: PageOptions) -> str:
    """Write ``index.html`` and ``verdicts.json`` into the folder; two lines that say what and where.

    Raises:
        UserError: bad input, or the folder cannot be written.
    """
    check_writable(options.out)
    claims = load_claims()
    selected = select_claims(claims, options.select)
    earlier = sorted((read_run(path) for path in options.earlier), key=lambda run: run.at)
    recorded = None if options.run is None else read_run(options.run)
    kept = kept_for_pages()
    if recorded is None:
        items = items_of(selected)
        if not items:
            raise UserError("the selected claims assert nothing on resbench's own networks; choose others by --select")
        with MeasurementProgress() as progress:
            run = Run(items, partial=kept, listener=progress)
            verdicts = _waived(run.verdicts())
    else:
        run = Run([], partial=kept)
        chosen = {claim.id for claim in selected}
        verdicts = [one for one in restored_verdicts(recorded, claims) if not options.select or one.id in chosen]
    own = any(one.setting != TARGET for one in verdicts)
    figures = _figures(Sources(run)) if own else []
    past = [(_when(one.at), restored_verdicts(one, claims)) for one in earlier]
    context = context_of(claims, baselines() / "kill-matrix.json", past)
    where, at = (environment(), _now()) if recorded is None else (recorded.environment, recorded.at)
    made = _made(where, at)
    measured_now = "" if recorded is not None else "the committed checkpoints of the digits, measured on this machine"
    text = html(Page(verdicts, claims, context, figures, made, measured_now))
    write_atomically(options.out / FILE, to_json(verdicts, where, at=at).encode())
    write_atomically(options.out / "index.html", text.encode())
    return _told(options.out / "index.html", len(text.encode()), verdicts, figures)


def kept_for_pages() -> PartialResults:
    """Where the measurements of one page wait for the next: of the same code, checkpoints and data only.

    `resbench check` has its own, and forgets them when it is done: it measures afresh.
    """
    kept = partial_results({"digits": baselines() / "checkpoints" / "digits"}, root=partial_measurements() / "pages")
    kept.forget_others()
    return kept


def _waived(verdicts: Sequence[Verdict]) -> list[Verdict]:
    day, waivers = today(), chosen_waivers(None, Path())
    return [waived(verdict, waivers, day) for verdict in verdicts]


def _figures(sources: Sources) -> list[Figure]:
    found: list[Figure] = []
    with CountProgress(len(FIGURES)) as progress:
        for name in FIGURES:
            progress.doing(f"drawing {name}", finished=bool(found))
            found.append(build(name, sources))
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _when(at: str) -> str:
    """``2026-11-21 21:20 UTC``."""
    try:
        moment = datetime.datetime.fromisoformat(at).astimezone(datetime.UTC)
    except ValueError:
        return "at an unknown time"
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _made(where: Mapping[str, Any], at: str) -> list[str]:
    """Phrases on when, of what and where."""
    found = [f"judged {_when(at)}"]
    git = where.get("git")
    if isinstance(git, Mapping) and git.get("commit"):
        found.append(f"commit {str(git['commit'])[:10]}{' with local changes' if git.get('dirty') else ''}")
    packages = where.get("packages")
    for name in ("resbench", "torch"):
        if isinstance(packages, Mapping) and packages.get(name):
            found.append(f"{name} {packages[name]}")
    target = where.get("target")
    if isinstance(target, Mapping):
        found.append(f"target {target.get('name', 'of your own')}")
    found += [str(where[name]) for name in ("gpu", "cpu") if where.get(name)]
    cores = where.get("cores")
    return [*found, *([f"{cores} cores"] if cores else [])]


def _told(path: Path, size: int, verdicts: Sequence[Verdict], figures: Sequence[Figure]) -> str:
    """What was written.  A page that became too large is said to be, not cut."""
    drawn = sum(figure.chart is not None for figure in figures)
    absent = f", {len(figures) - drawn} not measured yet" if drawn < len(figures) else ""
    if size > _LARGEST:
        note(f"the page has {size / 1e6:.1f} MB; --select makes a smaller one")
    answer = verdict_sentence(verdicts)
    parts = [part for part in (answer["sentence"], answer["rest"]) if part]
    return f"{' '.join(parts)}\nwrote {path} ({size / 1e6:.1f} MB, {drawn} figures{absent})"
