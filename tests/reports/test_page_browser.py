"""The page of the committed evidence in headless Chromium: as a file, on a phone and on a desk, in both themes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from resbench.claims import load_claims
from resbench.figures import FIGURES, build
from resbench.figures.sources import Sources
from resbench.plan import Run, items_of
from resbench.records.places import baselines
from resbench.reports.page.material import context_of
from resbench.reports.page.render import Page, html

SIZES = {"phone": 360, "desk": 1400}
LARGEST = 3_000_000


class Made:
    """A page on the disk, and which of its figures have something drawn."""

    def __init__(self, path: Path, drawn: Mapping[str, bool]):
        self.path, self.drawn = path, drawn


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """All figures; the verdicts of what is recorded or arithmetic (the others are `tests/claims`' business)."""
    claims = load_claims()
    run = Run(items_of(claims, settings=("any", "published", "cifar10", "cifar10-short", "cifar10-public")))
    cheap = [item for item in run.items if item.setting != "any" or item.claim.kind == "exact"]
    figures = [build(name, Sources(run)) for name in FIGURES]
    verdicts = [run.verdict(item) for item in cheap]
    context = context_of(claims, baselines() / "kill-matrix.json", [])
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(html(Page(verdicts, claims, context, figures, ["judged today"], "")))
    return Made(path, {figure.name: figure.chart is not None for figure in figures})


class Opened:
    """A page in a tab, with what it said on the console."""

    def __init__(self, tab: Any):
        self.tab, self.said, self.asked = tab, [], []
        tab.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        tab.on("request", lambda request: self.asked.append(request.url))

    def number(self, selector: str) -> int:
        return int(self.tab.locator(selector).count())


@pytest.fixture(params=[(size, theme) for size in SIZES for theme in ("light", "dark")], ids="-".join)
def opened(request: pytest.FixtureRequest, chromium: Any, made: Made) -> Iterator[Opened]:
    size, theme = request.param
    tab = chromium.new_page(viewport={"width": SIZES[size], "height": 900}, color_scheme=theme)
    tab.set_default_timeout(20_000)
    found = Opened(tab)
    tab.goto(made.path.as_uri())
    yield found
    look(tab, f"report-{size}-{theme}")
    tab.close()
    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "blob:", "data:"))] == []


def look(tab: Any, name: str) -> None:
    """Keep a picture where RESBENCH_SCREENSHOTS says, for people."""
    if folder := os.environ.get("RESBENCH_SCREENSHOTS"):
        tab.evaluate("for (const one of document.querySelectorAll('.fold, .claim')) one.open = false")
        tab.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def drawn(tab: Any) -> None:
    """All figures, as if somebody had looked at each."""
    for chart in tab.locator(".chart").all():
        chart.scroll_into_view_if_needed()
    tab.wait_for_function("[...document.querySelectorAll('.chart')].every(one => one.dataset.drawn)")


MARKS = ("symbol path", "line path", "rect path", "rule line", "area path", "text text")
TOO_WIDE = """() => [...document.querySelectorAll('svg.marks')]
    .filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.closest('figure').id)"""


def test_it_fits_shows_every_figure_and_is_accessible(opened: Opened, made: Made) -> None:
    tab = opened.tab
    drawn(tab)
    assert opened.number(".claim") > 100
    tab.evaluate("for (const one of [...document.querySelectorAll('.fold, .claim')].slice(0, 40)) one.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]
    assert tab.evaluate(TOO_WIDE) == []
    for name, has_chart in made.drawn.items():
        marks = opened.number(", ".join(f"#{name} .mark-{kind}" for kind in MARKS))
        assert (marks > 0) is has_chart, name
        assert has_chart or opened.number(f"#{name} .absent code") > 0, name
    assert serious_issues(tab) == []


def serious_issues(tab: Any) -> list[Any]:
    """What axe-core finds, with the first places of each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(tab).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in serious]


@pytest.fixture
def desk(chromium: Any, made: Made) -> Iterator[Any]:
    tab = chromium.new_page(viewport={"width": 1400, "height": 900})
    tab.set_default_timeout(10_000)
    tab.goto(made.path.as_uri())
    yield tab
    tab.close()


def shown(tab: Any) -> list[str]:
    found: list[str] = tab.eval_on_selector_all(".claim:not([hidden])", "all => all.map(one => one.id)")
    return found


def test_filters(desk: Any) -> None:
    every = shown(desk)
    desk.fill("#words", "VGG single")
    some = shown(desk)
    assert 0 < len(some) < len(every)
    assert all("vgg" in one for one in some if "single-delete-vgg" in one)
    assert desk.inner_text("#found") == f"{len(some)} of {len(every)} verdicts"
    desk.click("button[type=reset]")
    desk.wait_for_function(f"document.getElementById('found').value === '{len(every)} verdicts'")
    assert shown(desk) == every
    desk.uncheck("input[value=HOLDS]")
    statuses = desk.eval_on_selector_all(".claim:not([hidden])", "all => all.map(one => one.dataset.status)")
    assert statuses
    assert "HOLDS" not in statuses
    desk.click("button[type=reset]")
    desk.wait_for_function(f"document.getElementById('found').value === '{len(every)} verdicts'")
    desk.select_option("#paper", "he2016")
    desk.select_option("#kind", "exact")
    assert set(desk.eval_on_selector_all(".group:not([hidden])", "all => all.map(one => one.id)")) == {"paper-he2016"}


def test_a_link_opens_its_claim_though_it_is_filtered_away(desk: Any) -> None:
    assert not desk.locator("[id='claim-veit-paths-2n@any']").is_visible()  # papers are folded
    desk.fill("#words", "nothing is called so")
    assert shown(desk) == []
    desk.evaluate("location.hash = 'claim-veit-paths-2n@any'")
    desk.wait_for_selector("[id='claim-veit-paths-2n@any'][open]")
    assert desk.locator("[id='claim-veit-paths-2n@any'] .statement").is_visible()


def test_keyboard_and_theme(desk: Any) -> None:
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.textContent") == "Skip to the verdicts"
    desk.keyboard.press("/")
    assert desk.evaluate("document.activeElement.id") == "words"
    colour = "getComputedStyle(document.body).backgroundColor"
    before = desk.evaluate(colour)
    desk.click("#theme")
    assert desk.evaluate(colour) != before
    assert desk.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_figure_tells_values_and_gives_its_table(desk: Any) -> None:
    drawn(desk)
    with desk.expect_download() as download:
        desk.click("#veit-fig3 .csv")
    assert download.value.suggested_filename == "veit-fig3.csv"
    assert len(Path(download.value.path()).read_text().splitlines()) > 50
    desk.locator("#veit-fig3 .mark-symbol path").first.hover(force=True)
    desk.wait_for_selector("#vg-tooltip-element.visible td.value")


def test_it_is_readable_without_scripts(chromium: Any, made: Made) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1400, "height": 900})
    tab = context.new_page()
    tab.goto(made.path.as_uri())
    assert tab.locator("h1").is_visible()
    tab.click("#paper-veit2016 .fold > summary")
    tab.click("[id='claim-veit-paths-2n@any'] summary")
    assert tab.locator("[id='claim-veit-paths-2n@any'] .statement").is_visible()
    assert not tab.locator("#filter").is_visible()
    context.close()


def test_size(made: Made) -> None:
    assert made.path.stat().st_size < LARGEST
