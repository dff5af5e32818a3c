"""He 2016, tables 1 to 3, as forest plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from resbench.figures.forest import Row, forest_chart, measured_errors, published_row
from resbench.figures.marks import measured, published
from resbench.figures.model import Figure
from resbench.figures.sources import HE, Sources, gathered

__all__ = ["table_1", "table_2", "table_3"]

_PUBLISHED, _OURS = published("published"), measured("measured", 0)
_PAPER, _DIGITS, _HUNDRED = (
    "CIFAR-10 (the paper's images)",
    "Digits (another data set)",
    "CIFAR-100 (the paper's images)",
)
_TICKS = [0.5, 1, 2, 5, 10, 20, 50, 100]

_TABLE_1 = (
    ("identity (original)", "resnet110", "original"),
    ("no shortcut", "resnet110-scale-0-1", "scale-0-1"),
    ("shortcut x 0.5", "resnet110-scale-05-1", "scale-05-1"),
    ("both x 0.5", "resnet110-scale-05-05", "scale-05-05"),
    ("exclusive gate, bias 0", "resnet110-exclusive-gate-b0", "exclusive-gate-b0"),
    ("exclusive gate, bias -1", "resnet110-exclusive-gate-b1", ""),
    ("exclusive gate, bias -2", "resnet110-exclusive-gate-b2", ""),
    ("exclusive gate, bias -3", "resnet110-exclusive-gate-b3", ""),
    ("exclusive gate, bias -4", "resnet110-exclusive-gate-b4", ""),
    ("exclusive gate, bias -5", "resnet110-exclusive-gate-b5", ""),
    ("exclusive gate, bias -6", "resnet110-exclusive-gate-b6", "exclusive-gate-b6"),
    ("exclusive gate, bias -7", "resnet110-exclusive-gate-b7", ""),
    ("shortcut gate, bias 0", "resnet110-shortcut-gate-b0", "shortcut-gate-b0"),
    ("shortcut gate, bias -6", "resnet110-shortcut-gate-b6", "shortcut-gate-b6"),
    ("1x1 convolution", "resnet110-conv1x1", "conv1x1"),
    ("dropout 0.5", "resnet110-dropout", "dropout"),
)
_TABLE_2 = (
    ("110, original", "resnet110", "original"),
    ("110, BN after addition", "resnet110-bn-after-add", "bn-after-add"),
    ("110, ReLU before addition", "resnet110-relu-before-add", "relu-before-add"),
    ("110, ReLU-only pre-act.", "resnet110-relu-only-preact", "relu-only-preact"),
    ("110, full pre-act.", "resnet110-preact", "full-preact"),
    ("164, original", "resnet164", ""),
    ("164, BN after addition", "resnet164-bn-after-add", ""),
    ("164, ReLU before addition", "resnet164-relu-before-add", ""),
    ("164, ReLU-only pre-act.", "resnet164-relu-only-preact", ""),
    ("164, full pre-act.", "resnet164-preact", ""),
)
_TABLE_3 = (
    ("110, one-layer, original", "resnet110-1layer", ""),
    ("110, one-layer, pre-act.", "resnet110-1layer-preact", ""),
    ("110, original", "resnet110", "original"),
    ("110, pre-act.", "resnet110-preact", "full-preact"),
    ("164, original", "resnet164", ""),
    ("164, pre-act.", "resnet164-preact", ""),
    ("1001, original", "resnet1001", ""),
    ("1001, pre-act.", "resnet1001-preact", ""),
    ("218, 84 steps, original", "", "post-108"),
    ("218, 84 steps, pre-act.", "", "preact-108"),
)
_HONEST = (
    "The digits are another data set (8x8 pixels), with networks of 54 units, 4 to 16 channels wide, trained for 20 "
    "epochs on one half and tested on the other, 898 images: only the order of the rows can be compared, and each "
    "panel has its own axis. Bars: 95 % Wilson intervals over the test images; published values have none. A row "
    "with 'none' is neither published nor measured there. Both axes "
    "are logarithmic."
)


def table_1(sources: Sources) -> Figure:
    """Shortcuts other than the identity."""
    return _figure(
        sources,
        "he-table1",
        "table1",
        _TABLE_1,
        175,
        "The identity is the best shortcut, in the paper and on the digits",
        "Test error with each kind of shortcut; the paper: ResNet-110, CIFAR-10, median of 5 runs, where fail is an "
        "error above 20 %. " + _HONEST,
        "table 1",
    )


def table_2(sources: Sources) -> Figure:
    """Where the activations stand."""
    return _figure(
        sources,
        "he-table2",
        "table2",
        _TABLE_2,
        170,
        "BN after the addition has the highest error, full pre-activation the paper's lowest",
        "Test error with each order of BN, ReLU and addition; the paper: ResNet-110 and -164, CIFAR-10, median of 5 "
        "runs. " + _HONEST,
        "table 2",
    )


def table_3(sources: Sources) -> Figure:
    """Original against pre-activation units, by depth."""
    return _figure(
        sources,
        "he-table3",
        "table3-cifar10",
        _TABLE_3,
        165,
        "In the paper pre-activation is better at every depth, and most in the deepest network",
        "Test error of original and pre-activation units by number of layers; the paper: median of 5 runs. "
        + _HONEST
        + " The last two rows are ours alone: 108 units after the first 84 steps, where training is slowest.",
        "table 3",
        hundred="table3-cifar100",
    )


def _figure(
    sources: Sources,
    name: str,
    table: str,
    listed: Sequence[tuple[str, str, str]],
    room: int,
    title: str,
    caption: str,
    where: str,
    hundred: str = "",
) -> Figure:
    paper = sources.published("he2016")
    rows = [
        Row(label, {s: n for s, n in (("cifar10", theirs), ("digits", ours)) if n}) for label, theirs, ours in listed
    ]
    found = _published(_PAPER, paper[table], rows, "cifar10")
    axes = {
        _PAPER: _axis([5, 9] if table == "table2" else [5, 22], [5, 6, 7, 8, 9, 10, 12, 15, 20]),
        _DIGITS: _axis([0.5, 100], _TICKS),
    }
    if hundred:
        found += _published(_HUNDRED, paper[hundred], rows, "cifar10")
        axes = {
            _PAPER: _axis([4.5, 11], [5, 6, 7, 8, 9, 10]),
            _HUNDRED: _axis([22, 29], [22, 24, 26, 28]),
            _DIGITS: axes[_DIGITS],
        }
    own, lacking = measured_errors(sources, "cifar10", _PAPER, _OURS, rows)
    digits, missing = measured_errors(sources, "digits", _DIGITS, _OURS, rows)
    frame = pd.DataFrame([*found, *own, *digits])
    cited = " and ".join(str(paper[one]["citation"]).partition(": ")[2] for one in (table, hundred) if one)
    return Figure(
        name,
        "he2016",
        title,
        caption,
        _describe(frame),
        (
            f"Published: {HE}, {where} ({cited})",
            "Measured, digits: committed checkpoints, evaluation",
            *(("Measured, CIFAR-10: records of cifar10, evaluation",) if own else ()),
        ),
        frame,
        forest_chart(frame, [row.label for row in rows], (_PUBLISHED, _OURS), axes, room),
        gathered([*lacking, *missing]),
    )


def _published(panel: str, table: Mapping[str, Any], rows: Sequence[Row], setting: str) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        network = row.networks.get(setting, "")
        if network in table["error"]:
            error = table["error"][network]
            found.append(published_row(panel, _PUBLISHED, row.label, network, error, table["images"]))
    return found


def _axis(domain: list[float], ticks: list[float]) -> alt.X:
    """Logarithmic: errors of 1 % and of 90 % are both to be read."""
    return (
        alt.X("error_percent:Q", title="test error (%)").scale(type="log", domain=domain, nice=False).axis(values=ticks)
    )


def _describe(frame: pd.DataFrame) -> str:
    parts = []
    for panel, part in frame.groupby("panel", sort=False):
        rows = part.sort_values("error_percent", kind="stable")
        columns = zip(rows["row"], rows.note, rows.error_percent, rows.series, strict=True)
        told = [f"{row} {note or f'{error:.2f} %'} ({series})" for row, note, error, series in columns]
        parts.append(f"{panel}, from the lowest: {', '.join(told)}")
    return f"Forest plot of test errors. {'. '.join(parts)}."
