"""What the page is made of besides the verdicts: seeds, faults, earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resbench.calibration import claim_powers, false_alarms, seeds_of
from resbench.claims.model import Claim
from resbench.errors import Damaged
from resbench.judge import Verdict
from resbench.reports.board import compact_measured
from resbench.reports.page.rows import Context, Kill, Past

__all__ = ["context_of", "kills_of", "past_of"]


def context_of(claims: Sequence[Claim], kills: Path, earlier: Sequence[tuple[str, Sequence[Verdict]]]) -> Context:
    """What is recorded of ``claims``.  ``kills``: the file of the kill matrix; ``earlier``: runs in their order.

    Raises:
        UserError: a record is damaged.
    """
    seeds: dict[str, list[list[Mapping[str, Any]]]] = {}
    alarms, powers = {}, {}
    for claim in claims:
        for setting, recorded in seeds_of(claim).items():
            seeds[f"{claim.id}@{setting}"] = [entry["checks"] for entry in recorded.entries]
            alarms[claim.id], powers[claim.id] = false_alarms(claim), claim_powers(claim)
    return Context(kills_of(kills), seeds, alarms, powers, past_of(earlier))


def kills_of(path: Path) -> dict[str, list[Kill]]:
    """By ``id@setting`` the faults that each claim caught; empty where no matrix is recorded.

    Raises:
        UserError: the file is damaged.
    """
    try:
        document = json.loads(path.read_bytes())
        found: dict[str, list[Kill]] = {}
        for fault in document["faults"]:
            for item in fault["killed_by"]:
                found.setdefault(str(item), []).append(Kill(str(fault["name"]), str(fault["what"])))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        way_out = "restore it, or make it anew: `resbench faults --format json`"
        raise Damaged(path, f"is no kill matrix ({type(error).__name__})", way_out) from error
    return found


def past_of(earlier: Sequence[tuple[str, Sequence[Verdict]]]) -> dict[str, list[Past]]:
    """By ``id@setting`` the verdicts of earlier runs, each with its time in words."""
    found: dict[str, list[Past]] = {}
    for when, verdicts in earlier:
        for verdict in verdicts:
            measured = "nothing measured" if verdict.measured is None else compact_measured(verdict, 40)
            past = Past(when, verdict.status, measured, verdict.version)
            found.setdefault(f"{verdict.id}@{verdict.setting}", []).append(past)
    return found
