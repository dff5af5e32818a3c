"""The gradient by path length, as figure 6 of Veit 2016 shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from resbench.reports.figures.style import BLUE, GREEN, INK, ORANGE, VERMILLION, WIDTH, headed, lettered, styled
from resbench.reports.words import figure as number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["paths_figure"]

_SOURCE = "Panels as in Veit, Wilber, Belongie 2016, arXiv:1605.06431v2, figure 6."
_95 = 1.96
"""Standard errors to each end of a 95 % interval."""


@styled
def paths_figure(found: Mapping[str, Any]) -> Figure:
    """Three panels by path length: how many paths there are, the gradient of one (log), and of all together.

    ``found``: what ``resbench paths --format json`` prints.  The effective range is shaded; in the second panel is the
    line that gives r, with its 95 % interval.

    Raises:
        UserError: matplotlib cannot be imported.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    counts, single, together = drawn.subplots(1, 3, sharex=True)
    _counts(counts, found)
    _one_path(single, found)
    _all_paths(together, found)
    for axes in (counts, single, together):
        _shade(axes, found)
        axes.set_xlabel("path length (units passed)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(-0.7, _end(found) + 0.7)
    data = "" if found["data"] == "given" else " of noise"
    headed(drawn, f"{found['target']['name']}: {found['n_units']} units, {found['images']} images{data}", _note(found))
    return drawn


def _note(found: Mapping[str, Any]) -> str:
    how = "Every path, multiplied out." if found["method"] == "exact" else f"{sum(found['paths'])} paths sampled."
    low, high = (f"> {found['length'][-1]}" if end is None else str(end) for end in found["effective_range"])
    shaded = f"Shaded: lengths {low} to {high} hold {100 * found['mass']:g} % of the gradient."
    return f"{how}  {shaded}  Bars: 95 %.\n{_SOURCE}"


def _end(found: Mapping[str, Any]) -> int:
    """The last length on the axis: one more than told apart where there are longer ones."""
    return int(found["length"][-1]) + (1 if found.get("longer") else 0)


def _shade(axes: Axes, found: Mapping[str, Any]) -> None:
    low, high = (_end(found) if end is None else end for end in found["effective_range"])
    axes.axvspan(low - 0.5, high + 0.5, color=ORANGE, alpha=0.18, linewidth=0, zorder=0, label="effective range")


def _counts(axes: Axes, found: Mapping[str, Any]) -> None:
    """In percent: the number itself is beyond every float for a 1202-layer network."""
    whole = 2 ** found["n_units"]
    shares = [float(Fraction(100 * count, whole)) for count in found["path_count"]]
    axes.bar(found["length"], shares, width=0.8, color=BLUE)
    axes.set_ylabel(f"share of all 2$^{{{found['n_units']}}}$ paths (%)")
    lettered(axes, "counts", "(a) how many paths")


def _one_path(axes: Axes, found: Mapping[str, Any]) -> None:
    norms = found["gradient_norm_per_path"]
    shown = [k for k, norm in enumerate(norms) if norm > 0]
    lengths = [found["length"][k] for k in shown]
    values = [norms[k] for k in shown]
    errors = [found["standard_error"]["gradient_norm_per_path"][k] or 0.0 for k in shown]
    # On a logarithmic axis an interval is a factor.
    factors = [math.exp(min(_95 * error / value, 50.0)) for error, value in zip(errors, values, strict=True)]
    ends = [[v - v / f for v, f in zip(values, factors, strict=True)],
            [v * f - v for v, f in zip(values, factors, strict=True)]]  # fmt: skip
    axes.errorbar(lengths, values, ends, fmt="o", color=BLUE, markersize=2.8, elinewidth=0.7, label="measured")
    axes.set_yscale("log")
    _decay(axes, found, lengths, values)
    of_one = "mean gradient norm of a path" if found["method"] == "sampled" else "norm of their sum / number of paths"
    axes.set_ylabel(of_one)
    lettered(axes, "one path", "(b) gradient of one path")


def _decay(axes: Axes, found: Mapping[str, Any], lengths: Sequence[int], values: Sequence[float]) -> None:
    """The line whose slope is r: through the centre of the lengths, each counting as much as it carries."""
    r = found["r"]["value"]
    shares = [found["share"][k] for k in lengths]
    total = math.fsum(shares)
    if not r or not total:
        return
    centre = math.fsum(k * share for k, share in zip(lengths, shares, strict=True)) / total
    height = math.fsum(math.log(value) * share for value, share in zip(values, shares, strict=True)) / total

    def line(factor: float) -> list[float]:
        return [math.exp(height + (k - centre) * math.log(factor)) for k in lengths]

    ends = found["r"]["interval"]
    fit = f"r = {number(r, 3)} a unit"
    if ends is not None:
        low, high = line(ends[0]), line(ends[1])
        axes.fill_between(
            lengths, [min(pair) for pair in zip(low, high, strict=True)],
            [max(pair) for pair in zip(low, high, strict=True)], color=VERMILLION, alpha=0.25, linewidth=0,
        )  # fmt: skip
        fit += f"\n(95 %: {number(ends[0], 3)} to {number(ends[1], 3)})"
    axes.plot(lengths, line(r), color=VERMILLION, linewidth=1.0, label=fit)
    axes.legend(handles=[axes.get_lines()[-1]], loc="upper right", handlelength=1.2)


def _all_paths(axes: Axes, found: Mapping[str, Any]) -> None:
    lengths, norms = found["length"], found["gradient_norm_of_length"]
    errors = [_95 * (error or 0.0) for error in found["standard_error"]["gradient_norm_of_length"]]
    axes.bar(
        lengths, norms, width=0.8, color=GREEN, yerr=errors, error_kw={"elinewidth": 0.7, "ecolor": INK}
    )  # fmt: skip
    longer = found.get("longer")
    if longer:
        axes.bar(
            [_end(found)], [longer["gradient_norm"]], width=0.8, color="white", edgecolor=GREEN, hatch="////",
            label=f"longer than {lengths[-1]}",
        )  # fmt: skip
        axes.legend(handles=[axes.containers[-1]], loc="upper left")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("gradient norm of all of them")
    lettered(axes, "all paths", "(c) gradient of a length")
