"""Time that stochastic depth saves by really skipping branches: a paired ratio in one run (Huang 2016, table 2)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from resbench.errors import NotMeasured
from resbench.experiments.reading import reads
from resbench.experiments.resampling import REPLICATES
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.networks.sampling import Survival, linear_decay
from resbench.records.measurement import Measurement
from resbench.records.results import Result
from resbench.targets.target import UserMember
from resbench.training.target import Member

__all__ = ["step_times", "stochastic_time_ratio"]

_ROUNDS = 16
_BATCH = 64


def step_times(member: Member | UserMember) -> dict[str, Any]:
    """Seconds of training steps, constant and stochastic depth (linear decay to 0.5) in turn, same data.

    Returns ``constant`` and ``stochastic``: seconds ``(rounds,)``.  A dropped branch costs nothing forward and nothing
    backward.
    """
    if isinstance(member, UserMember):
        raise NotMeasured("a target has no variant without stochastic depth to be timed against")
    spec = member.network.spec
    assert isinstance(spec, NetworkSpec)
    images, labels = member.train.take(range(min(_BATCH, len(member.train))))
    steps = {}
    for name in ("constant", "stochastic"):
        network = ResidualNetwork(spec)
        if name == "stochastic":
            network.sampler = Survival(linear_decay(spec.n_units, 0.5), [member.half])
        steps[name] = _step(network, images, labels)
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(_ROUNDS):
        # The order alternates, so that a drift of the machine's speed favours neither.
        for name in sorted(steps, reverse=turn % 2 == 1):
            started = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in times.items()}


def _step(network: ResidualNetwork, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()

    return step


@reads(("step_times", "network"))
def stochastic_time_ratio(times: Result, *, network: str, low: float, high: float) -> Measurement:
    """Time of a stochastic-depth step over that of a constant-depth step: total over total, paired by round.

    Raises:
        NotMeasured: the 95 % interval straddles ``low`` or ``high``: this machine was too noisy to judge.
    """
    stochastic = np.concatenate([np.asarray(member["stochastic"]) for member in times])
    constant = np.concatenate([np.asarray(member["constant"]) for member in times])
    generator = np.random.default_rng(3)
    picks = generator.integers(len(constant), size=(REPLICATES, len(constant)))
    drawn = stochastic[picks].sum(1) / constant[picks].sum(1)
    value = float(stochastic.sum() / constant.sum())
    bottom, top = (float(q) for q in np.percentile(drawn, [2.5, 97.5]))
    for bound in (low, high):
        if bottom < bound < top:
            raise NotMeasured(
                f"too noisy to judge on this machine: ratio {value:.3f} with interval {bottom:.3f} to {top:.3f}"
            )
    return Measurement(
        value,
        interval=(bottom, top),
        method="bootstrap over rounds",
        n=len(constant),
        samples={"stochastic": stochastic.tolist(), "constant": constant.tolist()},
    )
