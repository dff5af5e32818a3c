"""Whether lesions add up: the interaction of every two units' deletions."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resbench.figures.marks import tooltips
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Lacking, Sources, gathered
from resbench.lesions.results import paired_mean
from resbench.records.results import Result

__all__ = ["interactions", "pair_rows"]

_NETWORK, _UNITS = "preact-27", 27
_SHOWN = 99.0
"""Percentile of the sizes where the colours end: one pair must not make all others white."""

_OTHERS = (
    Missing(
        "CIFAR-10: pairs not measured",
        "resbench lesion cifar10_public:resnet56 --checkpoint FILE --data cifar10:ROOT --mode pairs",
    ),
)


def interactions(sources: Sources) -> Figure:
    """The matrix d(i, j) - d(i) - d(j) of the increases d of the test error."""
    found = sources.attempt("digits", _NETWORK, "pair_deletion")
    name, title = "lesion-interactions", "How far the effects of two deletions add up"
    sources_line = f"Measured, digits: {_NETWORK}, committed checkpoint, pair_deletion (published: nothing of the kind)"
    if isinstance(found, Lacking):
        return Figure(
            name,
            "lesions",
            title,
            "Every two units deleted.",
            "Nothing is measured.",
            (sources_line,),
            pd.DataFrame(),
            None,
            (*gathered([found]), *_OTHERS),
        )
    frame, images = pair_rows(found)
    upper = frame[frame.unit_i < frame.unit_j]
    differ = int(((upper.low_points > 0) | (upper.high_points < 0)).sum())
    strongest = upper.iloc[int(upper.interaction_points.abs().to_numpy().argmax())]
    return Figure(
        name,
        "lesions",
        _title(upper),
        f"For every two of the {_UNITS} units of {_NETWORK} (digits, {images:,} test images): what deleting both "
        "costs, less what each costs alone, in points "
        "of test error. Negative: together they cost less than the sum, as where the first deletion leaves little to "
        "lose. The colours end at the "
        f"{_SHOWN:g}th percentile of the sizes. Of {len(upper)} pairs, {differ} have a 95 % interval (paired, over "
        "the images; each by itself) that excludes 0.",
        f"Heat map, symmetric. Median size {upper.interaction_points.abs().median():.2f} points; the largest is "
        f"{strongest.interaction_points:+.1f} points, of units "
        f"{int(strongest.unit_i)} and {int(strongest.unit_j)}; {differ} of {len(upper)} differ from 0.",
        (sources_line,),
        frame,
        _chart(frame),
        _OTHERS,
    )


def pair_rows(found: Result) -> tuple[pd.DataFrame, int]:
    """Both halves of the symmetric matrix, units counted from 1; how many images there were."""
    wrong = np.concatenate([np.asarray(member["wrong"]) for member in found], axis=1)
    pairs: NDArray[np.int64] = np.asarray(found[0]["pairs"])
    whole, count = wrong[0].astype(float), int(pairs.max()) + 1
    rows: list[dict[str, Any]] = []
    for (i, j), both in zip(pairs.tolist(), wrong[1 + count :], strict=True):
        values = both.astype(float) - wrong[1 + i] - wrong[1 + j] + whole
        low, high = paired_mean(values)
        row = {
            "interaction_points": 100.0 * float(values.mean()),
            "low_points": low,
            "high_points": high,
            "both_percent": 100.0 * float(both.mean()),
        }
        for first, second in ((i, j), (j, i)):
            alone = {
                "first_percent": 100.0 * float(wrong[1 + first].mean()),
                "second_percent": 100.0 * float(wrong[1 + second].mean()),
            }
            rows.append({"unit_i": first + 1, "unit_j": second + 1, **row, **alone})
    return pd.DataFrame(rows).sort_values(["unit_i", "unit_j"], ignore_index=True), wrong.shape[1]


def _title(upper: pd.DataFrame) -> str:
    large = upper[upper.interaction_points.abs() >= 5.0]
    if not len(large):
        return "Two deletions cost about as much as both alone"
    early = (large.unit_i <= _UNITS // 3).mean()
    where = "nearly all with an early unit" if early > 0.75 else "here and there"
    return f"Most deletions add up; {len(large)} of {len(upper)} pairs, {where}, are 5 points or more off the sum"


def _chart(frame: pd.DataFrame) -> Any:
    most = float(np.percentile(frame.interaction_points.abs(), _SHOWN)) or 1.0
    units = list(range(1, _UNITS + 1))
    ticks = [1, 5, 10, 15, 20, 25]
    tips = tooltips(
        unit_i="unit i|d",
        unit_j="unit j|d",
        interaction_points="interaction (points)|+.2f",
        low_points="from|+.2f",
        high_points="to|+.2f",
        both_percent="error without both (%)|.2f",
        first_percent="without i (%)|.2f",
        second_percent="without j (%)|.2f",
    )
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("unit_i:O", title="deleted unit i (number)").scale(domain=units).axis(values=ticks, labelAngle=0),
            y=alt.Y("unit_j:O", title="deleted unit j (number)").scale(domain=units).axis(values=ticks),
            color=alt.Color("interaction_points:Q", title="interaction (points of error)")
            .scale(scheme="purpleorange", domain=[-most, most], domainMid=0, clamp=True, reverse=True)
            .legend(gradientLength=160),
            tooltip=tips,
        )
        .properties(height=380, usermeta={"most": 560})
    )
