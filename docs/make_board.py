"""Draws docs/images/board.svg, the board of the digits' claims as a terminal shows it: `python docs/make_board.py`."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

import resbench
from resbench.reports.board import table

WIDTH = 96
HERE = Path(__file__).resolve().parent
_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def drawn(board: str) -> str:
    """The text of a terminal, with its colours, as an SVG that loads no font."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(board))
    svg = console.export_svg(title="resbench check --setting digits --verbose", unique_id="board")
    return _FROM_ELSEWHERE.sub("", svg).replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


def main() -> None:
    """Judge the digits (half a minute), and draw their board."""
    verdicts = resbench.check(settings=["digits"])
    board = table(verdicts, resbench.load_claims(), width=WIDTH, colour=True)
    (HERE / "images" / "board.svg").write_text(drawn(board), encoding="utf-8")


if __name__ == "__main__":
    main()
