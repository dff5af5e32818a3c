"""`resbench check --refresh`: what is STALE is measured again, as `resbench measure` and `resbench train` do it.

Nothing else is measured: of a network whose records are of another checkpoint, recipe or data all are, since records of
one network must be of one; what is current is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resbench.errors import NotMeasured, UserError
from resbench.experiments.recorded import TRAINED, has_evidence
from resbench.judge import Status, Verdict
from resbench.plan import Item
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.talking import note

__all__ = ["Refresh", "Stale", "judge_refreshed", "refresh"]

Stale = Mapping[str, Sequence[Request]]
"""What is stale, by setting."""

Judged = Callable[[Sequence[Item]], tuple[list[Verdict], Stale]]
"""Judges items, and says what was stale."""


@dataclass(frozen=True)
class Refresh:
    """What measuring needs: ``data`` as `resbench measure` takes them, and the folder of a study's ``weights``."""

    data: str = ""
    download: bool = False
    weights: Path | None = None
    device: str = "cpu"


def judge_refreshed(items: Sequence[Item], judged: Judged, options: Refresh) -> list[Verdict]:
    """The verdicts on ``items`` after what was stale for them has been measured again, everything at most once.

    What cannot be measured here stays STALE, with a line on standard error that says what is lacking.
    """
    verdicts, stale = judged(items)
    tried: set[tuple[str, Request]] = set()
    while news := {s: new for s, all_of in stale.items() if (new := [r for r in all_of if (s, r) not in tried])}:
        tried |= {(setting, request) for setting, requests in news.items() for request in requests}
        done = [setting for setting, requests in news.items() if _attempted(setting, requests, options)]
        again = [index for index, item in enumerate(items) if item.setting in done and _affected(item, verdicts[index])]
        if not again:
            break
        fresh, stale = judged([items[index] for index in again])
        for index, verdict in zip(again, fresh, strict=True):
            verdicts[index] = verdict
    if not tried:
        note("nothing is stale")
    return verdicts


def _attempted(setting: str, stale: Sequence[Request], options: Refresh) -> bool:
    names = ", ".join(sorted(f"{request.network}/{request.experiment}" for request in stale))
    try:
        note(f"refreshed {setting}: {refresh(setting, stale, options)}")
    except (UserError, NotMeasured) as reason:
        print(f"resbench: not refreshed: {setting} ({names}): {reason}", file=sys.stderr)
        return False
    return True


def _affected(item: Item, verdict: Verdict) -> bool:
    """Records are compared with each other, so that a new one may concern any claim of its setting."""
    stale = any(check.judgement.status is Status.STALE for check in verdict.checks)
    return stale or has_evidence(baselines() / "claims" / item.setting)


def refresh(setting: str, stale: Sequence[Request], options: Refresh) -> str:
    """Measure again what is stale in one setting, and record it; one line about it.

    Raises:
        UserError: networks, weights or data are not at hand, or something cannot be written.
    """
    networks = sorted({request.network for request in stale})
    folder = baselines() / "claims" / setting
    if setting not in TRAINED and not has_evidence(folder):
        return _trained_again(setting, networks)
    recorded = {f"{path.parent.name}/{path.stem}" for name in networks for path in folder.glob(f"{name}/*.json")}
    select = tuple(sorted(recorded | {f"{request.network}/{request.experiment}" for request in stale}))
    if setting in TRAINED:
        from resbench.measuring.own import OwnOptions, measure_own

        own = OwnOptions(
            setting,
            select,
            data=options.data,
            download=options.download,
            checkpoints=options.weights,
            device=options.device,
        )
        return measure_own(own)
    from resbench.measuring.run import MeasureOptions, measure_study
    from resbench.measuring.study import read_study, study_file

    file = study_file(setting, baselines())
    if not file.is_file():
        raise UserError(f"its study is not here ({file}): refresh in a checkout of the repository")
    if options.weights is None:
        raise UserError("give the folder of its weights with --checkpoints FOLDER")
    chosen = MeasureOptions(
        root=file.parent,
        select=select,
        data=options.data,
        download=options.download,
        checkpoints=options.weights,
        out=folder,
        device=options.device,
    )
    return measure_study(read_study(file), chosen)


def _trained_again(setting: str, networks: Sequence[str]) -> str:
    """Of networks that are measured at every check the checkpoints are the evidence."""
    from resbench.retraining import train_networks

    (folder,) = train_networks(setting, networks, (0,), None, 2)
    return f"{', '.join(networks)} trained again in {folder}"
