"""The site: builds without a warning, has every page, loads nothing from elsewhere, and searches from a folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"

_TOOLS = ("mkdocs", "material", "mkdocstrings_handlers")
needs_mkdocs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in _TOOLS), reason="not installed: pip install '.[docs]'"
)

OTHERS = {"your-repository.md", "ci.md", "command-line.md", "figures.md", "report.md", "examples/ci.md"}
"""Pages that the navigation may name before they are there."""


def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, by a process of its own, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", REPOSITORY / "mkdocs.yml", "-d", folder],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


class Assets(HTMLParser):
    """What a page loads, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        there = {name: value or "" for name, value in attrs}
        self.loaded += [there[name] for name in ("src", "srcset", "poster") if name in there]
        if tag == "link" and there.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(there.get("href", ""))


@needs_mkdocs
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = Assets()
        found.feed(page.read_text())
        assert found.loaded
        assert [asset for asset in found.loaded if re.match(r"(?:https?:)?//", asset)] == [], page
    for sheet in site.rglob("*.css"):
        assert re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", sheet.read_text()) == [], sheet


@needs_mkdocs
def test_the_reference_has_what_is_public(site: Path) -> None:
    import resbench
    import resbench.adapters
    import resbench.claims

    anchors = set(re.findall(r'id="([\w.]+)"', "".join(p.read_text() for p in (site / "reference").glob("*.html"))))
    last = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith("resbench.")}
    for module in (resbench, resbench.adapters, resbench.claims):
        assert set(module.__all__) - last - {"__version__"} == set()


@needs_mkdocs
def test_roles_of_docstrings_are_links(site: Path) -> None:
    text = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    assert not re.search(r":(?:func|class|mod|meth|data|attr|exc):", text)
    assert "<autoref" not in text
    assert '<a class="autorefs autorefs-internal"' in text


@needs_mkdocs
def test_the_navigation_is_the_folder() -> None:
    listed = [page for pages in hooks().NAV.values() for page in pages]
    assert len(listed) == len(set(listed))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | set(hooks().FROM_REPOSITORY.values())
    assert there - set(listed) == set()
    assert set(listed) - there <= OTHERS


def test_links_lead_somewhere_on_github() -> None:
    """Relative to the file, as GitHub takes them; pages that others write may be missing yet."""
    files = [*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("examples/*/README.md")]
    dead = []
    for file in files:
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)\s#]+)", file.read_text()):
            if not (file.parent / target).exists() and Path(target).name not in OTHERS:
                dead.append(f"{file.relative_to(REPOSITORY)}: {target}")
    assert dead == []


def test_readme_is_a_front_page() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert 120 <= len(text.splitlines()) <= 220
    ((words, picture),) = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text)
    assert len(words.split()) > 8
    assert (REPOSITORY / picture).stat().st_size > 10_000


def test_contributing_names_every_folder() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    package = REPOSITORY / "src" / "resbench"
    folders = {f"src/resbench/{init.parent.name}/" for init in package.glob("*/__init__.py")}
    folders |= {"docs/", "examples/", "benchmarks/", "baselines/"}
    assert [folder for folder in sorted(folders) if f"`{folder}`" not in text] == []


@needs_mkdocs
def test_pages_in_a_browser(site: Path) -> None:
    """From the folder, without a network: no error, nothing wider than a phone, a search that finds, and contrast."""
    api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    errors: list[str] = []

    def watch(page: Any) -> None:
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)

    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 360, "height": 800})
        watch(page)
        for name in ("index", "judging", "training", "reference/resbench"):
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, name
        page.set_viewport_size({"width": 1400, "height": 900})
        page.goto((site / "index.html").as_uri())
        page.locator("input.md-search__input").fill("waiver")
        page.locator(".md-search-result__item a").first.wait_for(timeout=15_000)
        for scheme in ("light", "dark"):
            page = chromium.new_page(color_scheme=scheme)
            page.goto((site / "index.html").as_uri())
            found = axe.run(page).response["violations"]
            assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == [], scheme
        chromium.close()
    assert errors == []
