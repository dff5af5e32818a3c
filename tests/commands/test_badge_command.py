"""`resbench badge`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.judging.run_samples import document, verdict

from conftest import Run


def test_a_badge(run: Run, tmp_path: Path) -> None:
    (tmp_path / "verdicts.json").write_text(json.dumps(document(verdict(), verdict("veit-two", "VIOLATED"))))
    out = tmp_path / "site" / "badge.svg"
    code, printed, err = run("badge", str(tmp_path), "--out", str(out), "--label", "residual")
    assert (code, err) == (0, "")
    assert printed == f"{out}: residual | 1 holds, 1 violated\n"
    assert ElementTree.parse(out).getroot().get("aria-label") == "residual: 1 holds, 1 violated"


def test_without_a_run_it_says_how_to_make_one(run: Run) -> None:
    code, out, err = run("badge")
    assert (code, out) == (2, "")
    assert "`resbench check --out run`" in err
    assert err.count("\n") == 1


def test_bad_input(run: Run, tmp_path: Path) -> None:
    code, _, err = run("badge", str(tmp_path / "none"), "--out", str(tmp_path / "badge.svg"))
    assert code == 2
    assert "No such file or directory" in err
    assert not (tmp_path / "badge.svg").exists()
