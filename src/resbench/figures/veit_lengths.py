"""Veit 2016, figures 6(a) and 7: how long paths are, and which are left after deletions.  Arithmetic."""

from __future__ import annotations

import altair as alt
import pandas as pd

from resbench.experiments.combinatorics import length_counts, remaining_curve, share_of_lengths
from resbench.figures.marks import tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import VEIT, Sources
from resbench.figures.theme import BLUE, GREEN, VERMILLION, YELLOW

__all__ = ["figure_6a", "figure_7"]

_UNITS = 54
_EFFECTIVE = (5, 17)
_DELETED = (1, 10, 20)
_LENGTH = "path length (units passed)"


def figure_6a(sources: Sources) -> Figure:
    """How many of the 2^54 paths have each length."""
    del sources  # arithmetic
    counts = length_counts(_UNITS)
    whole = 2**_UNITS
    frame = pd.DataFrame(
        {
            "length_units": range(_UNITS + 1),
            "paths": [float(count) for count in counts],
            "share_percent": [100.0 * count / whole for count in counts],
            "paths_exact": [str(count) for count in counts],
        }
    )
    low, high = 19, 35
    share = 100 * float(share_of_lengths(_UNITS, low, high))
    frame["within"] = [
        f"{low} to {high} units" if low <= k <= high else "shorter or longer" for k in frame.length_units
    ]
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("length_units:O", title=_LENGTH).axis(grid=False, values=list(range(0, 55, 6)), labelAngle=0),
            y=alt.Y("paths:Q", title="paths (number)").axis(format=".1e"),
            color=alt.Color("within:N", title=None).scale(
                domain=[f"{low} to {high} units", "shorter or longer"], range=[BLUE, YELLOW]
            ),
            tooltip=tooltips(length_units="length|d", paths_exact="paths", share_percent="share (%)|.4f"),
        )
        .properties(height=240)
    )
    return Figure(
        "veit-fig6a",
        "veit2016",
        "Most of the 2^54 paths pass about half of the units",
        f"How many of the {whole:,} paths through 54 units pass each number of them: binomial coefficients, exact; the "
        f"paper's figure shows the same formula. {share:.2f} % of them pass {low} to {high} units.",
        f"Bar chart, a bell around 27 units with a peak of {counts[27]:,} paths. {share:.2f} % of the paths pass "
        f"{low} to "
        f"{high} units; one path passes none, one all 54.",
        (f"Published: {VEIT}, section 5 and figure 6(a), whose formula this is", "Computed: C(54, k), integers"),
        frame,
        chart,
    )


def figure_7(sources: Sources) -> Figure:
    """The paths of each length that are left after deleting units."""
    del sources  # arithmetic
    rows = [
        {"deleted_units": str(deleted), "length_units": length, "left_percent": 100.0 * float(share)}
        for deleted in _DELETED
        for length, share in enumerate(remaining_curve(_UNITS, deleted))
    ]
    frame = pd.DataFrame(rows)
    names = [str(deleted) for deleted in _DELETED]
    base = alt.Chart(frame)
    x = alt.X("length_units:Q", title=_LENGTH).scale(domain=[0, 54], nice=False).axis(grid=False)
    y = alt.Y("left_percent:Q", title="paths left (%)").scale(domain=[0, 100])
    colour = alt.Color("deleted_units:N", title="units deleted of 54").scale(
        domain=names, range=[BLUE, VERMILLION, GREEN]
    )
    dash = alt.StrokeDash("deleted_units:N", title="units deleted of 54").scale(
        domain=names, range=[[1, 0], [6, 3], [2, 2]]
    )
    tips = tooltips(deleted_units="units deleted", length_units="length|d", left_percent="paths left (%)|.4f")
    ends = pd.DataFrame({"from": [_EFFECTIVE[0]], "to": [_EFFECTIVE[1]]})
    band = alt.Chart(ends).mark_rect(color=YELLOW, opacity=0.18).encode(x=alt.X("from:Q"), x2=alt.X2(field="to"))
    curves = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    # Invisible points: what the pointer has to meet for the values.
    hits = base.mark_point(size=60, opacity=0).encode(x=x, y=y, tooltip=tips)
    left = {(row["deleted_units"], row["length_units"]): row["left_percent"] for row in rows}
    told = "; ".join(
        f"{deleted} deleted: {left[str(deleted), 5]:.2f} % of the paths of length 5, {left[str(deleted), 17]:.3g} % "
        "of length 17"
        for deleted in _DELETED
    )
    return Figure(
        "veit-fig7",
        "veit2016",
        "Deleting units removes long paths first",
        "Share of the paths of each length that are left after deleting 1, 10 and 20 of 54 units: C(54 - d, x) / "
        "C(54, x), exact; "
        "the paper's figure shows the same formula. Shaded: the effective paths, 5 to 17 units.",
        f"Three falling curves. {told}.",
        (f"Published: {VEIT}, figure 7, whose formula this is", "Computed: ratios of binomial coefficients, exact"),
        frame,
        alt.layer(band, curves, hits).properties(height=260),
    )
