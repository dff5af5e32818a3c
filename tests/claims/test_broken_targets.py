"""Broken networks of a user go red on the right claims, by the name of the unit; sound ones stay green."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import broken_targets as nets
import pytest
import torch
from torch import nn

from resbench.adapters import adapt
from resbench.claims import load_claims
from resbench.experiments import unit_draws
from resbench.judge import Status, Verdict
from resbench.plan import Run, target_items_of
from resbench.targets.target import UserTarget

STRUCTURE = frozenset(
    {
        "unit-identity-shortcut",
        "unit-gradient-passes",
        "unit-gradient-reaches-all",
        "unit-eval-independent",
        "unit-eval-deterministic",
        "unit-eval-keeps-statistics",
        "unit-train-moves-statistics",
        "unit-eval-reaches-all",
    }
)
TRANSITION = frozenset({"unit-transition-shortcut"})
ADDITIVE = frozenset({"he-forward-additive", "he-backward-decomp"})
DEPTH = frozenset(
    {
        "unit-drop-frequency",
        "unit-test-is-expectation",
        "huang-update",
        "huang-drop-is-identity",
        "huang-expected-depth",
        "huang-time-saving-25",
        "huang-test-rule",
    }
)


def target_of(model: nn.Module, example: torch.Tensor | None = None) -> UserTarget:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(2, 3, 8, 8, generator=generator) if example is None else example
    survival: Any = getattr(model, "survival_probabilities", None)
    return UserTarget(
        name="fault",
        model=model.eval(),
        example=images,
        units=adapt(model, images),
        survival=None if survival is None else tuple(survival),
        data=None,
        trained=False,
        seed=0,
    )


def judged(target: UserTarget) -> dict[str, Verdict]:
    """The structural verdicts on a target that are not NOT_MEASURED."""
    items = target_items_of(load_claims(), kinds=("structural",))
    verdicts = Run(items, target=target).verdicts()
    return {verdict.id: verdict for verdict in verdicts if verdict.status is not Status.NOT_MEASURED}


@pytest.fixture(autouse=True)
def _few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fixed number of training passes: the same draws on every machine."""
    monkeypatch.setattr(unit_draws, "_LEAST", 400)
    monkeypatch.setattr(unit_draws, "_SECONDS", 0.0)


@dataclass(frozen=True)
class Fault:
    """``broken``: claim ids with words that the verdict's message must have; every other claim holds."""

    build: Callable[[], nn.Module]
    claims: frozenset[str]
    broken: dict[str, tuple[str, ...]]


SOUND = {
    "preactivation": Fault(nets.preactivation, STRUCTURE | ADDITIVE, {}),
    "transition": Fault(lambda: nets.preactivation(nets.Transition), STRUCTURE | ADDITIVE | TRANSITION, {}),
    "stochastic": Fault(nets.stochastic, STRUCTURE | DEPTH, {}),
}
FAULTS = {
    "overwritten": Fault(
        lambda: nets.preactivation(nets.OverwrittenShortcut),
        STRUCTURE | ADDITIVE,
        {
            "unit-identity-shortcut": ("units.1: its output is its input with its negative entries set to 0",),
            "unit-gradient-passes": ("units.1",),
            "he-forward-additive": ("units.1: output minus branch is its input with its negative entries set to 0",),
            "he-backward-decomp": ("units.1",),
        },
    ),
    "scaled": Fault(
        lambda: nets.preactivation(nets.ScaledShortcut),
        STRUCTURE | ADDITIVE,
        {
            "unit-identity-shortcut": ("units.1: its output is 0.9 x its input",),
            "unit-gradient-passes": ("units.1: what it passes on is 0.9 x the gradient",),
            "he-forward-additive": ("units.1: output minus branch is 0.9 x its input",),
            "he-backward-decomp": ("units.1: the direct term of its gradient is 0.9 x the gradient",),
        },
    ),
    "detached": Fault(
        lambda: nets.preactivation(nets.DetachedShortcut),
        STRUCTURE | ADDITIVE,
        {
            "unit-gradient-passes": ("units.1: no gradient passes its shortcut (is it detached?)",),
            "he-backward-decomp": ("units.1: the direct term of its gradient is zero",),
        },
    ),
    "forgotten layer": Fault(
        lambda: nets.preactivation(nets.ForgottenLayer),
        STRUCTURE | ADDITIVE,
        {"unit-gradient-reaches-all": ("units.1.unused.weight gets no gradient", "units.1.unused.bias")},
    ),
    "stuck in training": Fault(
        lambda: nets.preactivation(nets.StuckInTraining),
        STRUCTURE | ADDITIVE,
        {
            "unit-eval-reaches-all": ("units.1.bn1 is in training mode after eval()",),
            "unit-eval-keeps-statistics": ("units.1.bn1.running_mean changes in test mode",),
            "unit-eval-independent": ("units.1 is the first",),
        },
    ),
    "stuck in test": Fault(
        lambda: nets.preactivation(nets.StuckInTest),
        STRUCTURE | ADDITIVE,
        {"unit-train-moves-statistics": ("units.1.bn1 does not move in training",)},
    ),
    "mixed images": Fault(
        lambda: nets.preactivation(nets.MixedImages),
        STRUCTURE | ADDITIVE,
        {"unit-eval-independent": ("units.1 is the first whose output for an image depends on the other images",)},
    ),
    "forgetful dropout": Fault(
        lambda: nets.preactivation(nets.ForgetfulDropout),
        STRUCTURE | ADDITIVE,
        {
            "unit-eval-deterministic": ("units.1 is the first to differ between two passes",),
            "unit-eval-independent": ("units.1",),
            "he-backward-decomp": ("units.1",),
        },
    ),
    "noisy transition": Fault(
        lambda: nets.preactivation(nets.NoisyTransition),
        STRUCTURE | ADDITIVE | TRANSITION,
        {
            "unit-transition-shortcut": ("units.1: its output is its shortcut's output",),
            "unit-gradient-passes": ("units.1",),
            "unit-eval-deterministic": ("units.1 is the first to differ between two passes",),
            "unit-eval-independent": ("units.1",),
        },
    ),
    "never drops": Fault(
        lambda: nets.stochastic(nets.NeverDrops, every=True),
        STRUCTURE | {"unit-drop-frequency", "huang-expected-depth", "unit-test-is-expectation", "huang-test-rule"},
        {
            "unit-drop-frequency": ("units.0: used in 400 of 400 draws", "units.5: used in 400 of 400 draws (1.000)"),
            "huang-expected-depth": ("6.000 units used on average, the sum of the p_l is 4.250",),
        },
    ),
    "one never drops": Fault(
        lambda: nets.stochastic(nets.NeverDrops),
        STRUCTURE | DEPTH,
        {"unit-drop-frequency": ("units.1: used in 400 of 400 draws (1.000), p_l = 0.8333",)},
    ),
    "always drops": Fault(
        lambda: nets.stochastic(nets.AlwaysDrops),
        STRUCTURE | DEPTH,
        {"unit-drop-frequency": ("units.1: used in 0 of 400 draws",), "huang-expected-depth": ()},
    ),
    "exchanged": Fault(
        lambda: nets.stochastic(nets.ExchangedProbabilities),
        STRUCTURE | DEPTH,
        {"unit-drop-frequency": ("units.1: used in",), "huang-expected-depth": ()},
    ),
    "off by one": Fault(
        nets.off_by_one,
        STRUCTURE | DEPTH,
        {
            "unit-drop-frequency": ("units.0: used in 400 of 400 draws (1.000), p_l = 0.9583",),
            "unit-test-is-expectation": ("units.0: its test branch is 1 x that of training, p_l = 0.9583",),
            "huang-test-rule": ("units.0",),
            "huang-expected-depth": (),
        },
    ),
    "drops images": Fault(
        lambda: nets.stochastic(nets.DropsImages),
        STRUCTURE | DEPTH,
        {
            "huang-update": ("units.1: drops single images of a mini-batch",),
            "huang-time-saving-25": ("units.1: computed in",),
        },
    ),
    "drops by zero": Fault(
        lambda: nets.stochastic(nets.DropsByZero),
        STRUCTURE | DEPTH,
        {"huang-time-saving-25": ("units.1: computed in",)},
    ),
    "scaled when dropped": Fault(
        lambda: nets.stochastic(nets.ScaledWhenDropped),
        STRUCTURE | DEPTH,
        {"huang-drop-is-identity": ("units.1: when dropped its output is 0.8333 x its input",)},
    ),
    "unscaled": Fault(
        lambda: nets.stochastic(nets.Unscaled),
        STRUCTURE | DEPTH,
        {
            "unit-test-is-expectation": ("units.1: its test branch is 1 x that of training, p_l = 0.8333",),
            "huang-test-rule": ("units.1: its branch is multiplied by 1 in test mode and by 1 in training",),
        },
    ),
    "scaled twice": Fault(
        lambda: nets.stochastic(nets.ScaledTwice),
        STRUCTURE | DEPTH,
        {"huang-test-rule": ("units.1: its branch is multiplied by 0.6944 in test mode and by 0.8333 in training",)},
    ),
    "scaled in training": Fault(
        lambda: nets.stochastic(nets.ScaledInTraining),
        STRUCTURE | DEPTH,
        {"huang-test-rule": ("units.1: its branch is multiplied by 1 in test mode and by 1.2 in training",)},
    ),
}


@pytest.mark.parametrize("fault", [*SOUND.values(), *FAULTS.values()], ids=[*SOUND, *FAULTS])
def test_the_right_claims_break(fault: Fault) -> None:
    verdicts = judged(target_of(fault.build()))
    assert set(verdicts) == fault.claims
    broken = {id for id, verdict in verdicts.items() if verdict.status is not Status.HOLDS}
    assert broken == set(fault.broken), {
        id: verdicts[id].message for id in broken ^ set(fault.broken) if id in verdicts
    }
    for id, words in fault.broken.items():
        assert verdicts[id].status is Status.VIOLATED
        for word in words:
            assert word in verdicts[id].message


def library(name: str) -> UserTarget:
    """A network of torchvision, timm or transformers with random weights, on images as small as it takes."""
    torch.manual_seed(0)
    if name.startswith("timm:"):
        timm = pytest.importorskip("timm")
        return target_of(timm.create_model(name[5:]), torch.randn(2, 3, 32, 32))
    if name == "transformers":
        transformers = pytest.importorskip("transformers")
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="bottleneck"
        )
        return target_of(transformers.ResNetForImageClassification(config), torch.randn(2, 3, 32, 32))
    import torchvision

    return target_of(torchvision.models.get_model(name), torch.randn(2, 3, 32, 32))


POST = STRUCTURE | TRANSITION


@pytest.mark.parametrize(
    ("name", "claims"),
    [
        ("resnet18", POST),
        ("resnet50", POST),
        ("timm:resnet18", POST),
        ("timm:resnetv2_50", POST | ADDITIVE),
        ("transformers", POST),
        ("convnext_tiny", (STRUCTURE | ADDITIVE) - {"unit-train-moves-statistics"}),
    ],
)
def test_networks_that_people_use_are_sound(name: str, claims: frozenset[str]) -> None:
    verdicts = judged(library(name))
    assert set(verdicts) == claims
    assert {id: verdict.message for id, verdict in verdicts.items() if verdict.status is not Status.HOLDS} == {}


def test_stochastic_depth_of_a_library_draws_for_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's and timm's: the declared frequencies and the expectation hold, the paper's rules do not."""
    import torchvision

    monkeypatch.setattr(unit_draws, "_LEAST", 120)
    torch.manual_seed(0)
    model = torchvision.models.efficientnet_b0(stochastic_depth_prob=0.5)
    modules = [m for m in model.modules() if getattr(m, "use_res_connect", False)]
    model.survival_probabilities = [1.0 - m.stochastic_depth.p for m in modules]
    verdicts = judged(target_of(model, torch.randn(2, 3, 32, 32)))
    broken = {id: verdict for id, verdict in verdicts.items() if verdict.status is not Status.HOLDS}
    assert set(broken) == {"huang-update", "huang-time-saving-25", "huang-test-rule"}
    assert "features.2.1: drops single images of a mini-batch" in broken["huang-update"].message
    assert {"unit-drop-frequency", "unit-test-is-expectation", "huang-drop-is-identity"} <= set(verdicts)


def test_every_structural_claim_on_a_target_can_break() -> None:
    """The claims that speak of units are those that these faults break; a new one needs a fault of its own."""
    claims = {c.id for c in load_claims() for e in c.expect if e.quantity.startswith("unit_quantities.")}
    library = {"huang-update", "huang-time-saving-25", "huang-test-rule"}
    assert claims == library.union(*(fault.broken for fault in FAULTS.values()))
