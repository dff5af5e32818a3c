"""The checks of a user's units: they leave the network alone, work where float64 does not, and see silent branches."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import adapt
from resbench.errors import NotMeasured
from resbench.experiments import unit_draws as draws
from resbench.experiments import unit_quantities as quantities
from resbench.experiments.unit_draws import unit_draws
from resbench.experiments.unit_modes import unit_modes
from resbench.experiments.unit_scaling import unit_scaling
from resbench.experiments.unit_shortcuts import difference_in_words, unit_shortcuts
from resbench.experiments.unit_streams import unit_streams
from resbench.experiments.unit_training import unit_training
from resbench.targets.target import UserMember, UserTarget

TOLERANCE: dict[str, Any] = {"network": "target", "float64": 1e-10, "float32": 1e-4}
EXPERIMENTS = [unit_shortcuts, unit_streams, unit_modes, unit_training, unit_draws, unit_scaling]


class Unit(nn.Module):
    """Conv-BN branch, ReLU after the addition unless ``last`` is another module; may drop its branch."""

    def __init__(self, inputs: int = 4, outputs: int = 4, last: nn.Module | None = None, p: float = 1.0):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride)
        self.last = nn.ReLU() if last is None else last
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.rand(()) >= self.p:
            return self.last(self.skip(x))  # type: ignore[no-any-return]
        factor = 1.0 if self.training else self.p
        return self.last(self.skip(x) + factor * self.bn(self.conv(x)))  # type: ignore[no-any-return]


def network(*units: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5))


def target_of(model: nn.Module, survival: tuple[float, ...] | None = None, units: tuple[str, ...] = ()) -> UserTarget:
    torch.manual_seed(0)
    example = torch.randn(2, 3, 10, 10)
    model.eval()(example)
    for parameter in model.parameters():  # what is nonzero cannot be told apart from what was put back by chance
        nn.init.normal_(parameter.data, std=0.5)
    return UserTarget("net", model, example, adapt(model, example, units=units), survival, None, False, 0)


def result(experiment: Callable[[UserMember], dict[str, Any]], target: UserTarget) -> tuple[dict[str, Any], ...]:
    return (experiment(target.members[0]),)


@pytest.fixture(autouse=True)
def _few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "_LEAST", 60)
    monkeypatch.setattr(draws, "_SECONDS", 0.0)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_network_is_left_as_it_was(experiment: Callable[[UserMember], dict[str, Any]]) -> None:
    model = network(Unit(p=0.5), Unit(4, 8, p=0.7), Unit(8, 8))
    target = target_of(model, (0.5, 0.7, 1.0))
    model[2].train()
    model[2].conv.weight.requires_grad_(False)  # type: ignore[union-attr]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    objects = [*map(id, model.parameters()), *map(id, model.buffers())]
    modes = [module.training for module in model.modules()]
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    experiment(target.members[0])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(value.dtype == state[name].dtype for name, value in model.state_dict().items())
    assert objects == [*map(id, model.parameters()), *map(id, model.buffers())]
    assert modes == [module.training for module in model.modules()]
    assert not model[2].conv.weight.requires_grad  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]  # type: ignore[union-attr]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_network_is_left_as_it_was_after_an_exception(experiment: Callable[[UserMember], dict[str, Any]]) -> None:
    class Failing(Unit):
        armed = False

        def forward(self, x: Tensor) -> Tensor:
            if self.armed:
                raise KeyError("of the user's own")
            return super().forward(x)

    unit = Failing(p=0.5)
    model = network(Unit(p=0.5), unit)
    target = target_of(model, (0.5, 0.5))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    unit.armed = True
    with pytest.raises(KeyError, match="of the user's own"):
        experiment(target.members[0])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_what_a_module_keeps_of_its_weights_is_not_left_behind() -> None:
    """As attention biases are kept in test mode: a copy in float64 must not outlive the measurement."""

    class Keeping(Unit):
        kept: Tensor | None = None

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(4, 1, 1))

        def train(self, mode: bool = True) -> Keeping:
            self.kept = None if mode else self.kept
            return super().train(mode)

        def forward(self, x: Tensor) -> Tensor:
            if self.training or self.kept is None:
                self.kept = 2 * self.gain
            return F.relu(x + self.kept * self.bn(self.conv(x)))

    unit = Keeping()
    target = target_of(network(unit), (1.0,))
    unit.kept = None  # of the weights before target_of drew others
    expected = target.model(target.example)
    for experiment in EXPERIMENTS:
        found = result(experiment, target)
        assert unit.kept is None
        assert torch.equal(target.model(target.example), expected)
        if experiment is unit_modes:
            assert quantities.unreached_parameters(found, network="target").value == 0


def test_measurements_repeat() -> None:
    target = target_of(network(Unit(p=0.5), Unit(p=0.7)), (0.5, 0.7))
    first, second = (result(unit_draws, target)[0] for _ in range(2))
    assert first["used"].tolist() == second["used"].tolist()
    assert 0 < first["used"][0] < first["trials"][0] == 60


def test_float32_where_the_code_knows_nothing_else() -> None:
    class Single(Unit):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x + self.bn(self.conv(x.float())))

    found = result(unit_shortcuts, target_of(network(Single(), Unit())))
    assert str(found[0]["dtype"]) == "float32"
    exact = quantities.shortcuts_not_exact(found, **TOLERANCE)
    assert (exact.value, exact.n) == (0, 2)
    assert "float32" in exact.detail


def test_branches_that_start_silent_are_seen() -> None:
    """BN's last weight is often initialised with zero: a branch that mixes images would hide behind it."""

    class Mixing(Unit):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x + self.bn(self.conv(x).mean(0, keepdim=True).expand(len(x), -1, -1, -1)))

    model = network(Unit(p=0.5), Mixing(), Unit(p=0.5))
    target = target_of(model, (0.5, 1.0, 0.5))
    for unit in target.units:
        nn.init.zeros_(unit.place.module.bn.weight)  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(unit.place.module.bn.bias)  # type: ignore[union-attr, arg-type]
    modes = result(unit_modes, target)
    assert "3 is the first" in quantities.images_that_matter_to_others(modes, **TOLERANCE).detail
    assert quantities.unreached_parameters(modes, network="target").value == 0
    drawn = result(unit_draws, target)
    assert not drawn[0]["silent"].any()
    assert quantities.implausible_drop_frequencies(drawn, network="target", confidence=0.999).value == 0


def test_a_branch_that_cannot_be_silenced_is_not_judged() -> None:
    class Shifted(Unit):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x + (self.bn(self.conv(x)) + 1.0))

    mixed = target_of(network(Shifted(), Unit()))
    found = quantities.shortcuts_not_exact(result(unit_shortcuts, mixed), **TOLERANCE)
    assert (found.value, found.n) == (0, 1)
    assert "not tested: 2 (" in found.detail
    with pytest.raises(NotMeasured, match="no branch could be set to zero: 2 "):
        quantities.shortcuts_not_exact(result(unit_shortcuts, target_of(network(Shifted()))), **TOLERANCE)


def test_what_the_target_lacks_is_said() -> None:
    target = target_of(network(Unit(), Unit()))
    with pytest.raises(NotMeasured, match="a ReLU follows the additions"):
        quantities.additions_not_additive(result(unit_streams, target), **TOLERANCE)
    with pytest.raises(NotMeasured, match="no unit of the target changes the shape"):
        quantities.transitions_not_exact(result(unit_shortcuts, target), **TOLERANCE)
    for experiment in (unit_draws, unit_scaling):
        with pytest.raises(NotMeasured, match=r"no survival probabilities: give --survival or set model\.survival"):
            experiment(target.members[0])
    undropped = result(unit_draws, target_of(network(Unit()), (1.0,)))
    for quantity in (
        quantities.drops_per_image,
        quantities.drops_that_change_the_signal,
        quantities.branches_computed_when_dropped,
    ):
        with pytest.raises(NotMeasured, match="no unit was dropped in 60 training passes"):
            quantity(undropped, network="target")
    assert quantities.depth_deviation(undropped, network="target").value == 0


def test_no_normalisation() -> None:
    class Bare(Unit):
        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(x)

    bare = target_of(network(Bare()))
    with pytest.raises(NotMeasured, match="no batch normalisation"):
        quantities.frozen_statistics(result(unit_training, bare), network="target")


def test_stretches_end_where_something_happens_between_units() -> None:
    plain = [Unit(last=nn.Identity()) for _ in range(4)]
    target = target_of(network(plain[0], plain[1], nn.Softplus(), plain[2], plain[3]))
    found = result(unit_streams, target)
    assert int(found[0]["longest"]) == 2
    assert quantities.additions_not_additive(found, **TOLERANCE).n == 4
    assert quantities.gradients_not_additive(found, **TOLERANCE).value == 0
    for kind in ("forward_sum", "backward_sum"):
        assert np.nanmax(found[0][kind]) < 1e-12
        assert np.isfinite(found[0][kind]).sum() == 4


def test_a_shortcut_that_only_negative_entries_show_to_be_overwritten() -> None:
    """The unit's input in the network has passed a ReLU: there a ReLU in place changes nothing."""

    class Overwriting(Unit):
        def forward(self, x: Tensor) -> Tensor:
            return self.bn(self.conv(F.relu(x, inplace=True))) + x  # type: ignore[no-any-return]

    target = target_of(network(Overwriting()))
    assert float(target.units[0].example.min()) >= 0
    found = quantities.shortcuts_not_exact(result(unit_shortcuts, target), **TOLERANCE)
    assert found.detail.startswith("2: its output is its input with its negative entries set to 0")


def test_units_by_name_are_judged_without_their_inside() -> None:
    """A module with two additions inside is opaque: what can be run can be judged."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Unit(), Unit()

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))  # type: ignore[no-any-return]

    target = target_of(network(Two(), Two()), units=("2", "3"))
    assert [unit.opaque for unit in target.units] == [True, True]
    with pytest.raises(NotMeasured, match="no branch could be set to zero"):
        quantities.shortcuts_not_exact(result(unit_shortcuts, target), **TOLERANCE)
    assert quantities.outputs_not_repeated(result(unit_modes, target), network="target").value == 0


X = torch.linspace(-2, 3, 48, dtype=torch.float64).reshape(2, 3, 2, 4)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (0.9 * X, "it is 0.9 x its input"),
        (-X, "it is -1 x its input"),
        (0.999995 * X, "it is 0.999995 x its input"),
        (1.0000000002 * X, "it is 1.0000000002 x its input"),
        (
            X * torch.tensor([1.0, 0.99998, 1.00004])[:, None, None],
            "it is its input scaled channel by channel, by 0.99998 to 1.00004",
        ),
        (0 * X, "it is zero"),
        (X.relu(), "it is its input with its negative entries set to 0"),
        (X * torch.tensor([1.0, 2.0, 3.0])[:, None, None], "it is its input scaled channel by channel, by 1 to 3"),
        (X * torch.sigmoid(X), "it is its input times a gate of 0.1192 to 0.9526"),
        (X + 1.0, "it is not its input: they differ by up to 1 where its input goes up to 3"),
        (X / 0, "it is not finite"),
        (X[:, :2], "it is of shape (2, 2, 4), not (3, 2, 4)"),
    ],
)
def test_differences_in_words(measured: Tensor, words: str) -> None:
    assert difference_in_words("it is", measured, X, "its input") == words


def test_a_difference_from_nothing_in_words() -> None:
    assert difference_in_words("it is", -X.abs(), 0 * X, "its input") == "it is up to 3, where its input is zero"


def counted(p: list[float], used: list[int], passes: int) -> tuple[dict[str, Any], ...]:
    n = len(p)
    return (
        {
            "names": np.array([f"u{i}" for i in range(n)]),
            "p": np.array(p),
            "used": np.array(used),
            "trials": np.full(n, passes),
            "silent": np.zeros(n, dtype=bool),
            "depth": np.full(passes, sum(used) / passes),
            "passes": np.array(passes),
        },
    )


def test_frequencies_against_their_probabilities() -> None:
    result = counted([1.0, 0.9, 0.5, 0.5], [999, 900, 501, 400], 1000)
    found = quantities.implausible_drop_frequencies(result, network="t", confidence=0.999)
    assert found.value == 2
    assert found.detail.startswith("u0: used in 999 of 1000 draws (0.999), p_l = 1; u3: used in 400 of 1000 draws")
    # Two-sided 99.9 % over four units: 3.66 standard deviations of 0.0158.
    assert "a shift of 0.058 would show" in found.detail


def test_depth_in_standard_errors() -> None:
    # 100 draws of two units with p = 1/2: variance 1/2 a draw, standard error 0.0707.
    assert quantities.depth_deviation(counted([0.5, 0.5], [60, 50], 100), network="t").value == pytest.approx(
        1.414, abs=1e-3
    )
    assert quantities.depth_deviation(counted([1.0, 1.0], [100, 99], 100), network="t").value > 1e6


def test_a_shifted_schedule_is_improbable() -> None:
    """27 units, 400 passes: no single unit and no total tells the two schedules apart, all units together do."""
    declared = [1 - (i + 1) / 54 for i in range(27)]
    shifted = [round(400 * (1 - i / 52)) for i in range(27)]
    true = counted(declared, [round(400 * p) for p in declared], 400)
    off = counted(declared, shifted, 400)
    assert quantities.schedule_shift_probability(true, network="t").value > 0.5
    assert quantities.schedule_shift_probability(off, network="t").value < 0.001  # type: ignore[operator]
    assert quantities.implausible_drop_frequencies(off, network="t", confidence=0.999).value == 0
    assert quantities.depth_deviation(off, network="t").value < 3.3  # type: ignore[operator]
