"""The gradient by path length, as figure 6 of Veit 2016 shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resbench.reports.figures.style import BLUE, INK, ORANGE, VERMILLION, WIDTH, headed, lettered, styled, whole_numbers
from resbench.reports.words import figure as number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["paths_figure"]

_SOURCE = "Panels as in Veit, Wilber, Belongie 2016, arXiv:1605.06431v2, figure 6."
_95 = 1.96
"""Standard errors to each end of a 95 % interval."""

_WIDEST = 50.0
"""An interval's factor on the logarithmic axis is at most its exponential."""


@styled
def paths_figure(found: Mapping[str, Any]) -> Figure:
    """Three panels by path length: how many paths there are, the gradient of one (log), and of all together.

    ``found``: what ``resbench paths --format json`` prints.  The effective range is shaded; in the second panel is the
    line that gives r, with its 95 % interval.  The panels' labels (``axes.get_label()``) are ``counts``, ``one path``
    and ``all paths``.

    Raises:
        UserError: matplotlib cannot be imported.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    for axes, panel in zip(drawn.subplots(1, 3), (_counts, _one_path, _all_paths), strict=True):
        _shade(axes, found)
        panel(axes, found)
        axes.set(xlabel="path length (units passed)", xlim=(-0.7, _end(found) + 0.7))
        whole_numbers(axes.xaxis, most=7)
    data = "" if found["data"] == "given" else " of noise"
    measured = f"{found['n_units']} units, {found['images']} images{data}"
    headed(drawn, found["target"]["name"], measured, _note(found))
    return drawn


def _note(found: Mapping[str, Any]) -> str:
    how = "Every path, multiplied out." if found["method"] == "exact" else f"{sum(found['paths'])} paths sampled."
    low, high = found["effective_range"]
    last = found["length"][-1]
    shown = f"beyond {last}" if low is None else f"{low} and more" if high is None else f"{low} to {high}"
    shaded = f"Shaded: lengths {shown} hold {100 * found['mass']:g} % of the gradient."
    return f"{how}  {shaded}  Thin bars and band: 95 % intervals.\n{_SOURCE}"


def _end(found: Mapping[str, Any]) -> int:
    """The last length on the axis: one more than told apart where there are longer ones."""
    return int(found["length"][-1]) + (1 if found.get("longer") else 0)


def _shade(axes: Axes, found: Mapping[str, Any]) -> None:
    low, high = (_end(found) if end is None else end for end in found["effective_range"])
    mass = f"{100 * found['mass']:g} % of the gradient"
    axes.axvspan(low - 0.5, high + 0.5, color=ORANGE, alpha=0.2, linewidth=0, zorder=0, label=mass)


def _counts(axes: Axes, found: Mapping[str, Any]) -> None:
    """In percent: the number itself may be beyond every float."""
    whole = 2 ** found["n_units"]
    shares = [100 * count / whole for count in found["path_count"]]
    axes.bar(found["length"], shares, width=0.8, color=BLUE)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axes.set_ylabel(f"share of all 2$^{{{found['n_units']}}}$ paths (%)")
    lettered(axes, "counts", "(a) how many paths", raised=True)


def _one_path(axes: Axes, found: Mapping[str, Any]) -> None:
    norms = found["gradient_norm_per_path"]
    shown = [k for k, norm in enumerate(norms) if norm > 0]
    lengths, values = [found["length"][k] for k in shown], [norms[k] for k in shown]
    errors = [found["standard_error"]["gradient_norm_per_path"][k] or 0.0 for k in shown]
    # On a logarithmic axis an interval is a factor.
    factors = [math.exp(min(_95 * error / value, _WIDEST)) for error, value in zip(errors, values, strict=True)]
    below = [value - value / factor for value, factor in zip(values, factors, strict=True)]
    above = [value * factor - value for value, factor in zip(values, factors, strict=True)]
    axes.errorbar(lengths, values, [below, above], fmt="o", color=BLUE, markersize=2.4, elinewidth=0.7)
    axes.set_yscale("log")
    _decay(axes, found, shown)
    of_one = "mean gradient norm of a path" if found["method"] == "sampled" else "norm of their sum / their number"
    axes.set_ylabel(of_one)
    lettered(axes, "one path", "(b) gradient of one path", raised=True)


def _decay(axes: Axes, found: Mapping[str, Any], lengths: Sequence[int]) -> None:
    """The line whose slope is r: through the centre of the lengths, each counting as much as it carries."""
    r, ends = found["r"]["value"], found["r"]["interval"]
    shares = [found["share"][k] for k in lengths]
    total = math.fsum(shares)
    if not r or not total:
        return
    logs = [math.log(found["gradient_norm_per_path"][k]) for k in lengths]
    centre = math.fsum(k * share for k, share in zip(lengths, shares, strict=True)) / total
    height = math.fsum(log * share for log, share in zip(logs, shares, strict=True)) / total

    def line(factor: float) -> list[float]:
        return [math.exp(height + (k - centre) * math.log(factor)) for k in lengths]

    fit = f"r = {number(r, 3)} a unit"
    if ends is not None and min(ends) > 0:
        # They cross at the centre.
        both = [sorted(pair) for pair in zip(line(ends[0]), line(ends[1]), strict=True)]
        low, high = [pair[0] for pair in both], [pair[1] for pair in both]
        axes.fill_between(lengths, low, high, color=VERMILLION, alpha=0.25, linewidth=0)
        fit += f"\n(95 %: {number(ends[0], 3)} to {number(ends[1], 3)})"
    (drawn,) = axes.plot(lengths, line(r), color=VERMILLION, linewidth=1.0, label=fit)
    axes.legend(handles=[drawn], loc="upper right", handlelength=1.2)


def _all_paths(axes: Axes, found: Mapping[str, Any]) -> None:
    lengths, norms = found["length"], found["gradient_norm_of_length"]
    errors = [_95 * (error or 0.0) for error in found["standard_error"]["gradient_norm_of_length"]]
    axes.bar(lengths, norms, width=0.8, color=BLUE, yerr=errors, error_kw={"elinewidth": 0.6, "ecolor": INK})
    tops = [norm + error for norm, error in zip(norms, errors, strict=True)]
    longer = found.get("longer")
    if longer:
        tops.append(longer["gradient_norm"])
        axes.bar(
            [_end(found)], tops[-1:], width=0.8, color="white", edgecolor=BLUE, hatch="////",
            label=f"longer than {lengths[-1]}",
        )  # fmt: skip
    axes.legend(loc="upper right")
    axes.set_ylim(0, 1.3 * max(tops) or 1.0)  # room for the legend
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axes.set_ylabel("gradient norm of all of them")
    lettered(axes, "all paths", "(c) gradient of a length", raised=True)
