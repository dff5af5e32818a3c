"""What the timed steps are; how long they take is the machine's affair."""

from __future__ import annotations

import pytest
import torch

from conftest import make_member
from resbench.data.digits import Dataset
from resbench.experiments import speed
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.networks.units import UnitSpec


def test_timed_steps_train_with_and_without_a_draw_in_turn(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    member = make_member(NetworkSpec(units=(2, 2), widths=(4, 8), unit=UnitSpec(order="original"), inputs=1), data)
    passes: list[tuple[bool, bool]] = []
    forward = ResidualNetwork.forward

    def seen(self: ResidualNetwork, x: torch.Tensor) -> torch.Tensor:
        output = forward(self, x)
        passes.append((self.training, self.last_draw is not None))
        return output

    monkeypatch.setattr(ResidualNetwork, "forward", seen)
    monkeypatch.setattr(speed, "_ROUNDS", 4)
    times = speed.step_times(member)
    assert {name: len(values) for name, values in times.items()} == {"constant": 4, "stochastic": 4}
    assert all(training for training, _ in passes)
    drawn = [draw for _, draw in passes]
    assert drawn == [False, True, *[False, True, True, False] * 2], "one of each to warm up, then in alternating order"
