"""asv's site of made-up history, looked at in a browser that reaches nothing but the site."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asv_samples import ROOT, history, repository, slowed

from resbench.timing.asv_check import read_config
from resbench.timing.asv_export import export
from resbench.timing.asv_site import Site, publish

pytest.importorskip("asv")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Twelve commits; the pre-activation unit is 20 % slower from the ninth on."""
    folder = tmp_path_factory.mktemp("dashboard") / "repository"
    commits = repository(folder, 12)
    export(history(commits, slowed), folder / "baselines" / "asv", repository=folder)
    return publish(read_config(folder / "asv.conf.json"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are not what a test's output is for."""


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """The site, served as `asv preview` does."""
    handler = functools.partial(Quiet, directory=str(site.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    """A page of headless Chromium; whatever it asks of other hosts fails the test."""
    foreign: list[str] = []
    errors: list[str] = []

    def only_the_site(route: Any) -> None:
        if route.request.url.startswith(address):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    opened = chromium.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(10_000)
    opened.route("**/*", only_the_site)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert foreign == []
    assert errors == []


def look(page: Any, name: str) -> None:
    """Keep a picture where RESBENCH_SCREENSHOTS says, for people."""
    folder = os.environ.get("RESBENCH_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(500)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_site_counts_what_it_shows(site: Site) -> None:
    assert (site.benchmarks, site.graphs, site.regressions, site.online) == (2, 2, 1, ())


def test_grid_shows_the_suites(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".benchmark-container canvas")
    look(page, "grid")
    assert page.locator("#summarygrid-display h1").all_inner_texts() == ["networks", "units"]
    assert page.locator(".benchmark-container").count() == 2


def test_graph_has_a_point_for_every_commit(page: Any, address: str) -> None:
    page.goto(f"{address}#units.Step.track_cpu")
    page.wait_for_selector("#main-graph .flot-text")
    look(page, "graph")
    legend = page.locator("#main-graph .legend").inner_text()
    assert "preact 64@8 b32" in legend
    assert "original 64@8 b32" in legend
    series = page.evaluate("$('#main-graph').data('plot').getData().map(one => one.data.map(point => point[1]))")
    assert [len(points) for points in series] == [12, 12]
    slower = [points for points in series if points[-1] / points[0] > 1.1]
    assert len(slower) == 1


def test_injected_slowdown_is_listed(page: Any, address: str) -> None:
    page.goto(f"{address}#/regressions")
    rows = page.locator("#regressions-body tbody tr")
    rows.first.wait_for()
    look(page, "regressions")
    (row,) = [text for text in rows.all_inner_texts() if "x" in text]
    assert row.startswith("units.Step.track_cpu('preact 64@8 b32'")
    assert "1.20x" in row
    assert "2026-01-09" in row


def test_libraries_are_those_that_this_asv_asks_for() -> None:
    """A newer asv may want others: then its page would need a network, and `resbench export site` says so."""
    import asv

    index = (Path(asv.__file__).parent / "www" / "index.html").read_text()
    for path in (ROOT / "benchmarks" / "site").glob("*.*s"):
        assert f'/{path.name}"' in index, path.name
