"""Everything that is measured of a target's paths, as plain values under the names of `resbench paths`' JSON."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.distributed import Ranks
from resbench.errors import NotMeasured
from resbench.experiments.combinatorics import remaining_path_fraction
from resbench.experiments.path_exact import Participation, exact_lengths
from resbench.experiments.path_lengths import central_range, drawn_lengths, expected_counts, left_after
from resbench.experiments.path_sampling import sample_adaptively
from resbench.experiments.path_summary import LengthRows, over_images, over_paths, shares_of_images
from resbench.experiments.path_target import linearised_target
from resbench.records.environment import environment
from resbench.statistics import percentile_interval
from resbench.targets.target import UserTarget

if TYPE_CHECKING:
    from resbench.experiments.path_options import PathOptions

__all__ = ["measured_paths"]


def measured_paths(
    target: UserTarget, images: Tensor, labels: Tensor, options: PathOptions, ranks: Ranks | None = None
) -> dict[str, Any] | None:
    """Everything about the paths of ``target``, on these images, as plain values; None elsewhere than on rank 0."""
    found = (_sampled if options.sampled else _exact)(target, images, labels, options, ranks or Ranks())
    if found is None:
        return None
    rows, more = found
    return {
        **_contract(rows, options),
        "method": "sampled" if options.sampled else "exact",
        "mass": options.mass,
        **_uncertainty(rows, options),
        **more,
        "left_after_deletions": _left(rows),
        "survival": _survival(target, options.mass),
        "target": target.to_json(),
        "images": len(labels),
        "data": "given" if target.data is not None else "noise, labels drawn",
        "seed": target.seed,
        "environment": environment(),
    }


def _contract(rows: LengthRows, options: PathOptions) -> dict[str, Any]:
    lengths = rows.logs.shape[1]
    low, high = rows.ranges(options.mass)[0]
    return {
        "n_units": rows.n,
        "length": list(range(lengths)),
        "path_count": [math.comb(rows.n, length) for length in range(lengths)],
        "gradient_norm_per_path": [_exp(value) for value in rows.per_path[0]],
        "gradient_norm_of_length": [_exp(value) for value in rows.logs[0]],
        "share": [float(value) for value in rows.shares[0, :lengths]],
        "effective_range": [low if low < lengths else None, high if high < lengths else None],
    }


def _exp(value: float) -> float:
    return math.exp(value) if value > -math.inf else 0.0


def _uncertainty(rows: LengthRows, options: PathOptions) -> dict[str, Any]:
    lengths = rows.logs.shape[1]
    ranges, means, decay = rows.ranges(options.mass), rows.mean_lengths(), rows.decay()
    replicated = len(ranges) > 1
    ends = np.transpose(percentile_interval(ranges[1:])).astype(int).tolist() if replicated else None
    mean_ends = [float(end) for end in percentile_interval(means[1:])] if replicated else None
    whole = rows.longer is None
    return {
        "standard_error": {
            "gradient_norm_per_path": rows.standard_errors(np.exp(rows.per_path)),
            "gradient_norm_of_length": rows.standard_errors(np.exp(rows.logs)),
            "share": rows.standard_errors(rows.shares)[:lengths],
        },
        "effective_range_interval": ends if whole else None,
        "mean_length": {"value": float(means[0]), "interval": mean_ends} if whole else None,
        "r": {
            "value": decay.r,
            "interval": None if decay.interval is None else list(decay.interval),
            "r_squared": decay.r_squared,
        },
    }


def _exact(
    target: UserTarget, images: Tensor, labels: Tensor, options: PathOptions, ranks: Ranks
) -> tuple[LengthRows, dict[str, Any]] | None:
    found = exact_lengths(
        target,
        images,
        labels,
        longest=options.longest,
        participation=options.participation,
        forward=options.forward,
        memory=options.memory,
        ranks=ranks,
    )
    if found is None:
        return None
    rows = over_images(found.log_norms, len(target.units), longer=found.longer)
    lengths = rows.logs.shape[1]
    norms, own = np.exp(found.log_norms), shares_of_images(found.log_norms)
    more: dict[str, Any] = {
        "over_images": {
            "mean": norms[:lengths].mean(1).tolist(),
            "variance": _variance(norms[:lengths]),
            "share_mean": own[:lengths].mean(1).tolist(),
            "share_variance": _variance(own[:lengths]),
        },
        "share_along_gradient": found.along[:lengths].tolist(),
        "longer": None
        if rows.longer is None
        else {
            "gradient_norm": _exp(rows.longer[0]),
            "share": float(rows.shares[0, -1]),
            "share_along_gradient": float(found.along[-1]),
        },
        "gradient": {"norm": found.norm, "disagreement": found.gap},
    }
    if found.units is not None and found.stages is not None:
        more["participation"] = _participation(target, found.units, found.stages)
    if found.forward is not None:
        more["forward"] = {
            "signal_norm_of_length": np.exp(found.forward[:lengths]).mean(1).tolist(),
            "share": shares_of_images(found.forward)[:lengths].mean(1).tolist(),
        }
    return rows, more


def _variance(values: NDArray[np.float64]) -> list[float] | None:
    """Over images, for each length."""
    return [float(value) for value in values.var(1, ddof=1)] if values.shape[1] > 1 else None


def _participation(target: UserTarget, units: Participation, stages: Participation) -> dict[str, Any]:
    numbers = sorted({unit.stage for unit in target.units})
    of_units = [
        {"index": unit.index, "name": unit.name, "stage": unit.stage, "norm": norm, "share": share}
        for unit, norm, share in zip(target.units, units.norms, units.shares, strict=True)
    ]
    of_stages = []
    for number, norm, share in zip(numbers, stages.norms, stages.shares, strict=True):
        own = [part for unit, part in zip(target.units, units.shares, strict=True) if unit.stage == number]
        of_stages.append(
            {"stage": number, "units": len(own), "norm": norm, "share": share, "mean_branches": math.fsum(own)}
        )
    return {"units": of_units, "stages": of_stages}


def _sampled(
    target: UserTarget, images: Tensor, labels: Tensor, options: PathOptions, ranks: Ranks
) -> tuple[LengthRows, dict[str, Any]] | None:
    full = linearised_target(target, images, labels, between=True)
    generator = torch.Generator().manual_seed(target.seed)
    first = min(8, options.most)
    found = sample_adaptively(full, generator, precision=options.precision, first=first, most=options.most, ranks=ranks)
    if ranks.rank > 0:
        return None
    if not any(one.mean > 0 for one in found):
        raise NotMeasured("no paths: the gradient of every path sampled is zero")
    return over_paths(found, len(target.units)), {
        "paths": [len(one.norms) for one in found],
        "enumerated": [one.every for one in found],
    }


def _left(rows: LengthRows) -> dict[str, Any]:
    """What random deletions of 0, 1, ... units leave: of the paths, and of the norms that they carry."""
    n, shares = rows.n, rows.shares[0].tolist()
    return {
        "deleted": list(range(n + 1)),
        "paths": [float(remaining_path_fraction(n, deleted)) for deleted in range(n + 1)],
        "gradient": [left_after(shares, n, deleted) for deleted in range(n + 1)] if rows.longer is None else None,
    }


def _survival(target: UserTarget, mass: float) -> dict[str, Any] | None:
    """The path lengths of the networks that stochastic depth draws in training; None without survival probabilities."""
    if target.survival is None:
        return None
    law, counts = drawn_lengths(target.survival), expected_counts(target.survival)
    return {
        "probabilities": list(target.survival),
        "length_distribution": [float(share) for share in law],
        "mean_length": float(sum((k * share for k, share in enumerate(law)), Fraction(0))),
        "range": list(central_range(law, mass)),
        "mean_path_count": [float(count) for count in counts],
    }
