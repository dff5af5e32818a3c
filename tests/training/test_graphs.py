"""CUDA graphs change how training is launched, not what it computes."""

from __future__ import annotations

import pytest
import torch

from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.networks.sampling import make_sampler
from resbench.training.recipes import Recipe
from resbench.training.trainer import EpochRow, Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: CUDA graphs are there alone")

SPEC = NetworkSpec(units=(2, 2, 2), widths=(8, 16, 32))
STEPS = 12


def course(*, graphs: bool, sampling: str, precision: str = "float32") -> Trainer:
    value = {"all": 1.0, "linear": 0.5, "exactly": 3.0}[sampling]
    recipe = Recipe(residual=SPEC, lr=0.05, schedule="drops", drops=(2, 3), epochs=4, sampling=sampling,  # type: ignore[arg-type]
                    sampling_value=value, batch=32)  # fmt: skip
    network = ResidualNetwork(SPEC)
    initialise(network, [0])
    if sampling != "all":
        network.sampler = make_sampler(sampling, 6, value, [0])  # type: ignore[arg-type]
    placed = network.cuda().to(memory_format=torch.channels_last).train()
    return Trainer(placed, recipe, 96, graphs=graphs, precision=precision)


def trained(made: Trainer) -> tuple[EpochRow, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        images = torch.randn(32, 3, 16, 16, generator=generator).cuda()
        labels = torch.randint(0, 10, (32, 1), generator=generator).cuda()
        made.step(images.contiguous(memory_format=torch.channels_last), labels)
    return made.end_epoch(), made.network.state_dict()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("sampling", ["all", "linear", "exactly"])
def test_graphs_train_the_same_network(sampling: str, precision: str) -> None:
    """Over several learning rates; float32 to rounding, bf16 to its own."""
    (rows, state), (expected_rows, expected) = (
        trained(course(graphs=graphs, sampling=sampling, precision=precision)) for graphs in (True, False)
    )
    close = {"rtol": 1e-3, "atol": 1e-4} if precision == "float32" else {"rtol": 0.1, "atol": 0.02}
    torch.testing.assert_close(rows.loss, expected_rows.loss, **close)
    assert torch.equal(rows.depth, expected_rows.depth)
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, msg=name, **close)


def test_graphed_units_run_as_they_are_in_eval_mode() -> None:
    made = course(graphs=True, sampling="linear")
    trained(made)
    images = torch.randn(8, 3, 16, 16).cuda().contiguous(memory_format=torch.channels_last)
    made.network.eval()
    with torch.inference_mode():
        found = made.logits(images)
        copy = ResidualNetwork(SPEC)
        copy.load_state_dict(made.network.state_dict())
        torch.testing.assert_close(found, copy.cuda().eval()(images), rtol=1e-4, atol=1e-4)
