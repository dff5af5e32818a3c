"""What the structural claims on a user's network speak of, from the experiments ``unit_*``.

Nearly every value is a count of units (or layers, buffers, parameters) at fault: the verdict's words name each of them
and say what is wrong with it.  ``float64`` and ``float32``: the relative errors up to which two tensors count as equal
where the model's code ran in that precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resbench.errors import NotMeasured
from resbench.experiments.reading import reads
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = [
    "additions_not_additive",
    "branch_not_the_expectation",
    "branches_computed_when_dropped",
    "depth_deviation",
    "drops_per_image",
    "drops_that_change_the_signal",
    "frozen_statistics",
    "gradients_not_additive",
    "gradients_not_passed",
    "images_that_matter_to_others",
    "implausible_drop_frequencies",
    "modes_not_followed",
    "moved_statistics",
    "outputs_not_repeated",
    "scaling_rule_not_followed",
    "schedule_shift_probability",
    "shortcuts_not_exact",
    "transitions_not_exact",
    "unreached_parameters",
]

Row = Mapping[str, Any]

_NAMED = 6
_SIMULATED = 50_000
_FACTOR = 1e-3
"""How far a branch's factor may be from its survival probability: probabilities may be given in a few decimals."""


def _named(faults: Sequence[str], what: str) -> str:
    """``2 of 16 units: layer1.0: ...; layer1.1: ...`` without the number: the faults, cut after a few."""
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return "; ".join(faults[:_NAMED]) + more if faults else what


def _counted(faults: Sequence[str], of: int, fine: str, *remarks: str) -> Measurement:
    text = "; ".join(part for part in (_named(faults, fine), *remarks) if part)
    return Measurement(len(faults), n=of, detail=text, samples={"at_fault": list(faults)})


def _tolerance(row: Row, float64: float, float32: float) -> float:
    return float64 if str(row["dtype"]) == "float64" else float32


def _by_error(row: Row, kind: str, chosen: Any, tolerance: float, what: str, remark: str = "") -> Measurement:
    """The units among ``chosen`` whose error ``row[kind]`` exceeds the tolerance, with the experiment's words."""
    errors = np.where(chosen, row[kind], np.nan)
    tested = ~np.isnan(errors)
    faults = [
        f"{row['names'][i]}: {row[kind + '_words'][i] or f'relative error {errors[i]:.2g}'}"
        for i in np.flatnonzero(tested & ~(errors <= tolerance))
    ]
    fine = f"{int(tested.sum())} {what}, {row['dtype']}, largest relative error {np.nanmax(errors):.2g}"
    return _counted(faults, int(tested.sum()), fine, remark)


def _shortcut(row: Row, kind: str, chosen: Any, none: str, float64: float, float32: float) -> Measurement:
    untested = [f"{name} ({why})" for name, why in zip(row["names"], row["untested"], strict=True) if why]
    tested = np.asarray(chosen) & ~np.isnan(row[kind])
    if not np.any(chosen):
        raise NotMeasured(none)
    if not tested.any():
        raise NotMeasured(f"no branch could be set to zero: {_named(untested, '')}")
    left = [name for name, why, c in zip(row["names"], row["untested"], chosen, strict=True) if why and c]
    remark = f"not tested: {_named([w for w in untested if w.split(' (')[0] in left], '')}" if left else ""
    return _by_error(row, kind, chosen, _tolerance(row, float64, float32), "units", remark)


@reads(("unit_shortcuts", "network"))
def shortcuts_not_exact(result: Result, *, network: str, float64: float, float32: float) -> Measurement:
    """How many units of one shape do not return exactly their input when their branch is zero."""
    row = result[0]
    none = "every unit of the target changes the shape of its input"
    return _shortcut(row, "forward", ~row["changes_shape"], none, float64, float32)


@reads(("unit_shortcuts", "network"))
def transitions_not_exact(result: Result, *, network: str, float64: float, float32: float) -> Measurement:
    """How many units that change the shape do not return exactly their shortcut when their branch is zero."""
    row = result[0]
    none = "no unit of the target changes the shape of its input"
    return _shortcut(row, "forward", row["changes_shape"], none, float64, float32)


@reads(("unit_shortcuts", "network"))
def gradients_not_passed(result: Result, *, network: str, float64: float, float32: float) -> Measurement:
    """How many units do not pass on exactly the gradient when their branch is zero."""
    row = result[0]
    return _shortcut(row, "backward", np.ones(len(row["names"]), dtype=bool), "no units", float64, float32)


def _stream(row: Row, kind: str, float64: float, float32: float) -> Measurement:
    if str(row["reason"]):
        raise NotMeasured(str(row["reason"]))
    chosen = ~np.isnan(row[kind])
    remark = f"over whole stretches of up to {int(row['longest'])} units {np.nanmax(row[kind + '_sum']):.2g}"
    return _by_error(row, kind, chosen, _tolerance(row, float64, float32), "units", remark)


@reads(("unit_streams", "network"))
def additions_not_additive(result: Result, *, network: str, float64: float, float32: float) -> Measurement:
    """At how many units ``x_L = x_l + sum F(x_i)`` (equation 4) fails; the sum telescopes, so none means it holds."""
    return _stream(result[0], "forward", float64, float32)


@reads(("unit_streams", "network"))
def gradients_not_additive(result: Result, *, network: str, float64: float, float32: float) -> Measurement:
    """At how many units ``dE/dx_l = dE/dx_L + dE/dx_L d(sum F)/dx_l`` (equation 5) fails."""
    return _stream(result[0], "backward", float64, float32)


def _first_that_differs(row: Row, kind: str, tolerance: float, words: str) -> Measurement:
    """The first unit, or the model's output alone, that differs; what follows it inherits the difference."""
    errors = row[kind]
    seen = ~np.isnan(errors)
    if not seen.any():
        raise NotMeasured("no unit's output has one row for each image")
    wrong = np.flatnonzero(seen & (errors > tolerance))
    if not len(wrong):
        fine = f"{int(seen[:-1].sum())} units and the model's output, {row['dtype']}"
        return Measurement(0, n=int(seen.sum()), detail=f"{fine}, largest relative difference {np.nanmax(errors):.2g}")
    names = [*map(str, row["names"]), "the model's output"]
    first = f"{names[wrong[0]]} {words} (relative difference {errors[wrong[0]]:.2g})"
    rest = f"; so do {len(wrong) - 1} more after it" if len(wrong) > 1 else ""
    return Measurement(len(wrong), n=int(seen.sum()), detail=first + rest)


@reads(("unit_modes", "network"))
def outputs_not_repeated(result: Result, *, network: str) -> Measurement:
    """How many outputs (units', and the model's) differ between two passes in test mode over the same images."""
    return _first_that_differs(result[0], "repeat", 0.0, "is the first to differ between two passes over one batch")


@reads(("unit_modes", "network"))
def images_that_matter_to_others(result: Result, *, network: str, float64: float, float32: float) -> Measurement:
    """How many outputs (units', and the model's) for an image depend on the other images of its batch in test mode."""
    row = result[0]
    words = "is the first whose output for an image depends on the other images of the batch"
    return _first_that_differs(row, "others", _tolerance(row, float64, float32), words)


@reads(("unit_modes", "network"))
def modes_not_followed(result: Result, *, network: str) -> Measurement:
    """How many modules are still in training mode after ``eval()``."""
    row = result[0]
    faults = [f"{name} is in training mode after eval()" for name in row["still_training"]]
    return _counted(faults, int(row["modules"]), f"{row['modules']} modules")


@reads(("unit_modes", "network"))
def moved_statistics(result: Result, *, network: str) -> Measurement:
    """How many buffers a pass in test mode changes."""
    row = result[0]
    return _counted([f"{name} changes in test mode" for name in row["moved"]], 1, "no buffer changes in test mode")


@reads(("unit_training", "network"))
def frozen_statistics(result: Result, *, network: str) -> Measurement:
    """How many normalisation layers keep their running statistics through training passes."""
    row = result[0]
    count = int(row["normalisations"])
    if not count:
        raise NotMeasured("the target has no batch normalisation with running statistics")
    faults = [f"{name} does not move in training" for name in row["frozen"]]
    stay = list(row["not_training"])
    remark = f"in test mode after train(): {_named(stay, '')}" if stay else ""
    return _counted(faults, count, f"{count} layers with running statistics", remark)


@reads(("unit_modes", "network"))
def unreached_parameters(result: Result, *, network: str) -> Measurement:
    """How many parameters that require a gradient get none from the model's output in test mode."""
    row = result[0]
    count = int(row["parameters"])
    if not count:
        raise NotMeasured("no parameter of the target requires a gradient")
    faults = [f"{name} gets no gradient" for name in row["unreached"]]
    return _counted(faults, count, f"{count} parameters, {row['dtype']}")


def _drawn(row: Row) -> Any:
    """The units whose draws can be seen.  Raises: NotMeasured where there are none."""
    visible = ~np.asarray(row["silent"], dtype=bool)
    if not visible.any():
        raise NotMeasured("no unit's branch can be seen: each is zero even in test mode")
    return visible


def _passes(row: Row) -> str:
    return f"{int(row['passes'])} training passes of two images"


@reads(("unit_draws", "network"))
def implausible_drop_frequencies(result: Result, *, network: str, confidence: float) -> Measurement:
    """How many units were used implausibly often or seldom for their ``p_l``.

    Implausible: outside the binomial interval that all units are in with probability ``confidence`` (Bonferroni).
    """
    from scipy.special import bdtr
    from scipy.stats import norm

    row = result[0]
    visible = _drawn(row)
    tail = (1.0 - confidence) / (2 * int(visible.sum()))
    faults, width = [], 0.0
    for i in np.flatnonzero(visible):
        used, n, p = int(row["used"][i]), int(row["trials"][i]), float(row["p"][i])
        if min(bdtr(used, n, p), bdtr(n - used, n, 1.0 - p)) < tail:
            faults.append(f"{row['names'][i]}: used in {used} of {n} draws ({used / n:.3f}), p_l = {p:.4g}")
        width = max(width, float(norm.isf(tail)) * math.sqrt(p * (1 - p) / n))
    remark = f"{_passes(row)}; at a single unit a shift of {width:.2g} would show"
    return _counted(faults, int(visible.sum()), f"{int(visible.sum())} units as often as p_l says", remark)


@reads(("unit_draws", "network"))
def schedule_shift_probability(result: Result, *, network: str) -> Measurement:
    """How probable so large a shift of the schedule as the one seen is, if the units are drawn with the ``p_l``.

    The statistic is the one that best tells a schedule that is off by one: the drops beyond ``1 - p_l``, weighted with
    the difference that a unit would see if it were drawn with the probability of the unit before it, over the variance.
    Its distribution is that of 50,000 simulated runs of independent draws; two-sided.
    """
    row = result[0]
    visible = np.flatnonzero(_drawn(row))
    dropped = 1.0 - np.asarray(row["p"], dtype=np.float64)
    step, variance = np.diff(dropped, prepend=0.0)[visible], (dropped * (1.0 - dropped))[visible]
    weights = np.divide(step, variance, out=np.zeros_like(step), where=variance > 0)
    if not weights.any():
        raise NotMeasured("a schedule off by one cannot be told: no unit differs in p_l from the one before it")
    trials = np.asarray(row["trials"])[visible]
    drops = trials - np.asarray(row["used"])[visible]
    simulated = np.random.default_rng(0).binomial(trials, dropped[visible], size=(_SIMULATED, len(visible)))
    null, expected = simulated @ weights, float(trials * dropped[visible] @ weights)
    seen = abs(float(drops @ weights) - expected)
    # A millionth: equal counts give equal sums only up to rounding.
    beyond = int((np.abs(null - expected) >= seen * (1 - 1e-6)).sum())
    probability = (1 + beyond) / (1 + _SIMULATED)
    text = f"{_passes(row)}; {int(drops.sum())} drops, {float(trials @ dropped[visible]):.1f} expected of the p_l"
    return Measurement(probability, n=int(row["passes"]), detail=text)


@reads(("unit_draws", "network"))
def depth_deviation(result: Result, *, network: str) -> Measurement:
    """Mean number of units used in a draw against the sum of the ``p_l``, in standard errors of the mean.

    The standard error is that of independent draws with these ``p_l``; 0 where nothing
    can be dropped and nothing was.
    """
    row = result[0]
    if not _drawn(row).all():
        raise NotMeasured("the depth cannot be counted: the branch of some units is zero even in test mode")
    p = np.asarray(row["p"], dtype=np.float64)
    expected, n = float(p.sum()), len(row["depth"])
    mean, error = float(np.mean(row["depth"])), math.sqrt(float((p * (1 - p)).sum()) / n)
    deviation = 0.0 if mean == expected else abs(mean - expected) / error if error else 1e9
    units = f"{mean:.3f} units used on average, the sum of the p_l is {expected:.3f}"
    return Measurement(deviation, n=n, detail=f"{units}; {_passes(row)}; a shift of {3.3 * error:.2g} units would show")


@reads(("unit_draws", "network"))
def drops_per_image(result: Result, *, network: str) -> Measurement:
    """How many units drop single images of a mini-batch instead of the mini-batch."""
    row = result[0]
    _need_drops(row)
    faults = [
        f"{row['names'][i]}: drops single images of a mini-batch (in {int(row['per_image'][i])} passes)"
        for i in np.flatnonzero(row["per_image"])
    ]
    return _counted(faults, len(row["names"]), "one draw a unit and mini-batch", _passes(row))


def _need_drops(row: Row) -> None:
    if not np.any(row["drops"]):
        raise NotMeasured(f"no unit was dropped in {_passes(row)}")


@reads(("unit_draws", "network"))
def drops_that_change_the_signal(result: Result, *, network: str) -> Measurement:
    """How many units, when dropped, do not pass on exactly their input (their shortcut where the shape changes)."""
    row = result[0]
    _need_drops(row)
    dropped = np.flatnonzero(row["drops"])
    faults = [f"{row['names'][i]}: {row['changed_words'][i]}" for i in dropped if row["changed"][i]]
    return _counted(faults, len(dropped), f"{len(dropped)} units were dropped at least once", _passes(row))


@reads(("unit_draws", "network"))
def branches_computed_when_dropped(result: Result, *, network: str) -> Measurement:
    """How many units compute their branch although they are dropped: that saves no time."""
    row = result[0]
    _need_drops(row)
    dropped = np.flatnonzero(row["drops"])
    faults = [
        f"{row['names'][i]}: computed in {int(row['computed'][i])} of {int(row['drops'][i])} passes that drop it"
        for i in dropped
        if row["computed"][i]
    ]
    return _counted(faults, len(dropped), f"{len(dropped)} units skip their branch when dropped", _passes(row))


@reads(("unit_scaling", "network"))
def branch_not_the_expectation(result: Result, *, network: str) -> Measurement:
    """How many units' branches in test mode are not ``p_l`` times the branch that training adds when it keeps them."""
    row = result[0]
    known = ~np.isnan(row["ratio"])
    if not known.any():
        raise NotMeasured("no unit's branch in test mode is proportional to that in training")
    faults = [
        f"{row['names'][i]}: its test branch is {row['ratio'][i]:.4g} x that of training, p_l = {row['p'][i]:.4g}"
        for i in np.flatnonzero(known & (np.abs(row["ratio"] - row["p"]) > _FACTOR))
    ]
    left = [str(name) for name in np.asarray(row["names"])[~known]]
    remark = f"not proportional, or never kept: {_named(left, '')}" if left else ""
    return _counted(faults, int(known.sum()), f"{int(known.sum())} units, {row['dtype']}", remark)


@reads(("unit_scaling", "network"))
def scaling_rule_not_followed(result: Result, *, network: str) -> Measurement:
    """How many units' branches are not multiplied by ``p_l`` in test mode and by 1 in training."""
    row = result[0]
    known = ~np.isnan(row["test"]) & ~np.isnan(row["training"])
    if not known.any():
        raise NotMeasured("what multiplies the branches cannot be seen: no weight layer with one factor after it")
    wrong = (np.abs(row["test"] - row["p"]) > _FACTOR) | (np.abs(row["training"] - 1.0) > _FACTOR)
    faults = [
        f"{row['names'][i]}: its branch is multiplied by {row['test'][i]:.4g} in test mode and by "
        f"{row['training'][i]:.4g} in training, p_l = {row['p'][i]:.4g}"
        for i in np.flatnonzero(known & wrong)
    ]
    return _counted(faults, int(known.sum()), f"{int(known.sum())} units, {row['dtype']}")
