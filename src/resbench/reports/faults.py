"""The kill matrix for a terminal, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from resbench.faults.fault import WHERE, Fault
from resbench.faults.matrix import FAILURES, Matrix, Row
from resbench.reports.words import MIN_WIDTH, clean, cut, wrap

__all__ = ["faults_json", "faults_table", "list_json", "list_of_faults"]

_DETAILED = 3
"""So many faults, or fewer, are shown with what each of their claims said."""


def faults_json(matrix: Matrix) -> str:
    """One line a fault, so that a committed matrix can be read and compared."""
    content = matrix.to_json()
    lines = []
    for key, value in content.items():
        if key == "faults":
            rows = ",\n".join(f"  {json.dumps(row)}" for row in value)
            lines.append(f' "faults": [\n{rows}\n ]')
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def faults_table(matrix: Matrix, *, width: int = 80) -> str:
    """Which claims and tests see which fault, what survives, and what that says of the claims."""
    width = max(width, MIN_WIDTH)
    lines: list[str] = []
    name = min(max([len(row.fault.name) for row in matrix.rows] + [5]), width // 2)
    for where in WHERE:
        rows = [row for row in matrix.rows if row.fault.where == where]
        if rows:
            lines += ["", f"{where} ({len(rows)})"] if lines else [f"{where} ({len(rows)})"]
            lines += [cut(f"{cut(row.fault.name, name):{name}}  {_fate(row)}", width) for row in rows]
    if len(matrix.rows) <= _DETAILED:
        for row in matrix.rows:
            lines += ["", *_details(row, width)]
    lines += ["", *_conclusions(matrix, width)]
    return "\n".join(lines)


def list_of_faults(faults: Sequence[Fault], *, width: int = 80) -> str:
    """Every fault with what it is and which claims and tests should see it."""
    lines = []
    for fault in faults:
        lines += [f"{fault.name} ({fault.where})", *wrap(fault.what, width, "    ")]
        lines += wrap(", ".join([*fault.claims, *fault.tests]), width, "    seen by: ", "      ")
    return "\n".join(lines)


def list_json(faults: Sequence[Fault]) -> str:
    """The same as JSON."""
    fields = ("name", "where", "what", "claims", "tests")
    return json.dumps([{field: getattr(fault, field) for field in fields} for fault in faults], indent=1)


def _fate(row: Row) -> str:
    """``3 of 4: he-forward-additive, ...``: by how many of its claims and tests it is killed, and by which."""
    if row.error:
        return f"NOT TRIED: {clean(row.error)}"
    if row.undecided:
        return f"NOT SEEN: {clean(row.undecided)}"
    judged = len(row.claims) + len(row.tests)
    if not row.killed_by:
        return f"SURVIVES {judged}"
    return f"{len(row.killed_by)} of {judged}: {', '.join(_short(row))}"


def _short(row: Row) -> list[str]:
    """The killers, each claim once, without the setting; of a test its name."""
    claims = Counter(id.split("@")[0] for id in row.killers)
    return [*claims, *(test.rsplit("/", 1)[-1] for test in row.killing_tests)]


def _details(row: Row, width: int) -> Iterator[str]:
    yield row.fault.name
    yield from wrap(row.fault.what, width, "  ")
    for id, (status, message) in row.claims.items():
        before = row.baseline[id][0]
        said = f"{status} {id}" if before == "HOLDS" else f"{status} {id} ({before} without the fault)"
        yield cut(f"  {said}", width)
        if status in FAILURES and before == "HOLDS":
            yield from wrap(clean(message), width, "    ")
    for test, (how, why) in row.tests.items():
        before = row.tests_before[test][0]
        yield cut(f"  {how} {test}{'' if before == 'passed' else f' ({before} without the fault)'}", width)
        if why:
            yield from wrap(clean(why), width, "    ")


def _conclusions(matrix: Matrix, width: int) -> Iterator[str]:
    killed = sum(bool(row.killed_by) for row in matrix.rows)
    judged = (
        f"{len(matrix.items)} claims and settings, {matrix.seconds:.0f} s ({matrix.core_seconds:.0f} s of one core)"
    )
    yield f"{killed} of {len(matrix.rows)} faults killed; {judged}"
    if matrix.survivors:
        yield from wrap(f"survivors: {', '.join(matrix.survivors)}", width, rest="  ")
    for word, found in (("not tried", matrix.errors), ("not seen", matrix.undecided)):
        for name, why in found.items():
            yield from wrap(f"{word}: {name}: {clean(why)}", width, rest="  ")
    red = [f"{id} ({status})" for id, (status, _) in matrix.baseline.items() if status in FAILURES]
    if red:
        yield from wrap(f"fail without any fault, and can kill none: {', '.join(red)}", width, rest="  ")
    if matrix.idle:
        yield from wrap(f"claims that kill nothing: {', '.join(matrix.idle)}", width, rest="  ")
    if not matrix.whole:
        yield "whether every claim kills a fault takes all faults: leave out --fault"
