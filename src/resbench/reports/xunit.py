"""Verdicts as JUnit XML, the form that CI servers read."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resbench.judge import Status, Verdict
from resbench.judging.waivers import State, Use
from resbench.reports.sequential import images_of
from resbench.reports.verdicts import EXPLAINED, Group, explain, grouped, name, strict
from resbench.reports.waivers import LABELS, waiver_sentence

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
    waivers: Sequence[Use] = (),
) -> str:
    """A ``testsuites`` document: a suite a paper, a case a claim and setting.

    VIOLATED, INCONCLUSIVE and STALE are failures, ERROR an error, NOT_MEASURED and WAIVED skipped.  Experiments are
    shared between claims, so that a case has no time of its own; ``seconds`` is the whole run's.  Of a ``sequential``
    run's record a case has the number of ``images``, and of those ``images_available``.

    ``waivers`` are a suite of their own: unused and expired ones are failures, undecided and unselected ones skipped.
    """
    from xml.etree import ElementTree  # only here: a terminal's board does not need it

    when = timestamp.isoformat() if isinstance(timestamp, datetime.datetime) else timestamp
    groups = grouped(verdicts)
    root = ElementTree.Element(
        "testsuites", {"name": "resbench", "time": f"{seconds:.3f}", **_totals(verdicts, waivers)}
    )
    for group in groups:
        root.append(_suite(group, _xml(when), sequential))
    if waivers:
        root.append(_waivers(waivers, _xml(when)))
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
    if verdict.waiver is not None:
        values |= {f"waiver_{key}": value for key, value in verdict.waiver.to_json().items()}
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


def _waivers(uses: Sequence[Use], timestamp: str) -> Element:
    from xml.etree.ElementTree import Element, SubElement

    suite = Element("testsuite", {"name": "waivers", "timestamp": timestamp, **_totals((), uses)})
    for use in uses:
        case = SubElement(suite, "testcase", {"classname": "resbench.waivers", "name": _xml(use.waiver.name)})
        properties = SubElement(case, "properties")
        for key, value in use.to_json().items():
            if value:
                SubElement(properties, "property", {"name": key, "value": _xml(str(value))})
        message = {"message": _xml(f"{LABELS[use.state]}: {waiver_sentence(use)}")}
        if use.red:
            SubElement(case, "failure", {**message, "type": use.state.value}).text = message["message"]
        elif use.state is not State.USED:
            SubElement(case, "skipped", message)
    return suite


def _totals(verdicts: Sequence[Verdict], waivers: Sequence[Use] = ()) -> dict[str, str]:
    errors = sum(verdict.status is Status.ERROR for verdict in verdicts)
    failures = sum(verdict.status in EXPLAINED for verdict in verdicts) - errors + sum(use.red for use in waivers)
    skipped = sum(verdict.status in (Status.NOT_MEASURED, Status.WAIVED) for verdict in verdicts)
    skipped += sum(not use.red and use.state is not State.USED for use in waivers)
    numbers = {"tests": len(verdicts) + len(waivers), "failures": failures, "errors": errors, "skipped": skipped}
    return {key: str(number) for key, number in numbers.items()}


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, escaped or not."""
    return _NOT_XML.sub("", text)
