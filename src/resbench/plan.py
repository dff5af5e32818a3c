"""What a run judges, and the run itself: claims to items, items to measurements, measurements to verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from resbench.claims.loader import resolve_quantity
from resbench.claims.model import Claim
from resbench.errors import UserError
from resbench.experiments.lab import Lab, Listener
from resbench.experiments.reading import requests_of
from resbench.judge import Verdict, judge_claim
from resbench.records.measurement import Measurement
from resbench.records.partial import PartialResults, source_fingerprint
from resbench.records.places import baselines, partial_measurements
from resbench.records.results import Request

__all__ = ["KINDS", "Item", "Run", "items_of", "partial_results"]

KINDS = ("exact", "structural", "trained", "reference")


@dataclass(frozen=True)
class Item:
    """One claim in one setting; ``claim.expect`` holds just the expectations there that were asked for."""

    claim: Claim
    setting: str

    @property
    def id(self) -> str:
        return f"{self.claim.id}@{self.setting}"


def items_of(claims: Sequence[Claim], *, kinds: Sequence[str] = (), settings: Sequence[str] = ()) -> list[Item]:
    """The items of ``claims``, only those of ``kinds`` and ``settings`` where given.

    Raises:
        UserError: an unknown kind, or a setting that no claim has.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"unknown kind {kind!r}: choose from {', '.join(KINDS)}")
    known = sorted({setting for claim in claims for setting in claim.settings})
    for setting in settings:
        if setting not in known:
            raise UserError(f"unknown setting {setting!r}: the selected claims have {', '.join(known) or 'none'}")
    found = []
    for claim in claims:
        for setting in claim.settings:
            if settings and setting not in settings:
                continue
            chosen = [e for e in claim.expect if e.setting == setting and (not kinds or e.kind in kinds)]
            if chosen:
                found.append(Item(msgspec.structs.replace(claim, expect=chosen), setting))
    return found


def partial_results(folders: Mapping[str, Path], device: str = "cpu") -> PartialResults:
    """Where an interrupted run over these checkpoint folders leaves its measurements for the next."""
    import hashlib

    digest = hashlib.sha256(f"{source_fingerprint()} {device}".encode())
    for setting, folder in sorted(folders.items()):
        index = folder / "index.json"
        digest.update(setting.encode() + (index.read_bytes() if index.exists() else b""))
    return PartialResults(partial_measurements(), digest.hexdigest()[:16])


class Run:
    """Measures and judges items; every experiment runs once, however many items read it.

    ``folders``: checkpoint folders by setting where they are not the committed ones (freshly trained networks).
    """

    def __init__(
        self,
        items: Sequence[Item],
        *,
        folders: Mapping[str, Path] | None = None,
        device: str = "cpu",
        partial: PartialResults | None = None,
        listener: Listener | None = None,
    ):
        self.items, self._device, self._partial, self._listener = list(items), device, partial, listener
        self._folders = dict(folders or {})
        self._labs: dict[str, Lab] = {}
        self._prepared: set[str] = set()

    def verdict(self, item: Item) -> Verdict:
        """Judge one item, measuring first what any item of its setting reads.

        Raises:
            UserError: bad input (a damaged checkpoint, an unwritable folder); the run cannot go on.
        """
        return judge_claim(item.claim, item.setting, self.outcomes(item))

    def outcomes(self, item: Item) -> list[Measurement | Exception]:
        """What each expectation of ``item`` was measured to be, or why it was not.

        Raises:
            UserError: as :meth:`verdict`.
        """
        lab = self._lab(item.setting)
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

    def finish(self) -> None:
        """Forget the measurements kept for the case of an interruption."""
        if self._partial is not None:
            self._partial.clear()

    def _prepare(self, setting: str, lab: Lab) -> None:
        if setting in self._prepared:
            return
        self._prepared.add(setting)
        wanted: list[Request] = []
        for item in self.items:
            for expectation in item.claim.expect if item.setting == setting else ():
                try:
                    named = requests_of(resolve_quantity(expectation.quantity), expectation.params)
                except Exception:  # the item itself reports it
                    continue
                wanted += [each for one in named for each in (one if isinstance(one, list) else [one])]
        lab.measure_all(wanted)

    def _lab(self, setting: str) -> Lab:
        if setting not in self._labs:
            folder = self._folders.get(setting) or baselines() / "checkpoints" / setting
            self._labs[setting] = Lab(setting, folder, device=self._device, kept=self._partial, listener=self._listener)
        return self._labs[setting]
