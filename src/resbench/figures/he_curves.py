"""He 2016, figures 1 and 6 and the curves of section 3: how the networks were trained, epoch by epoch."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from resbench.figures.marks import Series, beside, colours, tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import HE, Lacking, Sources, gathered
from resbench.figures.theme import BLUE, GREEN, PURPLE, VERMILLION

__all__ = ["curves"]

_STYLES = {
    "original (identity)": (BLUE, (1, 0)),
    "pre-activation": (GREEN, (6, 2)),
    "other order of activations": (PURPLE, (2, 2)),
    "other shortcut": (VERMILLION, (4, 3)),
}
_SERIES = tuple(Series(name, colour, "circle", dash=dash) for name, (colour, dash) in _STYLES.items())
_ORIGINAL, _PREACT, _ORDER, _SHORTCUT = _STYLES
_PANELS = (
    ("Digits, 108 units, first 84 steps", "digits", {"post-108": _ORIGINAL, "preact-108": _PREACT}),
    (
        "Digits, 54 units: where the activations stand",
        "digits",
        {
            "original": _ORIGINAL,
            "full-preact": _PREACT,
            "relu-only-preact": _PREACT,
            "bn-after-add": _ORDER,
            "relu-before-add": _ORDER,
        },
    ),
    (
        "Digits, 54 units: shortcuts",
        "digits",
        {
            "original": _ORIGINAL,
            **dict.fromkeys(
                (
                    "scale-0-1",
                    "scale-05-1",
                    "scale-05-05",
                    "exclusive-gate-b0",
                    "exclusive-gate-b6",
                    "shortcut-gate-b0",
                    "shortcut-gate-b6",
                    "conv1x1",
                    "dropout",
                ),
                _SHORTCUT,
            ),
        },
    ),
    (
        "CIFAR-10, 20 and 32 layers, 8 epochs",
        "cifar10-short",
        {"resnet20-preact": _PREACT, "resnet32-preact": _PREACT},
    ),
)
_COLUMNS = ["panel", "series", "network", "epoch", "loss_nats", "training_error_percent", "test_error_percent"]
_PAPERS = ("resnet110", "resnet110-preact", "resnet1001", "resnet1001-preact")


def curves(sources: Sources) -> Figure:
    """Training loss by epoch; of networks whose test error was followed, that as well (in the frame)."""
    rows: list[dict[str, Any]] = []
    lacking: list[Lacking] = []
    wanted = {network for _, setting, networks in _PANELS if setting == "digits" for network in networks}
    sources.prepare("digits", [(network, "training_curves") for network in sorted(wanted)])
    for panel, setting, networks in _PANELS:
        for network, kind in networks.items():
            rows += _rows(sources, panel, setting, network, kind, lacking)
    for network in _PAPERS:
        rows += _rows(
            sources,
            "CIFAR-10, the paper's recipe",
            "cifar10",
            network,
            _PREACT if "preact" in network else _ORIGINAL,
            lacking,
        )
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    views = [_view(part, str(panel)) for panel, part in frame.groupby("panel", sort=False)]
    return Figure(
        "he-curves",
        "he2016",
        "Pre-activation learns at once at 108 units; shortcuts other than the identity hardly learn at 54",
        "Training loss (mean cross-entropy of the epoch's mini-batches, augmented) by epoch, of one network each, on a "
        "logarithmic axis (losses above 10 stand at 10); the two halves of the data averaged where both were "
        "trained. Point at a line for its network. The digits are another data "
        "set than the paper's. Of the paper's own curves (figures 1 to 3 and 6) no numbers are recorded, so none are "
        "drawn.",
        _describe(frame),
        (
            f"After {HE}, figures 1 to 3 and 6 (no published numbers are recorded)",
            "Measured, digits: the training curves in the committed checkpoints",
            "Measured, CIFAR-10: records of cifar10-short, training_curves (a short recipe, not the paper's)",
        ),
        frame,
        beside(views) if views else None,
        gathered(lacking),
    )


def _rows(
    sources: Sources, panel: str, setting: str, network: str, kind: str, lacking: list[Lacking]
) -> list[dict[str, Any]]:
    """A row an epoch; what is missing is added to ``lacking``."""
    found = sources.attempt(setting, network, "training_curves")
    if isinstance(found, Lacking):
        lacking.append(found)
        return []
    loss = np.mean([np.asarray(member["loss"], float) for member in found], axis=0)
    rows = []
    for epoch, value in enumerate(loss, start=1):
        row = {"panel": panel, "series": kind, "network": network, "epoch": epoch, "loss_nats": float(value)}
        for column in ("training_error", "test_error"):
            errors = [np.asarray(member[column], float) for member in found if column in member]
            row[f"{column}_percent"] = float(np.mean([each[epoch - 1] for each in errors])) if errors else None
        rows.append(row)
    return rows


def _view(frame: pd.DataFrame, title: str) -> Any:
    base = alt.Chart(frame)
    x = alt.X("epoch:Q", title="epoch (number)").axis(format="d", tickMinStep=1, grid=False).scale(nice=False)
    y = alt.Y("loss_nats:Q", title="training loss (nats)").scale(type="log", domain=[0.003, 10], nice=False, clamp=True)
    y = y.axis(values=[0.01, 0.1, 1, 10], format="~g")
    names = [one.name for one in _SERIES]
    stroke = alt.Stroke("series:N", title=None).scale(domain=names, range=[one.colour for one in _SERIES])
    dash = alt.StrokeDash("series:N", title=None).scale(domain=names, range=[list(one.dash) for one in _SERIES])
    tips = tooltips(
        network="network",
        epoch="epoch|d",
        loss_nats="training loss (nats)|.4f",
        training_error_percent="training error (%)|.2f",
        test_error_percent="test error (%)|.2f",
    )
    shown = base.mark_line(strokeWidth=1.8).encode(x=x, y=y, stroke=stroke, strokeDash=dash, detail="network:N")
    hits = base.mark_circle(size=18, opacity=1).encode(x=x, y=y, color=colours(_SERIES), tooltip=tips)
    return alt.layer(shown, hits).properties(title=title, height=220)


def _describe(frame: pd.DataFrame) -> str:
    parts = []
    for panel, part in frame.groupby("panel", sort=False):
        last = part.sort_values("epoch").groupby("network", sort=False).last().sort_values("loss_nats")
        told = [f"{network} {row.loss_nats:.3f} after {row.epoch} epochs" for network, row in last.iterrows()]
        parts.append(f"{panel}: {', '.join(told)}")
    return f"Lines of the training loss (nats) by epoch. {'. '.join(parts)}."
