"""Good files about judging, made small, and what their readers make of them: see :mod:`benchmarks.fuzz_formats`."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["kill_matrix", "read_kill_matrix", "read_run", "read_waivers", "run", "waivers"]

_WAIVERS = """# what is known to fail
[[waiver]]
claim = "veit-single-delete-vgg"
setting = "digits"
reason = "the plain network was replaced, see issue 12"
owner = "a.person"
expiry = 2026-12-31

[[waiver]]
claim = "veit-paths-2n"
reason = "counted anew"
owner = "another.person"
expiry = 2027-01-31
"""


def run(folder: Path) -> Path:
    from tests.reports.report_samples import board

    from resbench.reports import to_json

    (folder / "verdicts.json").write_text(to_json(board()[1], {"python": "3.11.7", "packages": {"torch": "2.15.0"}}))
    return folder / "verdicts.json"


def read_run(path: Path) -> object:
    """Read, compared with itself, made a badge of, and shown as an earlier run of the page is."""
    from resbench.claims import load_claims
    from resbench.judging import recorded
    from resbench.judging.changes import changes_of
    from resbench.reports.badge import badge_svg
    from resbench.reports.changes import changes_json, changes_markdown, changes_table
    from resbench.reports.page.material import past_of
    from resbench.reports.page.restoring import restored_verdicts
    from resbench.reports.page.rows import Context, row_of

    found = recorded.read_run(path)
    changes = changes_of(found, found)
    changes_json(changes, ("a", found), ("b", found))
    verdicts = restored_verdicts(found, load_claims())
    context = Context({}, {}, {}, {}, past_of([(found.at, verdicts)]))
    rows = [repr(row_of(verdict, None, "", context)) for verdict in verdicts]
    return changes_table(changes, "a", "b"), changes_markdown(changes, "a", "b"), badge_svg(found), rows


def waivers(folder: Path) -> Path:
    (folder / "waivers.toml").write_text(_WAIVERS)
    return folder / "waivers.toml"


def read_waivers(path: Path) -> object:
    from resbench.records.waivers import chosen_waivers

    return chosen_waivers(path, path.parent)


def kill_matrix(folder: Path) -> Path:
    faults = [
        {"name": "shortcut-scaled", "what": "Times 0.9.", "killed_by": ["he-a@any", "he-b@any"]},
        {"name": "never-dropped", "what": "All units.", "killed_by": ["huang-a@digits"]},
    ]
    (folder / "kill-matrix.json").write_text(json.dumps({"schema": "resbench.faults/1", "faults": faults}, indent=1))
    return folder / "kill-matrix.json"


def read_kill_matrix(path: Path) -> object:
    from resbench.reports.page.material import kills_of

    return kills_of(path)
