"""The zoo's layers hand on an argument that is None outside training; that keeps nothing from being folded."""

from __future__ import annotations

import copy

import pytest
import torch

from resbench.adapters.adapting import found_in
from resbench.adapters.folding import fold_batch_norms
from resbench.networks import zoo


@pytest.mark.parametrize(("name", "folded"), [("resnet20", 19), ("resnet20-preact", 10)])
def test_batch_normalisations_after_convolutions_are_folded(name: str, folded: int) -> None:
    network, images = zoo.create(name).train(), torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        network(images)  # statistics that are not 0 and 1
        expected = network.eval()(images)
        own = copy.deepcopy(network)
        found = found_in(own, images, ())
        borders = {end for extent in found.extents for end in (extent.entry, extent.output)}
        assert fold_batch_norms(found.graph, borders) == folded
        torch.testing.assert_close(own(images), expected, rtol=1e-4, atol=1e-4)
