"""What training showed while it went on, from the curves recorded in the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from resbench.experiments.reading import reads
from resbench.experiments.resampling import REPLICATES
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = ["gradient_ratio", "loss_after", "mean_depth"]


@reads(("training_curves", "network"))
def mean_depth(curves: Result, *, network: str) -> Measurement:
    """Mean number of units that a training pass really used; interval by bootstrap over the epochs' means."""
    epochs = np.concatenate([np.asarray(member["depth"]) for member in curves])
    generator = np.random.default_rng(1)
    drawn = epochs[generator.integers(len(epochs), size=(REPLICATES, len(epochs)))].mean(1)
    return Measurement(float(epochs.mean()), replicates=drawn.tolist(), method="bootstrap over epochs", n=len(epochs))


@reads(("training_curves", "stochastic"), ("training_curves", "constant"))
def gradient_ratio(
    stochastic_curves: Result, constant_curves: Result, *, stochastic: str, constant: str
) -> Measurement:
    """Mean absolute stem gradient with stochastic over constant depth, geometric mean over the last half of training.

    Interval by bootstrap over the epochs' ratios.

    Raises:
        ValueError: one of them diverged.
    """
    _converged({stochastic: stochastic_curves, constant: constant_curves})
    logs = []
    for member, other in zip(stochastic_curves, constant_curves, strict=True):
        numerator, denominator = np.asarray(member["stem_gradient"]), np.asarray(other["stem_gradient"])
        epochs = min(len(numerator), len(denominator))
        logs.append(np.log(numerator[epochs // 2 : epochs] / denominator[epochs // 2 : epochs]))
    ratios = np.concatenate(logs)
    generator = np.random.default_rng(2)
    drawn = ratios[generator.integers(len(ratios), size=(REPLICATES, len(ratios)))].mean(1)
    return Measurement(
        float(np.exp(ratios.mean())),
        replicates=np.exp(drawn).tolist(),
        method="bootstrap over epochs",
        n=len(ratios),
    )


@reads(("training_curves", "networks"))
def loss_after(curves: Sequence[Result], *, networks: Sequence[str], epoch: int) -> Measurement:
    """Training loss of each network in epoch ``epoch`` (from 1), nats: the mean over its members, as recorded.

    Raises:
        ValueError: one of them diverged before.
    """
    results = dict(zip(networks, curves, strict=True))
    _converged(results, epoch)
    table = {
        name: float(np.mean([np.asarray(member["loss"])[epoch - 1] for member in result]))
        for name, result in results.items()
    }
    return Measurement(table, detail=f"recorded in epoch {epoch}")


def _converged(results: Mapping[str, Result], epochs: int | None = None) -> None:
    """Raises: ValueError where a loss of the first ``epochs`` is no number: the training ended there."""
    for name, result in results.items():
        for member in result:
            broken = np.flatnonzero(~np.isfinite(np.asarray(member["loss"])[:epochs]))
            if broken.size:
                raise ValueError(f"the training of {name} diverged in epoch {broken[0] + 1}")
