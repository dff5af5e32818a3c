"""The page of verdicts and figures, read as a file."""

from __future__ import annotations

import base64
import html as html_module
import json
import re
import zlib
from pathlib import Path
from typing import Any

import altair
import pandas as pd
import pytest
from report_samples import board, claim, expectation

from resbench.claims.model import AtMost
from resbench.errors import UserError
from resbench.figures.model import Figure, Missing
from resbench.judge import Status, judge_claim
from resbench.records.measurement import Measurement
from resbench.reports.page.material import kills_of
from resbench.reports.page.render import Page, html, verdict_sentence
from resbench.reports.page.rows import Context, Kill, Past

NOTHING = Context({}, {}, {}, {}, {})
EVIL = "</script><img src=x onerror=alert(1)>'\"&"


def page(**fields: Any) -> str:
    claims, verdicts = board()
    given: dict[str, Any] = {
        "verdicts": verdicts,
        "claims": claims,
        "context": NOTHING,
        "figures": [],
        "made": ["judged today"],
        "measured_now": "",
    }
    return html(Page(**(given | fields)))


def drawing(name: str = "veit-fig3", **fields: Any) -> Figure:
    frame = pd.DataFrame({"unit": [1, 2], "error (%)": [6.5, 6.4]})
    chart = altair.Chart(frame).mark_point().encode(x="unit:Q", y="error (%):Q")
    given: dict[str, Any] = {
        "name": name,
        "group": "veit2016",
        "title": "One unit deleted",
        "caption": "Test error.",
        "description": "6.5 and 6.4 %.",
        "sources": ("figure 3",),
        "frame": frame,
        "chart": chart,
    }
    return Figure(**(given | fields))


def opened(text: str, anchor: str) -> str:
    """What one claim opens to, as text."""
    found = re.search(rf'<details class="claim" id="{re.escape(anchor)}".*?</details>', text, re.DOTALL)
    assert found is not None
    return " ".join(html_module.unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def test_every_verdict_is_there_once() -> None:
    _, verdicts = board()
    text = page()
    anchors = re.findall(r'<details class="claim" id="(.*?)"', text)
    assert sorted(html_module.unescape(one) for one in anchors) == sorted(
        f"claim-{one.id}@{one.setting}" for one in verdicts
    )
    assert text.count('class="tile ') == len(verdicts)


def test_nothing_is_fetched() -> None:
    text = page(figures=[drawing()])
    without_library = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:|verdicts\.json)", without_library)
    assert "default-src 'none'" in text


def test_a_claim_opens_to_all_that_is_known_of_it() -> None:
    item = "veit-single-delete-vgg@digits"
    context = Context(
        kills={item: [Kill("plain-net-with-shortcut", "A shortcut in the plain network.")]},
        seeds={item: [[{"measured": 80.0, "interval": [78.0, 82.0]}]]},
        alarms={"veit-single-delete-vgg": {"digits": {"seeds": 10, "alarms": 1, "upper": 0.394}}},
        powers={},
        past={item: [Past("2026-11-20 10:00 UTC", Status.VIOLATED, "60 %", 1)]},
    )
    text = opened(page(context=context), f"claim-{item}")
    assert "plain-net-with-shortcut A shortcut in the plain network." in text
    assert "1 on 10 fresh seeds: probability 10 %" in text
    assert "2026-11-20 10:00 UTC" in text
    assert "chosen by us : three run-to-run deviations" in text
    assert "a shortcut hidden in the plain network." in text
    assert "resbench check --select veit-single-delete-vgg --setting digits" in text


def test_a_verdict_that_changed_is_marked() -> None:
    before = Context({}, {}, {}, {}, {"veit-paths-2n@any": [Past("yesterday", Status.VIOLATED, "60 paths", 1)]})
    assert "was VIOLATED" in opened(page(context=before), "claim-veit-paths-2n@any")
    same = Context({}, {}, {}, {}, {"veit-paths-2n@any": [Past("yesterday", Status.HOLDS, "8 paths", 1)]})
    assert "was" not in opened(page(context=same), "claim-veit-paths-2n@any").split("earlier runs")[0]


def test_names_cannot_write_html() -> None:
    evil = claim("veit-evil-name", expectation(AtMost(bound=1), "digits", "trained", EVIL), statement=EVIL, breaks=EVIL)
    verdict = judge_claim(evil, "digits", [Measurement(3.0, method=EVIL, detail=EVIL)])
    figures = [drawing(title=EVIL, caption=EVIL, description=EVIL, sources=(EVIL,), missing=(Missing(EVIL, EVIL),))]
    context = Context({"veit-evil-name@digits": [Kill(EVIL, EVIL)]}, {}, {}, {}, {})
    text = page(claims=[evil], verdicts=[verdict], made=[EVIL], figures=figures, context=context, measured_now=EVIL)
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script")


def test_figures_are_packed_and_missing_ones_say_how() -> None:
    absent = drawing(
        "huang-fig7",
        group="huang2016",
        chart=None,
        frame=pd.DataFrame(),
        missing=(Missing("CIFAR-10", "resbench measure"),),
    )
    text = page(figures=[drawing(), absent])
    [spec] = re.findall(r'id="spec-veit-fig3">(.*?)</script>', text)
    document = json.loads(zlib.decompress(base64.b64decode(spec)))
    assert document["mark"]["type"] == "point"
    [table] = re.findall(r'data-name="veit-fig3" data-packed="(.*?)"', text)
    assert zlib.decompress(base64.b64decode(table)).decode().splitlines() == ["unit,error (%)", "1,6.5", "2,6.4"]
    assert 'id="spec-huang-fig7"' not in text
    assert "<code>resbench measure</code>" in text


@pytest.mark.parametrize(
    ("statuses", "tone", "sentence"),
    [
        ([Status.HOLDS, Status.HOLDS], "good", "All 2 measured claims hold."),
        ([Status.HOLDS, Status.NOT_MEASURED], "good", "The one measured claim holds."),
        ([Status.HOLDS, Status.WAIVED], "good", "1 of 2 measured claims hold, 1 is waived."),
        ([Status.HOLDS, Status.VIOLATED, Status.ERROR], "bad", "1 VIOLATED, 1 ERROR of 3 measured claims."),
        ([Status.HOLDS, Status.STALE], "bad", "1 STALE of 2 measured claims."),
        ([Status.NOT_MEASURED], "none", "Nothing was measured."),
        ([], "none", "Nothing was measured."),
    ],
)
def test_the_sentence_on_top(statuses: list[Status], tone: str, sentence: str) -> None:
    import dataclasses

    _, verdicts = board()
    given = [dataclasses.replace(verdicts[0], status=status) for status in statuses]
    answer = verdict_sentence(given)
    assert (answer["tone"], answer["sentence"]) == (tone, sentence)


def test_reasons_show_their_commands() -> None:
    text = page()
    assert '<section id="missing"' in text


@pytest.mark.parametrize("content", [b"", b"[]", b'{"faults": [{}]}', b'{"faults": 3}', b"\xff"])
def test_damaged_kill_matrix(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kill-matrix.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no kill matrix"):
        kills_of(path)
    assert kills_of(tmp_path / "none.json") == {}


def test_command_shows_an_earlier_run(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resbench.page_report.FIGURES", {})  # they have tests of their own
    arguments = ("--select", "veit-paths-2n", "--select", "he-t2-preact-best")
    code, _, _ = run("check", *arguments[:2], "--out", str(tmp_path / "one"))
    assert code == 0
    code, out, err = run(
        "report", "--from", str(tmp_path / "one"), "--earlier", str(tmp_path / "one"), "--out", str(tmp_path / "page")
    )
    assert (code, err) == (0, "")
    assert "The one measured claim holds." in out
    text = (tmp_path / "page" / "index.html").read_text()
    assert "HOLDS, 8 paths" in opened(text, "claim-veit-paths-2n@any")
    run_again = json.loads((tmp_path / "page" / "verdicts.json").read_text())
    assert run_again["verdicts"] == json.loads((tmp_path / "one" / "verdicts.json").read_text())["verdicts"]
    code, _, err = run("report", "--from", str(tmp_path / "nowhere"), "--out", str(tmp_path / "page"))
    assert code == 2
    assert err.count("\n") == 1
    assert "resbench check --out" in err
