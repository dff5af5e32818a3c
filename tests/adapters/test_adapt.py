"""adapt: which units it finds in networks whose units are known, and what it says of those it cannot adapt."""

from __future__ import annotations

import pytest
import torch
import torchvision
from small_models import Block, Chain, Flat, Function, PreactUnit, conv, images
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import CannotAdapt, ResidualUnit, adapt, output_of
from resbench.networks.residual import NetworkSpec, build
from resbench.networks.units import UnitSpec


def kinds(units: list[ResidualUnit]) -> list[tuple[str, str, str]]:
    return [(unit.name, unit.shortcut_kind, unit.after_kind) for unit in units]


def check_parts(units: list[ResidualUnit]) -> None:
    """Every unit is ``after(shortcut(x) + branch(x))``, on the recorded input and on any other."""
    for unit in units:
        x = torch.randn(unit.example.shape, generator=torch.Generator().manual_seed(1))
        for value in (unit.example, x, x[:1]):
            composed = unit.after(unit.shortcut(value) + unit.branch(value))
            torch.testing.assert_close(unit.run(value), composed, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(unit.run(x).shape[1:], torch.Size(unit.output_shape))


def test_flat_forward() -> None:
    units = adapt(Flat().eval(), images())
    assert kinds(units) == [
        ("first", "identity", "relu"),
        ("second", "identity", "identity"),
        ("wide", "projection", "identity"),
    ]
    assert [unit.changes_shape for unit in units] == [False, False, True]
    assert [unit.downsampling for unit in units] == [False, False, True]
    assert [unit.stage for unit in units] == [0, 0, 1]
    assert [unit.group for unit in units] == [0, 0, None]
    assert units[2].input_shape == (4, 8, 8)
    assert units[2].output_shape == (8, 4, 4)
    check_parts(units)


def test_two_branches_in_one_module() -> None:
    units = adapt(Chain(Block(4), Block(4)), images())
    assert [unit.name for unit in units] == ["units.0.mixer", "units.0.mlp", "units.1.mixer", "units.1.mlp"]
    assert {unit.shortcut_kind for unit in units} == {"identity"}
    check_parts(units)


@pytest.mark.parametrize(
    ("how", "kind"), [("right", "identity"), ("scaled", "altered"), ("in-place", "altered"), ("bn", "altered")]
)
def test_shortcut_kinds(how: str, kind: str) -> None:
    model = Chain(PreactUnit(4, how)).eval()
    model.units[0].norm.running_mean.fill_(0.5)
    (unit,) = adapt(model, images())
    assert kinds([unit]) == [("units.0", kind, "identity")]
    check_parts([unit])


def test_parallel_convolutions_and_splits_are_no_units() -> None:
    parallel = Function(lambda self, x: self.a(x) + self.b(x), a=conv(4, 4), b=conv(4, 4))

    def hierarchical(self: nn.Module, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        first = self.a(first)
        return torch.cat([first, self.b(first + second)], 1)

    split = Function(hierarchical, a=conv(2, 2), b=conv(2, 2))
    with pytest.raises(CannotAdapt, match=r"no residual addition found in \d+ modules; VGG-style\?"):
        adapt(Chain(parallel, split), images())


def test_sums_inside_a_branch_belong_to_it() -> None:
    def outer(self: nn.Module, x: Tensor) -> Tensor:
        y = self.a(x)
        return x + self.b(y + self.c(y))

    (unit,) = adapt(Chain(Function(outer, a=conv(4, 4), b=conv(4, 4), c=conv(4, 4))), images())
    assert unit.name == "units.0"
    assert {name for name, _ in unit.branch_end} == {"units.0.b.weight", "units.0.b.bias"}
    assert len(unit.branch_parameters) == 6
    check_parts([unit])


def test_a_long_skip_is_left_to_the_units_inside_it() -> None:
    group = Function(
        lambda self, x: x + self.tail(self.body(x)), body=nn.Sequential(Block(4), Block(4)), tail=conv(4, 4)
    )
    units = adapt(Chain(group), images())
    assert [unit.name.removeprefix("units.0.body.") for unit in units] == ["0.mixer", "0.mlp", "1.mixer", "1.mlp"]


def test_sum_of_several_branches() -> None:
    (unit,) = adapt(Chain(Function(lambda self, x: x + self.a(x) + self.b(x), a=conv(4, 4), b=conv(4, 4))), images())
    assert unit.shortcut_kind == "identity"
    assert {name.split(".")[2] for name, _ in unit.branch_end} == {"a", "b"}
    check_parts([unit])


def test_gates_and_absent_shortcuts_of_the_zoo() -> None:
    expected = {
        "identity": "identity",
        "shortcut-gate": "altered",
        "exclusive-gate": "altered",
        "conv1x1": "projection",
    }
    for shortcut, kind in expected.items():
        network = build(NetworkSpec(units=(2, 1), widths=(4, 8), unit=UnitSpec(order="original", shortcut=shortcut)))
        units = adapt(network, images())
        assert [unit.name for unit in units] == ["units.0", "units.1", "units.2"]
        assert units[1].shortcut_kind == kind
        assert units[1].after_kind == "relu"
        check_parts(units)


@pytest.mark.parametrize(
    ("name", "count"), [("resnet18", 8), ("resnext50_32x4d", 16), ("regnet_y_400mf", 16), ("mobilenet_v2", 10)]
)
def test_torchvision(name: str, count: int) -> None:
    model = torchvision.models.get_model(name, weights=None).eval()
    units = adapt(model, images(size=64))
    assert len(units) == count
    assert all(unit.deletable for unit in units)
    assert all(unit.place.whole for unit in units)
    check_parts(units[:3])


def test_a_vision_transformer_is_a_residual_network() -> None:
    model = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    units = adapt(model, images(size=32))
    assert [unit.name.rsplit(".", 1)[1] for unit in units] == ["self_attention", "mlp"] * 2
    assert all(unit.shortcut_kind == "identity" and unit.group == 0 for unit in units)
    check_parts(units)


def test_the_model_is_left_as_it_was() -> None:
    model = torchvision.models.resnet18()
    model.layer1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    given = images(size=32)
    copy = given.clone()
    adapt(model, given)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.equal(given, copy)


def test_globs() -> None:
    model = torchvision.models.resnet18()
    chosen = adapt(model, images(size=32), units=["layer1.*", "layer3.1"])
    assert [unit.name for unit in chosen] == ["layer1.0", "layer1.1", "layer3.1"]
    assert chosen[0].shortcut_kind == "identity"
    with pytest.raises(CannotAdapt, match=r"--units 'layer9\.\*' matches no module; there are "):
        adapt(model, images(size=32), units=["layer9.*"])
    with pytest.raises(CannotAdapt, match="units is not called in the forward pass; choose its parts"):
        adapt(Chain(PreactUnit(4), outputs=4), images(), units=["units"])


def test_opaque_units_by_choice() -> None:
    model = Chain(nn.Sequential(conv(4, 4), nn.ReLU()), nn.Sequential(conv(4, 8, 2), nn.ReLU()), outputs=8)
    same, changing = adapt(model, images(), units=["units.*"])
    assert (same.shortcut_kind, same.deletable, same.opaque) == ("opaque", True, True)
    assert not changing.deletable
    assert changing.reason == "changes 4x8x8 to 8x4x4, and no shortcut that does so was found in it"
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(same.without_branch(x), x)
    with pytest.raises(ValueError, match="inside is opaque"):
        same.branch(x)


def test_declared_units() -> None:
    model = Flat()
    model.residual_units = lambda: ["nowhere"]  # type: ignore[assignment]
    with pytest.raises(CannotAdapt, match="names 'nowhere', which is no module"):
        adapt(model, images())
    chain = Chain(PreactUnit(4), PreactUnit(4))
    chain.residual_units = lambda: [chain.units[1]]  # type: ignore[assignment]
    assert [unit.name for unit in adapt(chain, images())] == ["units.1"]


def test_registered_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "mine"

        @staticmethod
        def load() -> object:
            return lambda model: ["units.0"] if isinstance(model, Chain) else None

    monkeypatch.setattr("resbench.adapters.adapting.entry_points", lambda *, group: [Point] if group else [])
    assert [unit.name for unit in adapt(Chain(PreactUnit(4), PreactUnit(4)), images())] == ["units.0"]
    assert len(adapt(Flat(), images())) == 3


def test_shared_modules_are_not_deletable() -> None:
    unit = PreactUnit(4)
    found = adapt(Chain(unit, unit), images())
    assert [u.deletable for u in found] == [False, False]
    assert found[0].reason == "its module is called 2 times in one pass"


def test_a_failing_forward_is_one_clear_line() -> None:
    with pytest.raises(
        CannotAdapt, match=r"forward fails on an input of 2x1x8x8 \(RuntimeError: .*\); give another --input"
    ):
        adapt(Flat(), torch.zeros(2, 1, 8, 8))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*jit:FutureWarning")
def test_scripted_parts_are_whole() -> None:
    branch = torch.jit.trace(nn.Sequential(conv(4, 4), nn.ReLU(), conv(4, 4)), torch.zeros(2, 4, 8, 8))
    (unit,) = adapt(Chain(Function(lambda self, x: x + self.branch(x), branch=branch)), images())
    assert unit.shortcut_kind == "identity"
    check_parts([unit])


def test_weight_standardisation_counts_as_a_weight_layer() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(x, weight, self.bias, padding=1)

    (unit,) = adapt(Chain(Function(lambda self, x: F.relu(x) + self.c(F.relu(x)), c=Standardised(4, 4, 3))), images())
    assert [name for name, _ in unit.branch_end] == ["units.0.c.weight", "units.0.c.bias"]
    with torch.no_grad():
        before = unit.branch(unit.example)
        unit.branch_end[0][1].mul_(2)  # the live weights are used, not those of the recording
        unit.branch_end[1][1].zero_()
    assert not torch.equal(unit.branch(unit.example), before)


def test_a_converted_model_keeps_its_handles() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        norm = self.norm
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias) + self.c(x)

    model = Chain(Function(forward, norm=nn.BatchNorm2d(4), c=conv(4, 4)))
    (unit,) = adapt(model, images())
    model.double()
    model.units[0].norm.running_mean.fill_(1.0)
    x = unit.example.double()
    torch.testing.assert_close(unit.shortcut(x), model.units[0].eval()(x) - model.units[0].c(x))


def test_output_of() -> None:
    logits = torch.zeros(2, 5)

    class Output:
        def __init__(self) -> None:
            self.logits = logits

    for output in (logits, Output(), (logits, None), {"out": logits}):
        assert output_of(output) is logits
    with pytest.raises(CannotAdapt, match="returns no tensor but int"):
        output_of(3)
