"""Runs of the claims as their files say them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from resbench.judging.recorded import RecordedRun, run_of


def check(
    measured: Any = 5.0, room: float | None = 1.0, half_width: float | None = None, **fields: Any
) -> dict[str, Any]:
    """One expectation, ``>= 4``; ``room`` None: the file is from before there were margins."""
    interval = (
        None if half_width is None or isinstance(measured, list) else [measured - half_width, measured + half_width]
    )
    found = {
        "quantity": "lesions.one", "params": {"network": "vgg15"}, "status": "HOLDS", "measured": measured,
        "expected": ">= 4", "interval": interval, "unit": "%", "method": "", "n": None, "message": "", "detail": "",
    }  # fmt: skip
    if room is not None:
        found["margin"] = {"room": room, "half_width": half_width, "tolerance": 4.0, "log": False}
    return {**found, **fields}


def verdict(id: str = "veit-one", status: str = "HOLDS", *checks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    found = {
        "id": id, "version": 1, "kind": "trained", "setting": "digits", "status": status, "measured": 5.0,
        "expected": ">= 4", "interval": None, "unit": "%", "source": "arXiv:1605.06431v2, section 4.1",
        "message": f"{id} is {status}", "checks": list(checks),
    }  # fmt: skip
    return {**found, **fields}


def document(*verdicts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    counts = Counter(one["status"] for one in verdicts)
    environment = {"python": "3.11.7", "packages": {"torch": "2.15.0", "numpy": None}, "git": {"commit": "aa"}}
    return {"schema": 1, "environment": environment, "verdicts": list(verdicts), "summary": dict(counts), **fields}


def run(*verdicts: dict[str, Any], **fields: Any) -> RecordedRun:
    return run_of(document(*verdicts, **fields), "here")
