"""Path gradients against autograd on whole networks, against each other, and in single precision."""

from __future__ import annotations

import copy
import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.experiments.path_gradients import (
    draw_paths,
    gradient_by_length_exact,
    path_gradients,
    sample_path_gradients,
)
from resbench.experiments.structure_he import images, relative_error, small_network
from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, ResidualNetwork, build
from resbench.networks.units import UnitSpec

SPECS: dict[str, dict[str, Any]] = {
    "preact": {},
    "original": {"order": "original"},
    "bn-after-add": {"order": "bn-after-add"},
    "relu-before-add": {"order": "relu-before-add"},
    "projection": {"down": "projection"},
    "conv1x1": {"order": "original", "shortcut": "conv1x1"},
    "exclusive-gate": {"shortcut": "exclusive-gate", "gate_bias": -1.0},
    "none": {"order": "original", "shortcut": "none"},
    "scaled": {"shortcut_scale": 0.5, "branch_scale": 0.5},
    "bottleneck": {"body": "bottleneck"},
}


def labels() -> Tensor:
    return torch.arange(len(images()))


def gradient(network: ResidualNetwork, at: str = "first unit") -> Tensor:
    """The ordinary gradient, one forward pass through the network itself."""
    seen: list[Tensor] = []
    batch = images().requires_grad_()
    kept = copy.deepcopy(network)
    handle = kept.residual_units()[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loss = F.cross_entropy(kept(batch), labels())
    handle.remove()
    (result,) = torch.autograd.grad(loss, batch if at == "images" else seen[0])
    return result


def every_path(n: int) -> Tensor:
    return torch.tensor(list(product((False, True), repeat=n)))


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("spec", SPECS)
def test_all_paths_sum_to_the_gradient(spec: str, mode: str) -> None:
    network = small_network(UnitSpec(**SPECS[spec]), units=(2, 2)).train(mode == "train")
    rows = path_gradients(network, images(), labels(), every_path(4))
    assert relative_error(rows.sum(0), gradient(network)) < 1e-10


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("spec", SPECS)
def test_lengths_multiplied_out_are_the_paths_added_up(spec: str, mode: str) -> None:
    network = small_network(UnitSpec(**SPECS[spec]), units=(2, 2)).train(mode == "train")
    paths = every_path(4)
    rows = path_gradients(network, images(), labels(), paths)
    exact = gradient_by_length_exact(network, images(), labels())
    assert exact.shape == (5, *rows.shape[1:])
    assert relative_error(exact.sum(0), gradient(network)) < 1e-10
    for length, row in enumerate(exact):
        added = rows[paths.sum(1) == length].sum(0)
        assert float((row - added).abs().max()) <= 1e-10 * float(exact.abs().max())


def test_lengths_sum_to_the_gradient_in_a_deep_network() -> None:
    network = small_network(UnitSpec(), units=(9, 9, 9))
    rows = gradient_by_length_exact(network, images(), labels(), at="images")
    assert relative_error(rows.sum(0), gradient(network, "images")) < 1e-10


def test_gradient_at_the_images() -> None:
    network = small_network(UnitSpec(), units=(2, 2))
    rows = path_gradients(network, images(), labels(), every_path(4), at="images")
    assert rows.shape == (16, *images().shape)
    assert relative_error(rows.sum(0), gradient(network, "images")) < 1e-10


def test_imagenet_stem() -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec(units=(1, 1), widths=(4, 8), stem="imagenet", stem_width=4))
    assert isinstance(network, ResidualNetwork)
    network.double().eval()
    batch = images(4, 32)
    rows = path_gradients(network, batch, labels(), every_path(2), at="images")
    batch.requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(network(batch), labels()), batch)
    assert relative_error(rows.sum(0), expected) < 1e-10


def test_without_shortcuts_only_the_longest_path_carries_gradient() -> None:
    network = small_network(UnitSpec(order="original", shortcut="none"), units=(2, 2))
    rows = path_gradients(network, images(), labels(), every_path(4)).flatten(1).norm(dim=1)
    assert torch.equal(rows > 0, every_path(4).all(1))


def test_the_path_of_shortcuts_is_the_head_gradient_in_one_stage() -> None:
    network = small_network(UnitSpec(), units=(5,))
    (row,) = path_gradients(network, images(), labels(), torch.zeros(1, 5, dtype=torch.bool))
    x = network.stem(images())
    for unit in network.residual_units():
        x = unit(x)
    x = x.detach().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(network.head(x), labels()), x)
    assert relative_error(row, expected) < 1e-14


def test_the_network_is_left_as_it_was() -> None:
    network = small_network(UnitSpec(order="original"), units=(2, 2)).train()
    before = copy.deepcopy(network.state_dict())
    buffers = dict(network.named_buffers())
    gradient_by_length_exact(network, images(), labels())
    sample_path_gradients(network, images(), labels(), [1], 2, torch.Generator())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(buffer is buffers[name] for name, buffer in network.named_buffers())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("chunk", [3, 1000])
def test_sampled_norms_are_those_of_the_drawn_paths(chunk: int) -> None:
    network = small_network(UnitSpec(), units=(3, 3))
    lengths = [0, 2, 5]
    drawn = draw_paths(6, lengths, 4, torch.Generator().manual_seed(8))
    rows = path_gradients(network, images(), labels(), drawn.flatten(0, 1))
    norms = sample_path_gradients(
        network, images(), labels(), lengths, 4, torch.Generator().manual_seed(8), chunk=chunk
    )
    assert norms.shape == (3, 4)
    assert norms.dtype == torch.float64
    torch.testing.assert_close(norms.flatten(), rows.flatten(1).norm(dim=1), rtol=1e-12, atol=0)


def test_a_long_path_does_not_underflow_in_single_precision() -> None:
    """54 branches of 1e-2 are 1e-108: below float32, and below the square that a norm takes in it."""
    network = build(NetworkSpec(units=(54,), widths=(2,), unit=UnitSpec(branch_scale=1e-2)))
    assert isinstance(network, ResidualNetwork)
    initialise(network, [0])
    network.train()
    norms = {}
    for dtype in (torch.float32, torch.float64):
        network.to(dtype)
        norms[dtype] = sample_path_gradients(network, images().to(dtype), labels(), [54], 1, torch.Generator()).item()
    assert 0 < norms[torch.float64] < 1e-60
    assert math.log(norms[torch.float32]) == pytest.approx(math.log(norms[torch.float64]), rel=1e-3)


def test_drawn_paths_have_their_length_and_use_every_unit_alike() -> None:
    paths = draw_paths(10, [0, 3, 10], 6000, torch.Generator().manual_seed(0))
    assert paths.shape == (3, 6000, 10)
    assert [row.sum(1).unique().tolist() for row in paths] == [[0], [3], [10]]
    # Each unit is on a path of length 3 with probability 0.3: a standard deviation of 0.006 over 6,000 paths.
    assert ((paths[1].double().mean(0) - 0.3).abs() < 0.03).all()
    assert len(paths[1].unique(dim=0)) == math.comb(10, 3)


def test_bad_paths() -> None:
    network = small_network(UnitSpec(), units=(2, 2))
    with pytest.raises(ValueError, match=r"\(paths, 4\), not \(1, 3\)"):
        path_gradients(network, images(), labels(), torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="0 to 4"):
        draw_paths(4, [5], 1, torch.Generator())


def test_copies_are_refused() -> None:
    network = build(NetworkSpec(units=(1,), widths=(2,)), copies=2)
    assert isinstance(network, ResidualNetwork)
    with pytest.raises(ValueError, match="one copy"):
        gradient_by_length_exact(network, torch.zeros(2, 6, 4, 4), torch.zeros(2, dtype=torch.long))
