"""What a run judges, and the run itself: claims to items, items to measurements, measurements to verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from resbench.claims.loader import resolve_quantity
from resbench.claims.model import Claim
from resbench.errors import UserError
from resbench.experiments.lab import Lab, Listener, TargetLab
from resbench.experiments.reading import requests_of
from resbench.experiments.recorded import TRAINED, RecordedLab, has_evidence
from resbench.judge import Verdict, judge_claim, unmeasured
from resbench.records.measurement import Measurement
from resbench.records.partial import PartialResults, source_fingerprint
from resbench.records.places import baselines, partial_measurements
from resbench.records.results import Request

if TYPE_CHECKING:
    from resbench.experiments.sequential import Sequential
    from resbench.targets.target import UserTarget

__all__ = [
    "KINDS",
    "TARGET",
    "Item",
    "Run",
    "check_kinds",
    "items_of",
    "kept_of_target",
    "partial_results",
    "target_items_of",
]

KINDS = ("exact", "structural", "trained", "reference")

TARGET = "target"
"""The setting of the user's own network; it exists where one is given."""

_NO_TARGET: Mapping[str, str] = {
    "exact": "arithmetic: needs no target",
    "reference": "re-analysis of published numbers: needs no target",
    "structural": "speaks of resbench's own networks: run without a target",
    "trained": "speaks of networks that resbench trains: run without a target",
}
"""Why a claim without an expectation for targets is not measured on one."""


@dataclass(frozen=True)
class Item:
    """One claim in one setting; ``claim.expect`` holds just the expectations there that were asked for.

    ``reason``: why it cannot be measured there; ``claim.expect`` then holds those of other settings.
    """

    claim: Claim
    setting: str
    reason: str = ""

    @property
    def id(self) -> str:
        return f"{self.claim.id}@{self.setting}"


def items_of(claims: Sequence[Claim], *, kinds: Sequence[str] = (), settings: Sequence[str] = ()) -> list[Item]:
    """The items of ``claims`` on resbench's own networks, only those of ``kinds`` and ``settings`` where given.

    Raises:
        UserError: an unknown kind, or a setting that no claim has.
    """
    check_kinds(kinds)
    known = sorted({setting for claim in claims for setting in claim.settings} - {TARGET})
    for setting in settings:
        if setting == TARGET:
            raise UserError("the setting 'target' is that of your own network; name it with --target")
        if setting not in known:
            raise UserError(f"unknown setting {setting!r}: the selected claims have {', '.join(known) or 'none'}")
    found = []
    for claim in claims:
        for setting in claim.settings:
            if setting == TARGET or (settings and setting not in settings):
                continue
            chosen = [e for e in claim.expect if e.setting == setting and (not kinds or e.kind in kinds)]
            if chosen:
                found.append(Item(msgspec.structs.replace(claim, expect=chosen), setting))
    return found


def target_items_of(claims: Sequence[Claim], *, kinds: Sequence[str] = (), settings: Sequence[str] = ()) -> list[Item]:
    """The items of ``claims`` on a user's network: one a claim, with its reason where nothing can be judged there.

    Raises:
        UserError: an unknown kind, or a setting that is not the target's.
    """
    check_kinds(kinds)
    for setting in settings:
        if setting != TARGET:
            raise UserError(f"the setting {setting!r} is one of resbench's own networks; leave it out, or the target")
    found = []
    for claim in claims:
        chosen = [e for e in claim.expect if not kinds or e.kind in kinds]
        judged = [e for e in chosen if e.setting == TARGET]
        if judged:
            found.append(Item(msgspec.structs.replace(claim, expect=judged), TARGET))
        elif chosen:
            reason = _NO_TARGET[chosen[0].kind]
            found.append(Item(msgspec.structs.replace(claim, expect=chosen), TARGET, reason))
    return found


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises: UserError for a kind that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"unknown kind {kind!r}: choose from {', '.join(KINDS)}")


def partial_results(folders: Mapping[str, Path], device: str = "cpu", *, root: Path | None = None) -> PartialResults:
    """Where an interrupted run over these checkpoint folders leaves its measurements for the next; in ``root``."""
    import hashlib

    digest = hashlib.sha256(f"{source_fingerprint()} {device}".encode())
    for setting, folder in sorted(folders.items()):
        index = folder / "index.json"
        digest.update(setting.encode() + (index.read_bytes() if index.exists() else b""))
    return PartialResults(root or partial_measurements(), digest.hexdigest()[:16])


def kept_of_target(target: UserTarget) -> PartialResults | None:
    """Where an interrupted sequential run over a target leaves what it has seen; None of a target without data.

    The same weights, code, units, images and device lead to the same folder.
    """
    if target.data is None:
        return None
    from resbench.lesions.running import fingerprint

    key = fingerprint(target, [], target.data.fingerprint(), f"looks on {target.device.type}")
    return PartialResults(partial_measurements(), key[:16])


class Run:
    """Measures and judges items; every experiment runs once, however many items read it.

    ``folders``: checkpoint folders by setting where they are not the committed ones (freshly trained networks).
    ``partial``: where measurements wait for the next run should this one be interrupted.
    ``target``: the user's network, for the items of the setting ``target``; of its measurements only what a sequential
    run has seen is kept (:func:`kept_of_target`): the rest depends on more than a fingerprint of the network holds.
    ``sequential``: stop single deletions as soon as the verdicts are decided; gets the record of it.  Recorded evidence
    is judged as it is.
    """

    def __init__(
        self,
        items: Sequence[Item],
        *,
        folders: Mapping[str, Path] | None = None,
        device: str = "cpu",
        partial: PartialResults | None = None,
        listener: Listener | None = None,
        target: UserTarget | None = None,
        sequential: Sequential | None = None,
    ):
        self.target, self._sequential = target, sequential
        self.items, self._device, self._partial, self._listener = list(items), device, partial, listener
        self._folders = dict(folders or {})
        self._labs: dict[str, Lab] = {}
        self._prepared: set[str] = set()

    def verdict(self, item: Item) -> Verdict:
        """Judge one item, measuring first what any item of its setting reads.

        Raises:
            UserError: bad input (a damaged checkpoint, an unwritable folder); the run cannot go on.
        """
        if item.reason:
            return unmeasured(item.claim, item.setting, item.reason)
        return judge_claim(item.claim, item.setting, self.outcomes(item))

    def outcomes(self, item: Item) -> list[Measurement | Exception]:
        """What each expectation of ``item`` was measured to be, or why it was not.

        Raises:
            UserError: as :meth:`verdict`.
        """
        lab = self.lab(item.setting)
        self._prepare(item.setting, lab)
        outcomes: list[Measurement | Exception] = []
        for expectation in item.claim.expect:
            try:
                outcomes.append(lab.evaluate(expectation))
            except UserError:
                raise
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def verdicts(self) -> list[Verdict]:
        """Judge every item, in order."""
        return [self.verdict(item) for item in self.items]

    def stale(self) -> dict[str, list[Request]]:
        """By setting, what the items judged so far read that is STALE."""
        return {setting: found for setting, lab in self._labs.items() if (found := lab.stale())}

    def finish(self) -> None:
        """Forget the measurements kept for the case of an interruption."""
        if self._partial is not None:
            self._partial.clear()

    def lab(self, setting: str) -> Lab:
        """The lab of one setting, made once: what was measured in it is not measured again.

        Raises:
            UserError: the setting is `target`, and there is none.
        """
        if setting == TARGET and setting not in self._labs:
            if self.target is None:
                raise UserError("the setting 'target' needs a target")
            self._labs[setting] = TargetLab(self.target, listener=self._listener)
        if setting not in self._labs:
            self._labs[setting] = self._own_lab(setting)
        return self._labs[setting]

    def _prepare(self, setting: str, lab: Lab) -> None:
        if setting in self._prepared:
            return
        self._prepared.add(setting)
        if self._sequential is not None and not isinstance(lab, RecordedLab):
            from resbench.experiments.sequential import measure_sequentially

            mine = [item for item in self.items if item.setting == setting and not item.reason]
            statements = [(item.id, e) for item in mine for e in item.claim.expect]
            measure_sequentially(lab, statements, self._sequential, self._partial)
        wanted: list[Request] = []
        for item in self.items:
            for expectation in item.claim.expect if item.setting == setting and not item.reason else ():
                try:
                    named = requests_of(resolve_quantity(expectation.quantity), expectation.params)
                except Exception:  # the item itself reports it
                    continue
                wanted += [each for one in named for each in (one if isinstance(one, list) else [one])]
        lab.measure_all(wanted)

    def _own_lab(self, setting: str) -> Lab:
        """Recorded evidence is read; where there is none by nature, the networks at hand are measured."""
        folder = self._folders.get(setting) or baselines() / "checkpoints" / setting
        recorded = baselines() / "claims" / setting
        if setting not in self._folders and (setting in TRAINED or has_evidence(recorded)):
            return RecordedLab(setting, recorded)
        return Lab(setting, folder, device=self._device, kept=self._partial, listener=self._listener)
