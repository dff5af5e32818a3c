"""Shared fixtures: small trained networks that tests make themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from resbench.data.digits import Dataset, digits
from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, PlainSpec, build
from resbench.training.loop import Curves
from resbench.training.target import Member

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Thin networks and parallel test processes: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data() -> Dataset:
    return digits()


def make_member(spec: NetworkSpec | PlainSpec, data: Dataset, *, half: int = 0, images: int = 60) -> Member:
    """An untrained network with plausible BN statistics, on a few images."""
    network = build(spec)
    initialise(network, [half])
    train, test = data.train(half), data.test(half)
    network.train()
    with torch.no_grad():
        network(train[0][:256])
    network.eval()
    return Member(
        network,
        half,
        (train[0][:images], train[1][:images]),
        (test[0][:images], test[1][:images]),
        Curves((1.0, 0.5), (3.0, 3.0), (0.1, 0.2)),
    )
