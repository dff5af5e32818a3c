"""A badge for a README: how a run of the claims ended, as an SVG that fetches nothing.

Colours have at least 4.5 times the contrast of their white text, and the words say all that they do.
"""

from __future__ import annotations

from collections import Counter
from xml.sax.saxutils import escape, quoteattr

from resbench.judge import WORST_FIRST
from resbench.judging.compare import Status
from resbench.judging.recorded import RecordedRun
from resbench.reports.words import clean, cut

__all__ = ["badge_svg", "badge_text"]

GREEN, RED, AMBER, GREY = "#1a7f37", "#b62324", "#9a6700", "#57606a"
_LABEL = "#30363d"
_COLOURS = {
    Status.ERROR: RED,
    Status.VIOLATED: RED,
    Status.STALE: AMBER,
    Status.INCONCLUSIVE: AMBER,
    Status.NOT_MEASURED: GREEN,
    Status.WAIVED: GREEN,
    Status.HOLDS: GREEN,
}
_WORDS = {
    Status.ERROR: "failed to run",
    Status.VIOLATED: "violated",
    Status.STALE: "stale",
    Status.INCONCLUSIVE: "inconclusive",
    Status.NOT_MEASURED: "not measured",
    Status.WAIVED: "waived",
}
_NARROW, _WIDE = set(" fijlrt.,:;'|!()[]"), set("mwMW%@")
_PAD, _HEIGHT = 6, 20
_LONGEST_LABEL = 40


def badge_text(run: RecordedRun) -> tuple[str, str]:
    """What the badge says, and its colour: ``202 hold``, ``200 hold, 2 violated``; ``not measured`` of nothing.

    Green only where claims hold and nothing is violated, inconclusive, stale or an error, nor a waiver fails the run.
    """
    counts = Counter(verdict.status for verdict in run.verdicts)
    holds = counts[Status.HOLDS]
    worst = next((status for status in WORST_FIRST if counts[status]), Status.NOT_MEASURED)
    red = sum(waiver.red for waiver in run.waivers)
    parts = [f"{holds} hold{'s' if holds == 1 else ''}"] if holds else []
    if len(run.verdicts) == counts[Status.NOT_MEASURED]:
        return "not measured", AMBER if red else GREY
    parts += [f"{counts[status]} {word}" for status, word in _WORDS.items() if counts[status]]
    parts += [f"{red} waiver{'' if red == 1 else 's'} to mend"] if red else []
    colour = _COLOURS[worst]
    if colour == GREEN and (red or not holds):
        colour = AMBER if red else GREY
    return ", ".join(parts), colour


def badge_svg(run: RecordedRun, label: str = "claims") -> str:
    """The badge as an SVG document; ``label`` is what stands on its left, any text."""
    text, colour = badge_text(run)
    left = cut(clean(label), _LONGEST_LABEL) or "claims"
    widths = [_width(one) + 2 * _PAD for one in (left, text)]
    total, said = sum(widths), f"{left}: {text}"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{_HEIGHT}" role="img" aria-label={quoteattr(said)}>
 <title>{escape(said)}</title>
 <rect width="{total}" height="{_HEIGHT}" rx="3" fill="{colour}"/>
 <path d="M3 0H{widths[0]}V{_HEIGHT}H3A3 3 0 0 1 0 {_HEIGHT - 3}V3A3 3 0 0 1 3 0Z" fill="{_LABEL}"/>
 <g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" aria-hidden="true">
  {_placed(left, _PAD)}
  {_placed(text, widths[0] + _PAD)}
 </g>
</svg>
"""


def _placed(text: str, start: int) -> str:
    """The text, drawn to the width that was reckoned with, whatever the font."""
    return f'<text x="{start}" y="14" textLength="{_width(text)}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'


def _width(text: str) -> int:
    """About the pixels of a text in Verdana at 11 pixels."""
    return round(sum(4.3 if letter in _NARROW else 10.0 if letter in _WIDE else 6.8 for letter in text))
