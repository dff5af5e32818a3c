"""The kill matrix: which claims and tests saw which seeded fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from resbench.errors import Damaged, NotMeasured
from resbench.faults.fault import WHERE
from resbench.figures.marks import beside, tooltips
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Sources
from resbench.figures.theme import BLUE
from resbench.reports.words import clean

__all__ = ["kill_matrix"]

_FILE = "kill-matrix.json"
_COMMAND = "resbench faults --format json > baselines/kill-matrix.json"
_GROUPS = ("Veit 2016", "He 2016", "Huang 2016", "any unit", "against another", "tests")
_OF = {"veit": 0, "he": 1, "resnet": 1, "hwy": 1, "huang": 2, "unit": 3, "against": 4}
_BROKEN = {
    "network": "network",
    "training": "training",
    "experiment": "experiments",
    "judge": "judging",
    "records": "records",
}
_HEADS = 24
"""Rows below the faults, for the names of the groups."""

_BORDER: dict[str, Any] = {"strokeDash": [3, 3], "opacity": 0.5}
_TITLE = "Every seeded fault is seen by a claim or a test"


def kill_matrix(sources: Sources) -> Figure:
    """Faults by claims, and how many of each kind saw those of each place."""
    line = f"Recorded: baselines/{_FILE} (`resbench faults --format json`)"
    try:
        document = sources.document(_FILE)
    except NotMeasured:
        missing = (Missing("the kill matrix: not recorded", _COMMAND),)
        return Figure(
            "kill-matrix",
            "faults",
            _TITLE,
            "Seeded faults.",
            "Nothing is recorded.",
            (line,),
            pd.DataFrame(),
            None,
            missing,
        )
    try:
        frame = _frame(document["faults"])
        survivors, undecided = list(document["survivors"]), [*document["undecided"], *document["errors"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        way_out = "restore the file from the repository, or make it anew with `resbench faults --format json`"
        raise Damaged(
            sources.baselines() / _FILE, f"is no kill matrix ({type(error).__name__}: {error})", way_out
        ) from error
    kills = frame[frame.killer != ""]
    faults, killed = frame.fault.nunique(), kills.fault.nunique()
    alone = int((kills.groupby("fault").size() == 1).sum())
    killers = kills.killer.nunique()
    fate = f"{killed} of {faults} were seen" + (f"; not seen: {', '.join(map(clean, survivors))}" if survivors else "")
    return Figure(
        "kill-matrix",
        "faults",
        _TITLE if killed == faults else f"{killed} of {faults} seeded faults are seen",
        f"{faults} small faults of the kind that real code has had were put into resbench, one at a time. Left: how "
        "many of each place's faults are seen by at "
        "least one claim or test of each group. Right: a dot for every fault (row) and claim or test (column) that "
        f"fails because of it; point at it for both names. {fate}; "
        f"{alone} by one claim or test alone.",
        f"Heat map and dot matrix. {fate}. {killers} claims and tests see at least one. "
        + "; ".join(f"{_BROKEN[where]}: {frame[frame['where'] == where].fault.nunique()} faults" for where in WHERE)
        + ".",
        (line,),
        frame,
        beside([_summary(frame), _dots(kills)], room=125),
        tuple(
            Missing(f"the fault {name}: not tried, or nobody could see it", f"resbench faults --fault {name}")
            for name in undecided
        ),
    )


def _frame(faults: list[Mapping[str, Any]]) -> pd.DataFrame:
    """A row for every fault and what killed it; a fault that nothing killed has one row without a killer."""
    rows: list[dict[str, Any]] = []
    ordered = sorted(faults, key=lambda fault: WHERE.index(fault["where"]))
    for number, fault in enumerate(ordered, start=1):
        for killer in dict.fromkeys(_short(clean(id)) for id in fault["killed_by"]) or [""]:
            group = _GROUPS[_group(killer)] if killer else ""
            rows.append(
                {
                    "fault": clean(fault["name"]),
                    "where": fault["where"],
                    "what": clean(fault["what"]),
                    "row": number,
                    "killer": killer,
                    "group": group,
                }
            )
    frame = pd.DataFrame(rows)
    # Columns in the order of the groups, in each those that kill most first.
    counts = frame[frame.killer != ""].groupby("killer").size()
    ranked = sorted(counts.index, key=lambda killer: (_group(killer), -counts[killer], killer))
    places = {killer: place for place, killer in enumerate(ranked, start=1)}
    frame["column"] = [places.get(killer) for killer in frame.killer]
    return frame


def _short(id: str) -> str:
    """A claim without its setting; of a test its file and name."""
    return id.rsplit("/", 1)[-1] if ".py" in id else id.split("@")[0]


def _group(killer: str) -> int:
    return _OF.get(killer.split("-")[0], 5) if ".py" not in killer else 5


def _summary(frame: pd.DataFrame) -> Any:
    kills = frame[frame.killer != ""]
    counts = kills.groupby(["where", "group"], sort=False).fault.nunique().reset_index(name="faults")
    sizes = frame.groupby("where").fault.nunique()
    counts["of"] = [int(sizes[where]) for where in counts["where"]]
    counts["share"] = counts.faults / counts.of
    counts["broken"] = [f"{_BROKEN[where]} ({sizes[where]})" for where in counts["where"]]
    rows = [f"{_BROKEN[where]} ({sizes[where]})" for where in WHERE if where in sizes]
    base = alt.Chart(counts)
    x = alt.X("group:N", title="seen by claims of").scale(domain=list(_GROUPS)).axis(labelAngle=-35, labelOverlap=False)
    y = alt.Y("broken:N", title=None).scale(domain=rows).axis(minExtent=90, maxExtent=90)
    tips = tooltips(broken="what is broken (faults)", group="seen by", faults="faults seen|d", of="of|d")
    colour = alt.Color("share:Q", legend=None).scale(scheme="blues", domain=[0, 1])
    ink = alt.when(alt.datum.share > 0.55).then(alt.value("#ffffff")).otherwise(alt.value("#111111"))
    return alt.layer(
        base.mark_rect().encode(x=x, y=y, color=colour, tooltip=tips),
        base.mark_text(fontSize=11).encode(x=x, y=y, text="faults:Q", color=ink, tooltip=tips),
    ).properties(title="Faults seen, by place and by who sees them", height=34 * len(rows))


def _dots(kills: pd.DataFrame) -> Any:
    last, widest = int(kills["row"].max()), int(kills["column"].max())
    x = alt.X("column:Q", title="claim or test (number)").scale(domain=[0, widest + 1], nice=False)
    x = x.axis(grid=False, format="d")
    y = alt.Y("row:Q", title="fault (number)").scale(domain=[last + _HEADS, 0], nice=False)
    y = y.axis(grid=False, format="d", values=list(range(0, last + 1, 25)))
    tips = tooltips(fault="fault", what="what is wrong", killer="seen by", group="of")
    dots = alt.Chart(kills).mark_point(filled=True, opacity=1, color=BLUE, size=14).encode(x=x, y=y, tooltip=tips)
    ends = kills.groupby("where", sort=False)["row"].agg(["min", "max"]).reset_index()
    borders = alt.Chart(pd.DataFrame({"row": ends["max"] + 0.5})).mark_rule(**_BORDER).encode(y=y)
    places = kills.groupby("group")["column"].agg(["min", "max"]).reset_index().sort_values("max")
    sides = alt.Chart(pd.DataFrame({"column": places["max"][:-1] + 0.5})).mark_rule(**_BORDER).encode(x=x)
    named = pd.DataFrame({"row": ends["min"], "name": [_BROKEN[where] for where in ends["where"]], "column": widest})
    labels = alt.Chart(named).mark_text(align="right", baseline="top", dy=3, fontSize=10, opacity=0.8)
    heads = pd.DataFrame(
        {"name": places.group, "column": (places["min"] + places["max"]) / 2, "row": last + _HEADS - 1}
    )
    below = alt.Chart(heads).mark_text(angle=270, align="left", fontSize=10, opacity=0.8)
    layers = (borders, sides, labels.encode(x=x, y=y, text="name:N"), below.encode(x=x, y=y, text="name:N"), dots)
    return alt.layer(*layers).properties(title="Every fault by everything that sees it", height=560)
