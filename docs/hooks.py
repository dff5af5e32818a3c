"""What `mkdocs build` does beyond mkdocs.yml: the order of the pages, the repository's own Markdown files as pages, and
links that work on GitHub and in the site alike.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]

NAV: dict[str, list[str]] = {
    "": ["index.md"],
    "Using it": [
        "judging.md",
        "own-model.md",
        "your-repository.md",
        "ci.md",
        "command-line.md",
        "lesions.md",
        "paths.md",
        "processes.md",
        "report.md",
        "figures.md",
        "sequential.md",
        "waivers.md",
        "throughput.md",
        "examples/own-model.md",
        "examples/ci.md",
        "examples/cifar10-public.md",
    ],
    "What is behind it": [
        "claims.md",
        "measuring.md",
        "training.md",
        "findings.md",
        "survey.md",
        "faults.md",
        "zoo.md",
        "records.md",
        "speed.md",
        "limits.md",
        "wanted.md",
    ],
    "Python": [
        "reference/resbench.md",
        "reference/adapters.md",
        "reference/claims.md",
        "reference/results.md",
        "reference/networks.md",
        "reference/targets.md",
        "reference/figures.md",
    ],
    "The project": ["contributing.md", "changelog.md"],
}
"""Section to pages, in order.  A page that is not there yet is left out; one that is not listed is a warning."""

TITLES = {
    "index.md": "Overview",
    "examples/own-model.md": "Example: a repository",
    "examples/ci.md": "Example: workflows",
    "examples/cifar10-public.md": "Example: six networks",
    "wanted.md": "What is wanted",
    "contributing.md": "Contributing",
}
"""Shorter than the page's own."""

_LISTED = {page for pages in NAV.values() for page in pages}

FROM_REPOSITORY = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "baselines/WANTED.md": "wanted.md",
    "examples/ci/README.md": "examples/ci.md",
    "examples/own_model/README.md": "examples/own-model.md",
    "examples/cifar10_public/README.md": "examples/cifar10-public.md",
}
"""Files outside docs/ that are pages of the site."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's own pages, and set the navigation."""
    for source, page in FROM_REPOSITORY.items():
        if (REPOSITORY / source).exists():
            text = (REPOSITORY / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    there = {file.src_uri for file in files.documentation_pages()}
    config.nav = _nav(there)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links, which are right on GitHub, made right in the site; to what is no page, the words alone."""
    source = source_of(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        image, words, target, anchor = match[1], match[2], match[3], match[4] or ""
        found = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        uri = FROM_REPOSITORY.get(found, found.removeprefix("docs/") if found.startswith("docs/") else None)
        if uri in _LISTED and files.get_file_from_path(uri) is None:
            return words  # as in the navigation
        if uri is not None:
            here = posixpath.dirname(page.file.src_uri) or "."
            return f"{image}[{words}]({posixpath.relpath(uri, here)}{anchor})"
        return words if os.path.exists(REPOSITORY / found) and not image else match[0]

    return _LINK.sub(rewritten, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The theme's search is a dialog without a name, which screen readers need."""
    return output.replace('role="dialog">', 'role="dialog" aria-label="Search">')


def source_of(page: str) -> str:
    """The file of the repository that a page of the site is made from."""
    return next((source for source, uri in FROM_REPOSITORY.items() if uri == page), f"docs/{page}")


def _nav(there: set[str]) -> list[Any]:
    sections: list[Any] = []
    for title, pages in NAV.items():
        found = [{TITLES[page]: page} if page in TITLES else page for page in pages if page in there]
        sections += found if not title else [{title: found}] if found else []
    return sections
