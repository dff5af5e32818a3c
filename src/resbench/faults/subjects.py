"""The networks on which the claims on a user's network (the setting ``target``) are judged under a fault.

They are resbench's own, so that a fault in ``networks`` reaches them: a pre-activation network, one with stochastic
depth, one that is compared with the same network as torchvision wrote it, and a trained one with its test images.
All are built while the fault is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resbench.claims.model import Expectation
from resbench.plan import Item
from resbench.records.places import baselines

if TYPE_CHECKING:
    from resbench.targets.target import UserTarget

__all__ = ["SUBJECTS", "Subject"]

_TRAINED = "preact-54"


@dataclass(frozen=True)
class Subject:
    """A network, and the claims that are judged on it: those one of whose quantities satisfies ``asks``."""

    build: Callable[[], UserTarget]
    asks: Callable[[Expectation], bool]

    def items(self, items: Sequence[Item]) -> list[Item]:
        """Those of ``items`` that are judged on this network."""
        return [item for item in items if any(self.asks(expectation) for expectation in item.claim.expect)]


def _preactivation() -> UserTarget:
    from resbench.experiments.structure_he import images, small_network
    from resbench.networks.units import UnitSpec
    from resbench.targets.load import target_of

    return target_of(small_network(UnitSpec(), units=(2, 2)).float(), images().float())


def _stochastic() -> UserTarget:
    """Linear decay to 1/2, original units; branches are scaled in test mode as the zoo's networks do."""
    import torch

    from resbench.experiments.structure_huang import random_images, stochastic_recipe, thin_network
    from resbench.networks.residual import NetworkSpec
    from resbench.networks.units import UnitSpec
    from resbench.targets.load import target_of
    from resbench.training.loop import apply_test_scaling, make_sampler

    spec = NetworkSpec(units=(3, 3), widths=(4, 8), unit=UnitSpec(order="original"))
    recipe = stochastic_recipe("linear", 0.5, spec)
    network = thin_network(spec, dtype=torch.float32)
    network.sampler = make_sampler(recipe, spec.n_units, [0])
    apply_test_scaling(network, recipe)
    declared = [1.0 - unit / spec.n_units * 0.5 for unit in range(1, spec.n_units + 1)]
    return target_of(network, random_images(2, dtype=torch.float32), survival=declared)


def _rewritten() -> UserTarget:
    from resbench.targets.load import load_target
    from resbench.targets.options import TargetOptions

    return load_target(TargetOptions("resnet18-imagenet", against="torchvision:resnet18", input="3x32x32"))


def _trained() -> UserTarget:
    from resbench.data import load_dataset
    from resbench.targets.load import target_of
    from resbench.training.checkpoints import load, read_index
    from resbench.training.recipes import load_recipes

    folder = baselines() / "checkpoints" / "digits"
    entry = read_index(folder)[_TRAINED]
    recipe = load_recipes("digits")[_TRAINED]
    loaded = load(
        folder / str(entry["file"]), _TRAINED, recipe, load_dataset("digits"), sha256=str(entry["sha256"]), device="cpu"
    )
    half = loaded.members[0]
    return target_of(half.network, data=half.test)


def _speaks_of_units(expectation: Expectation) -> bool:
    return expectation.quantity.startswith("unit_quantities.")


SUBJECTS: tuple[Subject, ...] = (
    Subject(_preactivation, _speaks_of_units),
    Subject(_stochastic, _speaks_of_units),
    Subject(_rewritten, lambda expectation: expectation.quantity.startswith("against.")),
    Subject(_trained, lambda expectation: expectation.kind == "trained"),
)
