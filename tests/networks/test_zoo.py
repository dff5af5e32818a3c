"""The zoo's networks: their sizes against the papers and other libraries, their names, their descriptions."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from resbench.errors import UserError
from resbench.networks import zoo
from resbench.networks.copies import CopiesConv2d, initialise
from resbench.networks.residual import (
    NetworkSpec,
    PlainNetwork,
    PlainSpec,
    ResidualNetwork,
    VggSpec,
    build,
    parameter_count,
)
from resbench.networks.sampling import ExactlyK, Survival, linear_decay, linear_decay_from_first, uniform
from resbench.networks.units import build_unit

# He 2015, table 6, and He 2016, table 4 give two digits; the exact counts with batch normalisation are these.
PAPERS = {
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
    "resnet164-preact": 1_703_258,
    "resnet1001-preact": 10_327_706,
}
# torchvision.models.resnet*; timm's resnet200 and resnetv2_*.
LIBRARIES = {
    "resnet18-imagenet": 11_689_512,
    "resnet34-imagenet": 21_797_672,
    "resnet50-imagenet": 25_557_032,
    "resnet101-imagenet": 44_549_160,
    "resnet152-imagenet": 60_192_808,
    "resnet200-imagenet": 64_673_832,
    "resnet50-imagenet-preact": 25_549_352,
    "resnet101-imagenet-preact": 44_541_480,
    "resnet152-imagenet-preact": 60_185_128,
}


def over_units(per_unit: dict[int, int], depth: int) -> int:
    """The sum over the units of a CIFAR net of a number that depends on their width."""
    return sum(per_unit.values()) * ((depth - 2) // 6)


GATE = {width: width * width + width for width in (16, 32, 64)}
# A 1x1 convolution with BN on every shortcut; two of them widen, from 16 and from 32 channels.
CONV1X1 = {width: width * width + 2 * width for width in (16, 32, 64)}
WIDENING = 16 * 32 + 32 * 64 - 32 * 32 - 64 * 64
PROJECTIONS = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
IMAGENET_PROJECTIONS = 64 * 128 + 2 * 128 + 128 * 256 + 2 * 256 + 256 * 512 + 2 * 512
# By hand, from the counts above and what the variant adds.
BY_HAND = {
    # Pre-activation moves each unit's last BN to the front of the next one, and the last unit's to the head.
    "resnet110-preact": 1_727_962,
    "resnet20-preact": 269_722,
    "resnet110-preact-23of54": 1_727_962,
    "resnet110-bn-after-add": 1_727_962,
    "resnet110-relu-before-add": 1_727_962,
    "resnet110-relu-only-preact": 1_727_962,
    "resnet110-scale-0-1": 1_727_962,
    "resnet110-scale-05-1": 1_727_962,
    "resnet110-scale-05-05": 1_727_962,
    "resnet110-dropout": 1_727_962,
    "resnet110-stochastic": 1_727_962,
    "resnet110-exclusive-gate-b0": 1_727_962 + over_units(GATE, 110),
    "resnet110-shortcut-gate-b6": 1_727_962 + over_units(GATE, 110),
    "resnet110-conv1x1": 1_727_962 + over_units(CONV1X1, 110) + WIDENING,
    "resnet20-option-c": 269_722 + over_units(CONV1X1, 20) + WIDENING,
    "resnet56-option-b": 853_018 + PROJECTIONS,
    "resnet56-option-a-centred": 853_018,
    "plain56": 853_018,
    # 108 units of one layer: the same 3x3 layers with their BN.
    "resnet110-single": 1_727_962,
    "resnet34-imagenet-option-a": 21_797_672 - IMAGENET_PROJECTIONS,
    "resnet34-imagenet-option-c": 21_797_672
    + sum(n * (w * w + 2 * w) for n, w in [(3, 64), (3, 128), (5, 256), (2, 512)]),
    "plain34-imagenet": 21_797_672 - IMAGENET_PROJECTIONS,
    # Each unit two 3x3 convolutions with bias; three that widen read fewer channels; stem and classifier.
    "highway20": 6 * sum(2 * (9 * w * w + w) for w in (16, 32, 64)) - 9 * (32 * 16 + 64 * 32) + (27 * 16 + 16) + 650,
    "vgg15": 27 * 128 + 14 * 9 * 128**2 + 15 * 2 * 128 + 1290,
    # torchvision's vgg*_bn.features without the convolutions' biases, and the classifier.
    "vgg11": 9_225_984 - 2_752 + 5130,
    "vgg13": 9_410_880 - 2_944 + 5130,
    "vgg16": 14_723_136 - 4_224 + 5130,
    "vgg19": 20_035_392 - 5_504 + 5130,
}


@cache
def sized(spec: NetworkSpec | PlainSpec | VggSpec) -> ResidualNetwork | PlainNetwork:
    """The network without numbers in its weights."""
    return build(spec, device="meta")


@pytest.mark.parametrize(("name", "count"), (PAPERS | LIBRARIES | BY_HAND).items())
def test_parameter_counts(name: str, count: int) -> None:
    assert parameter_count(sized(zoo.describe(name).spec)) == count


def test_parameter_counts_without_batch_norm() -> None:
    network = sized(zoo.describe("resnet1001-preact").spec)
    assert parameter_count(network, batch_norm=False) == 10_178_490


@pytest.mark.parametrize("name", zoo.names())
def test_the_name_has_the_number_of_weight_layers(name: str) -> None:
    """Convolutions on the way through all branches, stem and classifier (Veit's VGG-15 counts no classifier)."""
    spec = zoo.describe(name).spec
    if isinstance(spec, NetworkSpec):
        unit = build_unit(spec.unit, spec.unit.expansion, 1, 1)
        layers = 2 + spec.n_units * sum(isinstance(m, CopiesConv2d) for m in unit.residual.modules())
    else:
        layers = len(spec.widths) + (0 if isinstance(spec, PlainSpec) else 3)  # VGG's three fully connected layers.
    found = re.match(r"(resnet|plain|vgg|highway)(\d+)", name)
    assert found is not None
    assert int(found[2]) == layers


@pytest.mark.parametrize("name", zoo.names())
def test_a_thin_network_of_each_name_runs_and_every_parameter_gets_a_gradient(name: str) -> None:
    spec = zoo.describe(name).spec
    if isinstance(spec, NetworkSpec):
        changes = {"units": (2, 2), "widths": (3, 6), "stem_width": 3}
    elif isinstance(spec, PlainSpec):
        changes = {"width": 3}
    else:
        changes = {"stages": tuple(tuple(width // 32 for width in stage) for stage in spec.stages)}
    network = build(msgspec.structs.replace(spec, classes=5, inputs=1, **changes))
    initialise(network, [0])
    with torch.no_grad():  # A gate that is all but closed passes a gradient that single precision may lose.
        for parameter in network.parameters():
            parameter.clamp_(min=-1)
    side = 16 if isinstance(spec, NetworkSpec) else 32
    logits = network.train()(torch.randn(4, 1, side, side, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (4, 5)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize(
    ("name", "classes"), [("resnet20", 10), ("resnet18-imagenet-preact", 1000), ("vgg11", 10), ("highway20", 10)]
)
def test_classes_and_inputs(name: str, classes: int) -> None:
    described = zoo.describe(name)
    assert described.example == ((3, 224, 224) if "imagenet" in name else (3, 32, 32))
    x = torch.randn(2, 3, 32, 32)
    assert zoo.create(name).eval()(x).shape == (2, classes)
    assert zoo.create(name, classes=7, inputs=1).eval()(x[:, :1]).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet20", "highway20", "vgg11"])
def test_one_seed_one_network_whatever_the_global_generator_which_stays(name: str) -> None:
    states = []
    for seed, global_seed in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        states.append(zoo.create(name, seed=seed).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = states
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_network_is_initialised_as_he_says() -> None:
    network = zoo.create("resnet110")
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_out = module.out_channels * 9
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("name", "probabilities"),
    [
        ("resnet110-stochastic", linear_decay(54, 0.5)),
        ("resnet20-stochastic", linear_decay(9, 0.5)),
        ("resnet110-stochastic-strided", linear_decay(54, 0.5)),
        ("resnet110-stochastic-uniform", uniform(54, 0.5)),
        ("resnet110-stochastic-from-first", linear_decay_from_first(54, 0.5)),
    ],
)
def test_stochastic_depth(name: str, probabilities: tuple[float, ...]) -> None:
    network = zoo.create(name, seed=1)
    assert isinstance(network, ResidualNetwork)
    assert isinstance(network.sampler, Survival)
    assert network.survival_probabilities == pytest.approx(probabilities)
    assert [unit.eval().scale for unit in network.residual_units()] == pytest.approx(probabilities)
    assert [unit.train().scale for unit in network.residual_units()] == [1.0] * len(probabilities)


@pytest.mark.parametrize("name", ["resnet20-stochastic", "resnet110-preact-23of54"])
def test_the_seed_seeds_the_draws(name: str) -> None:
    draws = []
    for seed in (3, 3, 4):
        network = zoo.create(name, seed=seed)
        assert isinstance(network, ResidualNetwork)
        assert network.sampler is not None
        draws.append(torch.cat([network.sampler.draw() for _ in range(10)]))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_stochastic_network_skips_what_it_drops() -> None:
    network = zoo.create("resnet56-stochastic", seed=2).train()
    assert isinstance(network, ResidualNetwork)
    calls: list[int] = []
    for index, unit in enumerate(network.residual_units()):
        unit.residual.register_forward_hook(lambda *_, index=index: calls.append(index))
    network(torch.randn(2, 3, 8, 8))
    assert network.last_draw is not None
    assert 0 < len(calls) < 27
    assert calls == network.last_draw[0].nonzero().flatten().tolist()


def test_effective_path_training_is_a_schedule_like_the_others() -> None:
    network = zoo.create("resnet110-preact-23of54", seed=1).train()
    assert isinstance(network, ResidualNetwork)
    assert isinstance(network.sampler, ExactlyK)
    assert network.survival_probabilities is None
    network(torch.randn(2, 3, 8, 8))
    assert network.last_draw is not None
    assert int(network.last_draw.sum()) == 23
    assert {unit.eval().scale for unit in network.residual_units()} == {1.0}


def test_ordinary_networks_use_every_unit() -> None:
    network = zoo.create("resnet20")
    assert isinstance(network, ResidualNetwork)
    assert network.sampler is None
    assert network.survival_probabilities is None


@pytest.mark.parametrize("name", zoo.names())
def test_every_description_is_complete(name: str) -> None:
    described = zoo.describe(name)
    assert described.name == name
    assert described.equation.startswith("y = ")
    assert "conv3x3" in described.branch
    assert re.search(r"20\d\d|timm", described.source)
    assert described.shapes.startswith("(N, 3, ")
    assert ("stochastic" in name) == ("survives" in described.training)


def test_descriptions_say_what_the_network_is() -> None:
    described = zoo.describe("resnet164-preact")
    assert described.branch == "F = BN, ReLU, conv1x1, BN, ReLU, conv3x3, BN, ReLU, conv1x1"
    assert described.shapes == (
        "(N, 3, 32, 32) -> (N, 10); 18 + 18 + 18 units of 64, 128, 256 channels on maps of 32, 16, 8"
    )
    assert "56, 28, 14, 7" in zoo.describe("resnet50-imagenet").shapes
    assert "not Huang's" in zoo.describe("resnet110-stochastic-from-first").source
    assert "exactly 23 of 54" in zoo.describe("resnet110-preact-23of54").training
    assert "pooled after 2, 4, 7, 10, 13" in zoo.describe("vgg16").shapes


def test_names_are_unique_and_hold_what_the_papers_do() -> None:
    names = zoo.names()
    assert len(names) == len(set(names))
    wanted = {f"resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202)}
    wanted |= {f"resnet{depth}-preact" for depth in (110, 164, 1001)}
    wanted |= {f"resnet{depth}-imagenet{order}" for depth in (18, 34, 50, 101, 152, 200) for order in ("", "-preact")}
    wanted |= {f"vgg{depth}" for depth in (11, 13, 15, 16, 19)}
    assert wanted <= set(names)


@given(name=st.text(min_size=1, max_size=30).filter(lambda text: text not in zoo.names()))
def test_whatever_is_no_name_is_one_error(name: str) -> None:
    for function in (zoo.create, zoo.describe):
        with pytest.raises(UserError, match=r"^no network is named"):
            function(name)


def test_an_unknown_name_has_the_nearest() -> None:
    with pytest.raises(UserError, match=r"^no network is named 'resnet110-preac'; the nearest: resnet110-preact"):
        zoo.create("resnet110-preac")


def test_a_vgg_net_widens_and_pools_after_each_stage() -> None:
    network = zoo.create("vgg16").eval()
    assert isinstance(network, PlainNetwork)
    x, sides = torch.randn(1, 3, 32, 32), []
    for index, layer in enumerate(network.layers):
        x = network.pool_after(index, layer(x))
        sides.append((x.shape[1], x.shape[2]))
    assert sides[0] == (64, 32)
    assert sides[-1] == (512, 1)
    assert [index for index, (a, b) in enumerate(pairwise([(64, 32), *sides]), 1) if a[1] != b[1]] == [2, 4, 7, 10, 13]
