"""The refactor check: true rewrites agree in everything, and each kind of mistake is found, named and placed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import adapt
from resbench.errors import NotMeasured, UserError
from resbench.experiments import against as refactor
from resbench.experiments.against_compare import relative_difference, tolerance_of
from resbench.experiments.against_weights import CannotMatch, match
from resbench.targets.images import Images
from resbench.targets.target import UserTarget

PARTS = (
    "outputs in eval mode",
    "outputs in train mode",
    "input gradient",
    "parameter gradients",
    "buffers after a train step",
    "lesion profile",
)
WIDTHS = (4, 4, 8, 8, 8, 8)


class Block(nn.Module):
    """The old code: modules, as torchvision writes a BasicBlock."""

    def __init__(self, inputs: int, width: int, **faults: Any):
        super().__init__()
        stride = 1 if inputs == width else 2
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, momentum=faults.get("momentum", 0.1))
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=faults.get("bias", False))
        self.bn2 = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(faults.get("dropout", 0.0))
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, 2, bias=False), nn.BatchNorm2d(width))
        self.faults = faults

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        if self.faults.get("detached"):
            shortcut = shortcut.detach()
        shortcut = shortcut * self.faults.get("scale", 1.0)
        y = self.bn1(self.conv1(x))
        y = y if self.faults.get("no_relu") else self.relu(y)
        y = self.drop(self.bn2(self.conv2(y)))
        total = y + shortcut
        return total if self.faults.get("no_last_relu") else self.relu(total)


class Old(nn.Module):
    """Six units; ``faults``: index of a unit -> what is wrong with it."""

    def __init__(
        self, faults: dict[int, dict[str, Any]] | None = None, widths: tuple[int, ...] = WIDTHS, zero: bool = False
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        pairs = zip((widths[0], *widths), widths, strict=False)
        self.layers = nn.ModuleList(Block(a, b, **(faults or {}).get(i, {})) for i, (a, b) in enumerate(pairs))
        self.fc = nn.Linear(widths[-1], 5)
        self.order = list(range(len(widths)))
        self.stem_scale = self.head_scale = 1.0
        if zero:
            for block in self.layers:
                nn.init.zeros_(block.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x))) * self.stem_scale
        for index in self.order:
            x = self.layers[index](x)
        return self.fc(x.mean((2, 3)) * self.head_scale)


class FunctionalBlock(nn.Module):
    """A rewrite: other names, functional calls, the shortcut computed last, the branch added to it."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.stride = 1 if inputs == width else 2
        self.body = nn.ModuleList(
            [
                nn.Conv2d(inputs, width, 3, self.stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.Conv2d(width, width, 3, 1, 1, bias=False),
                nn.BatchNorm2d(width),
            ]
        )
        if self.stride == 2:
            self.project = nn.Conv2d(inputs, width, 1, 2, bias=False)
            self.project_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.body[0].weight, None, self.stride, 1)
        y = F.conv2d(torch.relu(self.body[1](y)), self.body[2].weight, padding=1)
        y = self.body[3](y)
        kept = self.project_norm(self.project(x)) if self.stride == 2 else x
        return torch.clamp_min(kept + y, 0.0)


class New(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        pairs = zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False)
        self.stages = nn.Sequential(*(FunctionalBlock(a, b) for a, b in pairs))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


@dataclass(frozen=True)
class Given:
    """A member as the lab passes it."""

    target: UserTarget
    against: UserTarget | None


def target(network: nn.Module, *, data: bool = False, trained: bool = False, size: int = 16) -> UserTarget:
    network.eval()
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(40, 3, size, size, generator=generator) * 4 * torch.rand(40, 3, 1, 1, generator=generator)
    return UserTarget(
        name=type(network).__name__.lower(),
        model=network,
        example=example,
        units=adapt(network, example),
        survival=None,
        data=Images.of_tensors(images, torch.arange(40) % 5) if data else None,
        trained=trained,
        seed=0,
    )


def made(kind: type[nn.Module], *args: Any, seed: int = 0, **kwargs: Any) -> nn.Module:
    torch.manual_seed(seed)
    return kind(*args, **kwargs)


def judged(new: nn.Module, old: nn.Module, *, data: bool = False) -> tuple[dict[str, Any], dict[str, str]]:
    """Values (in tolerances) and details of every part and of the structure."""
    member = Given(target(new, data=data), target(old))
    result = (refactor.against(member),)
    values, details = {}, {}
    for part in PARTS:
        try:
            measured = refactor.agreement(result, network="target", part=part)
            values[part], details[part] = measured.value, measured.detail
        except NotMeasured as reason:
            values[part], details[part] = None, str(reason)
    measured = refactor.structure_differences(result, network="target")
    return values | {"structure": measured.value}, details | {"structure": measured.detail}


def unequal(values: dict[str, Any]) -> set[str]:
    return {
        part for part, value in values.items() if value is not None and not value <= (0 if part == "structure" else 1)
    }


def both_ways(new: nn.Module, old: nn.Module) -> list[tuple[dict[str, Any], dict[str, str]]]:
    return [judged(new, old), judged(old, new)]


def state(network: nn.Module) -> dict[str, Any]:
    return {
        name: (tensor.clone(), tensor.dtype, id(tensor)) for name, tensor in network.state_dict(keep_vars=True).items()
    }


def unchanged(network: nn.Module, before: dict[str, Any]) -> bool:
    after = network.state_dict(keep_vars=True)
    return not any(module.training for module in network.modules()) and all(
        torch.equal(after[name], tensor) and after[name].dtype == dtype and id(after[name]) == identity
        for name, (tensor, dtype, identity) in before.items()
    )


def test_a_true_rewrite_agrees_in_everything_and_leaves_both_networks_alone():
    new, old = made(New, seed=3), made(Old)
    before = state(new), state(old)
    random = torch.get_rng_state()
    for values, details in (judged(new, old, data=True), judged(old, new, data=True)):
        assert not unequal(values), details
        assert None not in values.values(), details
        assert "6 units renamed" in details["structure"]
    assert torch.equal(torch.get_rng_state(), random)
    assert unchanged(new, before[0])
    assert unchanged(old, before[1])


def test_the_same_code_is_identical_and_matched_by_name():
    result = refactor.compared(target(made(Old, seed=5)), target(made(Old)))
    assert result["match"] == "weights matched by name"
    assert {c.difference for rows in result["parts"].values() for c in rows} == {0.0}


def test_a_scaled_shortcut_is_named_with_its_unit_and_part():
    for values, details in both_ways(made(Old, {4: {"scale": 0.9}}), made(Old)):
        assert {"outputs in eval mode", "outputs in train mode", "lesion profile", "input gradient"} <= unequal(values)
        assert "first in unit 5 'layers.4': shortcut differs by 0.1," in details["outputs in eval mode"]
        assert "first in unit 5 'layers.4': shortcut differs by 0.1," in details["input gradient"]
        assert "shortcut kind" in details["structure"]
        assert "unit 5 'layers.4'" in details["structure"]


def test_another_momentum_shows_in_the_buffers_only():
    for values, details in both_ways(made(Old, {2: {"momentum": 0.2}}), made(Old)):
        assert unequal(values) == {"buffers after a train step"}
        assert "layers.2.bn1.running_mean differs" in details["buffers after a train step"]
        assert "2 of" in details["buffers after a train step"]


def test_a_missing_activation_is_found_within_the_branch_and_at_the_end():
    for values, details in both_ways(made(Old, {3: {"no_relu": True}}), made(Old)):
        assert "outputs in eval mode" in unequal(values)
        assert "first in unit 4 'layers.3': branch differs" in details["outputs in eval mode"]
    for values, details in both_ways(made(Old, {3: {"no_last_relu": True}}), made(Old)):
        assert "structure" in unequal(values)
        assert "unit 4 'layers.3': after kind" in details["structure"]
        assert "first in unit 4 'layers.3': shortcut and branch agree, what follows" in details["outputs in eval mode"]


def test_another_dropout_shows_in_train_mode_only():
    for values, details in both_ways(made(Old, {1: {"dropout": 0.2}}), made(Old, {1: {"dropout": 0.3}})):
        assert "outputs in train mode" in unequal(values)
        assert not {"outputs in eval mode", "lesion profile", "structure"} & unequal(values)
        assert "first in unit 2 'layers.1': branch differs" in details["outputs in train mode"]


def test_the_same_dropout_is_no_difference():
    values, details = judged(made(Old, {1: {"dropout": 0.2}}, seed=1), made(Old, {1: {"dropout": 0.2}}))
    assert not unequal(values), details


def test_the_result_does_not_depend_on_the_state_of_the_random_numbers():
    pair = target(made(Old, {1: {"dropout": 0.2}})), target(made(Old, {1: {"dropout": 0.3}}))
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        seen.append(refactor.compared(*pair)["parts"])
    assert seen[0] == seen[1]


def test_a_detached_shortcut_has_the_same_outputs_but_other_gradients():
    for values, details in both_ways(made(Old, {3: {"detached": True}}), made(Old)):
        assert {"input gradient", "parameter gradients"} <= unequal(values)
        assert not {"outputs in eval mode", "outputs in train mode", "lesion profile"} & unequal(values)
        assert "first in unit 4 'layers.3': the gradient through it differs" in details["input gradient"]
        assert ": shortcut by" in details["input gradient"]


def test_units_in_another_order_are_named():
    new = made(Old)
    new.order = [0, 1, 2, 4, 3, 5]
    for values, details in both_ways(new, made(Old)):
        assert {"outputs in eval mode", "structure"} <= unequal(values)
        assert "the units run in another order" in details["structure"]
        assert "unit 4" in details["structure"]
        assert "first in unit 4" in details["outputs in eval mode"]


@pytest.mark.parametrize(("attribute", "place"), [("stem_scale", "first in the stem"), ("head_scale", "in the head")])
def test_differences_before_and_after_the_units(attribute, place):
    new = made(Old)
    setattr(new, attribute, 1.01)
    for values, details in both_ways(new, made(Old)):
        assert "outputs in eval mode" in unequal(values)
        assert place in details["outputs in eval mode"]


def test_a_zero_initialised_branch_does_not_hide_a_difference():
    new, old = made(Old, {3: {"no_relu": True}}, zero=True), made(Old, zero=True)
    images = torch.randn(4, 3, 16, 16)
    new.load_state_dict(old.state_dict())
    assert torch.equal(new.eval()(images), old.eval()(images))
    _, details = judged(new, old)
    assert "first in unit 4 'layers.3': branch differs" in details["outputs in eval mode"]


def test_rounding_is_no_difference_even_where_a_gradient_is_nothing_else():
    """The bias before batch normalisation has no gradient in train mode; another memory format rounds otherwise."""
    new, old = (made(Old, {1: {"bias": True}, 4: {"bias": True}}) for _ in range(2))
    for values, details in both_ways(new.to(memory_format=torch.channels_last), old):
        assert not unequal(values), details
        assert values["parameter gradients"] > 0, "the networks round alike: the test shows nothing"


class Raising(Old):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("not in train mode")
        return super().forward(x)


def test_a_network_that_fails_is_left_as_it_was_and_said_to_fail():
    new, old = made(Raising), made(Old)
    before = state(new.eval()), state(old.eval())
    with pytest.raises(UserError, match=r"raising: forward raised on images \(2, 3, 16, 16\): not in train mode"):
        refactor.compared(target(new), target(old))
    assert unchanged(new, before[0])
    assert unchanged(old, before[1])


def test_frozen_parameters_are_named():
    new = made(Old)
    new.layers[2].conv1.weight.requires_grad_(False)
    for word, (values, details) in zip(("old", "new"), both_ways(new, made(Old)), strict=True):
        assert unequal(values) == {"parameter gradients"}
        assert f"layers.2.conv1.weight gets a gradient in the {word} network only" in details["parameter gradients"]


class Bottleneck(nn.Module):
    """Stride on the 3x3 convolution (torchvision's "v1.5") or on the first 1x1 (the paper's)."""

    def __init__(self, inputs: int, width: int, stride: int, *, first: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, stride if first else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1 if first else stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = nn.Sequential()
        if inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Bottlenecks(nn.Module):
    def __init__(self, *, first: bool):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        sizes = [(8, 2, 1), (8, 2, 1), (8, 4, 2), (16, 4, 1)]
        self.units = nn.Sequential(*(Bottleneck(*size, first=first) for size in sizes))
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.units(self.stem(x)).mean((2, 3)))


def test_a_moved_stride_is_found_in_the_branch_of_its_unit():
    for values, details in both_ways(made(Bottlenecks, first=True), made(Bottlenecks, first=False)):
        assert "structure" not in unequal(values)
        assert "first in unit 3 'units.2': branch differs" in details["outputs in eval mode"]


def test_another_depth_is_a_difference_of_structure_with_clear_words():
    for values, details in both_ways(made(Old, widths=(4, 4, 8, 8)), made(Old)):
        assert values["structure"] == 1
        assert "units, were" in details["structure"]
        assert all(values[part] is None for part in PARTS)
        assert "do not fit" in details["outputs in eval mode"]
    values, details = judged(made(Old, widths=(4, 4, 8, 8)), made(Old))
    assert details["structure"] == "4 units, were 6: only the old network has unit 5 'layers.4'"


class Wider(New):
    """The same units, and a head of another size."""

    def __init__(self) -> None:
        super().__init__()
        self.head[2] = nn.Linear(WIDTHS[-1], 7)


def test_weights_that_do_not_fit_are_the_users_error_and_named():
    with pytest.raises(
        UserError, match=r"the weights of old do not fit wider: .*head\.2\.weight.*--checkpoint, --against-checkpoint"
    ):
        refactor.compared(target(made(Wider)), target(made(Old)))


def test_two_checkpoints_are_compared_as_they_are():
    result = (refactor.compared(target(made(Wider), trained=True), target(made(Old), trained=True)),)
    assert refactor.agreement(result, network="target", part="outputs in eval mode").value > 1
    with pytest.raises(NotMeasured, match="parameters cannot be matched"):
        refactor.agreement(result, network="target", part="parameter gradients")


def test_trained_weights_are_compared_as_they_are():
    """A trained network may have learned constants; only weights fresh from initialisation are drawn."""
    new, old = made(Old, {3: {"no_relu": True}}, zero=True), made(Old, zero=True)
    result = refactor.compared(target(new), target(old, trained=True))
    assert all(comparison.equal for comparison in result["parts"]["outputs in eval mode"])


@pytest.mark.parametrize(("new_trained", "old_trained", "giver"), [(True, False, 0), (False, True, 1), (True, True, 1)])
def test_trained_weights_are_those_that_both_get(monkeypatch, new_trained, old_trained, giver):
    monkeypatch.setattr(refactor, "DATA_IMAGES", 40)
    new = target(made(New, seed=4), data=True, trained=new_trained)
    old = target(made(Old), trained=old_trained)
    images, labels = new.data.take(range(len(new.data)))
    with torch.no_grad():
        own = [100.0 * float((each.model(images).argmax(1) != labels).double().mean()) for each in (new, old)]
    assert own[0] != own[1]
    errors = refactor.compared(new, old)["errors"]
    assert errors["new"][0] == errors["old"][0] == pytest.approx(own[giver])


class Declared(New):
    """The classifier declared first: the order of registration is another, that of the calls is not."""

    def __init__(self) -> None:
        super().__init__()
        head = self.head
        stages, stem = self.stages, self.stem
        del self.head, self.stages, self.stem
        self.head, self.stages, self.stem = head, stages, stem


def test_weights_are_matched_by_name_then_order_then_calls():
    batch = torch.randn(4, 3, 16, 16)
    old = made(Old)
    by_order = match(made(New), old, batch)
    assert by_order.how == "order"
    assert by_order.detail.startswith("weights matched by order: stem.0.weight <- conv1.weight, ")
    with pytest.raises(CannotMatch, match="parameters and buffers"):
        match(made(Declared), old, batch)  # functional calls: no order of execution to be seen
    assert match(old, made(Old), batch).how == "name"


class Branches(nn.Module):
    """Two layers declared in one order or the other, called in one."""

    def __init__(self, *, turned: bool):
        super().__init__()
        layers = [("a", nn.Conv2d(3, 4, 3, 1, 1)), ("b", nn.Conv2d(4, 4, 1))]
        for name, layer in reversed(layers) if turned else layers:
            self.add_module(f"{name}_{turned}", layer)
        self.turned = turned

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, f"b_{self.turned}")(getattr(self, f"a_{self.turned}")(x))


def test_a_changed_order_of_declaration_is_matched_by_the_calls():
    found = match(Branches(turned=True), Branches(turned=False), torch.randn(2, 3, 8, 8))
    assert found.how == "execution"
    assert dict(found.parameters)["a_True.weight"] == "a_False.weight"


class NoCounter(Old):
    """Batch normalisation without its counter of batches, as functional rewrites have it."""

    def __init__(self) -> None:
        super().__init__()
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None


def test_a_missing_counter_of_batches_is_no_obstacle():
    values, details = judged(made(NoCounter), made(Old))
    assert not unequal(values), details


class OwnRandomness(Old):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(1, generator=self.generator).to(x) if self.training else 0.0
        return super().forward(x + noise)


def test_random_numbers_that_no_seed_reaches_are_not_measured():
    values, details = judged(made(OwnRandomness), made(Old))
    assert values["outputs in train mode"] is None
    assert "not repeatable from one seed" in details["outputs in train mode"]
    assert values["outputs in eval mode"] <= 1


class Single(Old):
    """Computes in float32 whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.zeros(1)).float()


def test_a_network_that_does_not_run_in_float64_is_compared_in_float32():
    result = refactor.compared(target(made(Single), size=48), target(made(Old), size=48))
    comparison = result["parts"]["outputs in eval mode"][0]
    assert comparison.equal
    assert comparison.tolerance == pytest.approx(tolerance_of(made(Old), torch.float32))
    assert 1e-6 < comparison.tolerance < 1e-3
    through = result["parts"]["input gradient"] + result["parts"]["parameter gradients"]
    assert all(comparison.equal for comparison in through)
    assert max(comparison.tolerance for comparison in through) > comparison.tolerance, "measured, not only derived"


def test_nothing_to_compare_with_and_other_inputs():
    with pytest.raises(NotMeasured, match="--against"):
        refactor.against(Given(target(made(Old)), None))
    with pytest.raises(UserError, match=r"inputs \(3, 16, 16\).*\(3, 8, 8\)"):
        refactor.compared(target(made(Old)), target(made(Old), size=8))


def test_errors_of_every_lesion_are_in_the_samples():
    result = (refactor.compared(target(made(New), data=True), target(made(Old))),)
    samples = refactor.agreement(result, network="target", part="lesion profile").samples
    assert len(samples["errors, new"]) == 1 + 6  # whole, and without each unit
    assert len(set(samples["errors, new"])) > 1
    assert samples["errors, new"] == samples["errors, old"]


def test_relative_difference():
    a = torch.tensor([1.0, -2.0])
    assert relative_difference(a, a) == 0.0
    assert relative_difference(a, -a) == 2.0
    assert relative_difference(a, torch.tensor([1.0, -1.0])) == relative_difference(torch.tensor([1.0, -1.0]), a) == 0.5
    assert relative_difference(a, torch.ones(3)) == 2.0
    assert relative_difference(a, torch.tensor([1.0, math.nan])) == 2.0
    assert math.isnan(relative_difference(torch.tensor([math.inf]), torch.tensor([math.inf])))
    assert relative_difference(torch.zeros(2), torch.zeros(2)) == 0.0


def test_outputs_that_are_not_finite_are_never_equal():
    new, old = made(Old), made(Old)
    new.head_scale = old.head_scale = math.nan
    values, details = judged(new, old)
    assert math.isnan(values["outputs in eval mode"])
    assert "not finite" in details["outputs in eval mode"]
