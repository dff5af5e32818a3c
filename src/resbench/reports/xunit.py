"""Verdicts as JUnit XML, the form that CI servers read."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resbench.judge import Status, Verdict
from resbench.reports.sequential import images_of
from resbench.reports.verdicts import EXPLAINED, Group, explain, grouped, name, strict

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(
    verdicts: Sequence[Verdict],
    *,
    seconds: float,
    timestamp: datetime.datetime | str,
    sequential: Mapping[str, Any] | None = None,
) -> str:
    """A ``testsuites`` document: a suite a paper, a case a claim and setting.

    VIOLATED, INCONCLUSIVE and STALE are failures, ERROR an error, NOT_MEASURED and WAIVED skipped.  Experiments are
    shared between claims, so that a case has no time of its own; ``seconds`` is the whole run's.  Of a ``sequential``
    run's record a case has the number of ``images``, and of those ``images_available``.
    """
    from xml.etree import ElementTree  # only here: a terminal's board does not need it

    when = timestamp.isoformat() if isinstance(timestamp, datetime.datetime) else timestamp
    groups = grouped(verdicts)
    root = ElementTree.Element("testsuites", {"name": "resbench", "time": f"{seconds:.3f}", **_totals(verdicts)})
    for group in groups:
        root.append(_suite(group, _xml(when), sequential))
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(group: Group, timestamp: str, sequential: Mapping[str, Any] | None) -> Element:
    from xml.etree.ElementTree import Element

    suite = Element("testsuite", {"name": _xml(group.paper), "timestamp": timestamp, **_totals(group.verdicts)})
    suite.extend(_case(verdict, group.paper, sequential) for verdict in group.verdicts)
    return suite


def _case(verdict: Verdict, paper: str, sequential: Mapping[str, Any] | None) -> Element:
    from xml.etree.ElementTree import Element, SubElement

    case = Element("testcase", {"classname": _xml(f"resbench.{paper}"), "name": _xml(name(verdict))})
    properties = SubElement(case, "properties")
    values = {
        "value": verdict.measured,
        "interval": verdict.interval,
        "unit": verdict.unit,
        "expected": verdict.expected,
        "version": verdict.version,
        "setting": verdict.setting,
        "kind": verdict.kind,
        "status": verdict.status.value,
    }
    images = None if sequential is None else images_of(sequential, name(verdict))
    if images is not None:
        values |= {"images": images[0], "images_available": images[1]}
    for key, value in values.items():
        if value is not None and value != "":
            text = value if isinstance(value, str) else json.dumps(strict(value))
            SubElement(properties, "property", {"name": key, "value": _xml(text)})
    if verdict.status in EXPLAINED:
        outcome = "error" if verdict.status is Status.ERROR else "failure"
        message = _xml(f"{verdict.status.value}: {verdict.message}")
        SubElement(case, outcome, {"message": message, "type": verdict.status.value}).text = _xml(explain(verdict))
    elif verdict.status is not Status.HOLDS:
        SubElement(case, "skipped", {"message": _xml(f"{verdict.status.value}: {verdict.message}")})
    return case


def _totals(verdicts: Sequence[Verdict]) -> dict[str, str]:
    errors = sum(verdict.status is Status.ERROR for verdict in verdicts)
    failures = sum(verdict.status in EXPLAINED for verdict in verdicts) - errors
    skipped = sum(verdict.status in (Status.NOT_MEASURED, Status.WAIVED) for verdict in verdicts)
    numbers = {"tests": len(verdicts), "failures": failures, "errors": errors, "skipped": skipped}
    return {key: str(number) for key, number in numbers.items()}


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, escaped or not."""
    return _NOT_XML.sub("", text)
