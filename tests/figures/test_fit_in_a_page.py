"""What a page's script does to a figure's specification is what Python does."""

from __future__ import annotations

import shutil
from importlib.resources import files

import pytest
from figure_fakes import built

from resbench.figures.theme import fitted, specification

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (300, 360, 639, 640, 700, 899, 900, 1100, 1400)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_script_fits_figures_as_python_does() -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_path is None:
        pytest.skip("no Chromium on this machine")
    script = files("resbench").joinpath("figures/fit.js").read_text(encoding="utf-8")
    names = ("veit-fig3", "veit-fig7", "he-table1", "huang-fig8", "lesion-interactions", "kill-matrix")
    specs = [specification(built(name).chart) for name in names]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=script)
        for name, spec in zip(names, specs, strict=True):
            for width in WIDTHS:
                assert page.evaluate("([spec, width]) => resbenchFit(spec, width)", [spec, width]) == fitted(
                    spec, width
                ), name
        browser.close()
