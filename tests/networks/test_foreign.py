"""Networks of the zoo against torchvision's and timm's: one set of weights, one function, one gradient."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg

from resbench.errors import UserError
from resbench.networks import zoo
from resbench.networks.foreign import converted, timm_names, torchvision_names
from resbench.networks.residual import PlainNetwork, ResidualNetwork, build

EXACT = 1e-10


def shaken(network: nn.Module) -> nn.Module:
    """In float64, with BN statistics, scales and shifts that a trained network might have (scales are positive)."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.5, 0.5, generator=generator)
    return network.double()


def assert_same_function(ours: nn.Module, theirs: nn.Module, names: dict[str, str], *, training: bool) -> None:
    """The same logits, and the same gradient of one random functional of them by every parameter and the images."""
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(2, 3, 33, 33, generator=generator, dtype=torch.float64)
    logits, gradients = [], []
    for network in (ours.train(training), theirs.train(training)):
        x = images.clone().requires_grad_()
        logits.append(network(x))
        direction = torch.randn(logits[-1].shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
        parameters = dict(network.named_parameters())
        values = torch.autograd.grad((logits[-1] * direction).sum(), [x, *parameters.values()])
        gradients.append(dict(zip(["images", *parameters], values, strict=True)))
    assert_close(*logits)
    assert len(gradients[0]) == len(gradients[1])
    for name, gradient in gradients[0].items():
        assert_close(gradient, gradients[1][names.get(name, name)].reshape(gradient.shape))


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    """Equal to 1e-10 of the tensor's norm."""
    ours, theirs = ours.detach(), theirs.detach()
    assert float(theirs.norm()) > 0
    assert float((ours - theirs).norm() / theirs.norm()) < EXACT


@pytest.mark.parametrize("depth", [18, 50])
def test_resnets_are_torchvision_s(depth: int) -> None:
    torch.manual_seed(depth)
    theirs = shaken(torchvision.models.get_model(f"resnet{depth}", num_classes=7))
    ours = zoo.create(f"resnet{depth}-imagenet", classes=7)
    assert isinstance(ours, ResidualNetwork)
    names = torchvision_names(ours)
    assert sorted(names.values()) == sorted(theirs.state_dict())
    ours.double().load_state_dict(converted(theirs.state_dict(), names))
    for training in (False, True):
        assert_same_function(ours, theirs, names, training=training)


def test_pre_activation_resnets_are_timm_s() -> None:
    """timm pools before the first BN and ReLU, He 2016 after: in eval mode the same, where BN's scales are positive."""
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install timm")
    torch.manual_seed(0)
    theirs = shaken(timm.create_model("resnetv2_50", num_classes=7))
    ours = zoo.create("resnet50-imagenet-preact", classes=7)
    assert isinstance(ours, ResidualNetwork)
    names = timm_names(ours)
    assert sorted(names.values()) == sorted(theirs.state_dict())
    ours.double().load_state_dict(converted(theirs.state_dict(), names))
    assert_same_function(ours, theirs, names, training=False)

    # For train mode, timm's first BN goes where He 2016 has it.
    first = theirs.stages[0].blocks[0]
    theirs.stem = nn.Sequential(theirs.stem.conv, first.norm1, theirs.stem.pool)
    first.norm1 = nn.Identity()
    moved = {"stem.conv": "stem.0", "stages.0.blocks.0.norm1": "stem.1"}
    for here, there in names.items():
        module, _, tensor = there.rpartition(".")
        names[here] = f"{moved.get(module, module)}.{tensor}"
    assert_same_function(ours, theirs, names, training=True)


def test_the_order_of_pooling_and_the_first_norm_matters_in_train_mode() -> None:
    """So that the surgery above is no accident."""
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install timm")
    theirs = shaken(timm.create_model("resnetv2_50", num_classes=7, layers=(1, 1, 1, 1))).train()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    theirs.requires_grad_(False)
    pooled_first = theirs.stages[0].blocks[0].norm1(theirs.stem(x))
    normalised_first = theirs.stem.pool(theirs.stages[0].blocks[0].norm1(theirs.stem.conv(x)))
    assert float((pooled_first - normalised_first).norm() / pooled_first.norm()) > 0.1


@pytest.mark.parametrize(("depth", "column"), [(11, "A"), (16, "D")])
def test_vgg_s_convolutions_are_torchvision_s(depth: int, column: str) -> None:
    theirs = shaken(vgg.make_layers(vgg.cfgs[column], batch_norm=True)).eval()
    assert isinstance(theirs, nn.Sequential)
    ours = zoo.create(f"vgg{depth}")
    assert isinstance(ours, PlainNetwork)
    ours.double().eval()
    for layer, module in zip(ours.layers, (m for m in theirs if isinstance(m, nn.Conv2d)), strict=True):
        assert isinstance(layer, nn.Sequential)
        torch.nn.init.zeros_(module.bias)  # BN takes it away; ours have none.
        layer[0].load_state_dict({"weight": module.weight})
    norms = [m for m in theirs if isinstance(m, nn.BatchNorm2d)]
    for layer, norm in zip(ours.layers, norms, strict=True):
        assert isinstance(layer, nn.Sequential)
        layer[1].load_state_dict(norm.state_dict())
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    logits = theirs(x).flatten(1) @ ours.classifier.weight.T + ours.classifier.bias
    assert_close(ours(x), logits)


def test_networks_that_the_others_do_not_have_are_refused() -> None:
    for name in ("resnet20", "resnet34-imagenet-option-a", "resnet34-imagenet-option-c", "resnet50-imagenet-preact"):
        with pytest.raises(UserError, match="torchvision's ResNets are"):
            torchvision_names(build(zoo.describe(name).spec, device="meta"))  # type: ignore[arg-type]
    for name in ("resnet18-imagenet", "resnet18-imagenet-preact", "resnet164-preact"):
        with pytest.raises(UserError, match="timm's ResNetV2 are"):
            timm_names(build(zoo.describe(name).spec, device="meta"))  # type: ignore[arg-type]


def test_a_state_that_lacks_tensors_is_refused() -> None:
    ours = build(zoo.describe("resnet34-imagenet").spec, device="meta")
    assert isinstance(ours, ResidualNetwork)
    with pytest.raises(UserError, match=r"the state lacks \d+ of \d+ tensors, bn1\.weight the first"):
        converted({"conv1.weight": torch.zeros(64, 3, 7, 7)}, torchvision_names(ours))
