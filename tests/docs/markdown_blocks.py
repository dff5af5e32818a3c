"""The code blocks of README and docs, with what the HTML comments right before them say of how they are tested.

``<!-- parsed: REASON -->``: its commands are not run, but known to exist with these options; ``parsed 1 4-6``: only
those, counted from 1.  ``<!-- exit 1 -->``: how the last command ends.  ``<!-- given: NAMES -->``: what a Python block
takes as there.  ``<!-- excerpt DATE: OF WHAT -->``: output that is shown, and not made anew.

markdown-it-py (which rich brings) reads the Markdown; libraries that run examples (Sybil, pytest-examples) know no
shell blocks, which most of these are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[2]

_COMMENT = re.compile(r"<!--\s*(\w+)\s*([^:]*?)\s*(?::\s*(.+?)\s*)?-->", re.DOTALL)
_ABOUT_BLOCKS = {"parsed", "exit", "given", "excerpt"}


@dataclass(frozen=True)
class Block:
    """``line``: of the first line of its text, from 1.  ``notes``: (what, of what, said) for each comment."""

    page: str
    line: int
    language: str
    text: str
    notes: tuple[tuple[str, str, str], ...] = ()

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def noted(self, what: str) -> list[tuple[str, str]]:
        return [(of, said) for kind, of, said in self.notes if kind == what]


def pages() -> list[Path]:
    """Every Markdown file that users read, in the repository or in the site."""
    whole = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "baselines/WANTED.md")]
    return [*whole, *sorted(REPOSITORY.glob("docs/**/*.md")), *sorted(REPOSITORY.glob("examples/*/README.md"))]


@cache
def blocks() -> list[Block]:
    return [block for page in pages() for block in blocks_of(page.read_text(), str(page.relative_to(REPOSITORY)))]


def blocks_of(text: str, page: str) -> list[Block]:
    """The blocks of one page.

    Raises:
        ValueError: a comment before a block that says nothing of it, or a block that is indented instead of fenced.
    """
    found: list[Block] = []
    notes: list[tuple[str, str, str]] = []
    for token in MarkdownIt("commonmark").parse(text):
        begin = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            notes += [(kind, of, said or "") for kind, of, said in _COMMENT.findall(token.content)]
        elif token.type == "fence":
            for note in notes:
                _check(note, f"{page}:{begin}")
            found.append(Block(page, begin + 1, token.info.strip(), token.content, tuple(notes)))
            notes = []
        elif token.type == "code_block":
            raise ValueError(f"{page}:{begin}: a block without ``` has no language; nothing can be done with it")
        elif any(kind in _ABOUT_BLOCKS for kind, _, _ in notes):
            raise ValueError(f"{page}:{begin}: the comment before is about a code block, and here is none")
        else:
            notes = []
    return found


def mentions() -> list[tuple[str, str]]:
    """(page, code) for every ``resbench ...`` within a sentence."""
    found = []
    for page in pages():
        for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
            spans = [child.content for child in token.children or [] if child.type == "code_inline"]
            found += [(str(page.relative_to(REPOSITORY)), span) for span in spans if span.startswith("resbench ")]
    return found


def _check(note: tuple[str, str, str], place: str) -> None:
    kind, of, said = note
    if kind not in _ABOUT_BLOCKS:
        raise ValueError(f"{place}: {kind!r} is not one of {sorted(_ABOUT_BLOCKS)}")
    if kind == "excerpt" and not re.fullmatch(r"20\d\d-\d\d(-\d\d)?", of):
        raise ValueError(f"{place}: an excerpt has a date")
    if kind == "parsed" and not re.fullmatch(r"[\d\s-]*", of):
        raise ValueError(f"{place}: parsed, then numbers of commands, such as 1 4-6, then a colon and the reason")
    if kind in {"parsed", "excerpt"} and len(said.split()) < 2:
        raise ValueError(f"{place}: {kind} needs a reason: <!-- {kind}: needs a GPU -->")
