"""Small networks under lesions, and the plain way to lesion them: edit the live model, run it whole."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import edited, output_of
from resbench.lesions.plans import Plan
from resbench.targets.images import Images
from resbench.targets.load import target_of
from resbench.targets.target import UserTarget


class PostUnit(nn.Module):
    """A post-activation unit with an option A shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return F.relu(y + x)


class PreUnit(nn.Module):
    """A pre-activation unit whose first activation works in place on a copy."""

    def __init__(self, width: int):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu_(self.bn1(x)))
        return x + self.conv2(F.relu(self.bn2(y)))


class Net(nn.Module):
    """Stem, units of two stages, a change of width that is no unit, a head that fixes nothing."""

    def __init__(self, kind: str = "post"):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        if kind == "post":
            units: list[nn.Module] = [PostUnit(4, 4), PostUnit(4, 4), PostUnit(4, 8, 2), PostUnit(8, 8), PostUnit(8, 8)]
            between: nn.Module = nn.Identity()
        else:
            units = [PreUnit(4), PreUnit(4), PreUnit(4), PreUnit(8), PreUnit(8)]
            between = nn.Conv2d(4, 8, 1, stride=2)
        self.units, self.between, self.kind = nn.ModuleList(units), between, kind
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for index, unit in enumerate(self.units):
            if self.kind == "pre" and index == 3:
                x = self.between(x)
            x = unit(x)
        return self.classifier(x.mean((2, 3)))


class FixedBatch(Net):
    """Its code writes the number of images into the pass."""

    def forward(self, x: Tensor) -> Tensor:
        count = int(x.shape[0])
        x = self.stem(x)
        for unit in self.units:
            x = unit(x)
        return self.classifier(x.view(count, 8, -1).mean(2))


class Past(Net):
    """Something leads past the units: the head reads the stem."""

    def forward(self, x: Tensor) -> Tensor:
        start = x = self.stem(x)
        for unit in self.units:
            x = unit(x)
        return self.classifier(x.mean((2, 3)) + start.mean((1, 2, 3))[:, None])


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """With statistics and scales that are not the initial ones, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -0.5, 0.5), (module.running_var, 0.5, 2.0)):
                assert values is not None
                values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
            module.weight.data = torch.rand(module.weight.shape, generator=generator) * 0.4 + 0.2
            module.bias.data = torch.rand(module.bias.shape, generator=generator) - 0.5
        elif isinstance(module, nn.Conv2d | nn.Linear):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2.0 / fan) ** 0.5
            if module.bias is not None:
                module.bias.data.zero_()
    model.eval()
    if isinstance(model, Net):  # logits around 0, so that every class is predicted
        with torch.no_grad():
            model.classifier.bias -= model(images_of(200, seed=5).take(range(200))[0]).mean(0)
    return model


def images_of(count: int, seed: int = 1, classes: int = 5) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(count, 3, 8, 8, generator=generator)
    return Images.of_tensors(pixels, torch.randint(classes, (count,), generator=generator))


def made(model: nn.Module, images: Images) -> UserTarget:
    return target_of(model, data=images)


def plainly(target: UserTarget, plans: list[Plan], images: Images) -> NDArray[np.int64]:
    """The classes that the edited live model predicts, one lesion after the other."""
    rows = []
    x, _ = images.take(range(len(images)))
    for plan in plans:
        with torch.no_grad(), edited(target.units, plan):
            rows.append(output_of(target.model(x)).argmax(1).numpy())
    return np.stack(rows)
