"""The CIFAR-10 networks of He et al. 2015, section 4.2, as public checkpoints have them; knows nothing of resbench.

``resnet20`` to ``resnet56``: 3n units of two 3x3 convolutions, ReLU after the addition, shortcuts without weights
(option A).  ``plain20`` and ``plain56``: the same layers without shortcuts.  Parameters are named as in
akamaster/pytorch_resnet_cifar10, whose files and whose derivatives' load as they are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def shortcut_a(x: Tensor, channels: int) -> Tensor:
    """Every second pixel in both directions, and zeros for the new channels: half before, half after the old ones."""
    missing = channels - x.shape[1]
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, missing // 2, missing - missing // 2))


class Unit(nn.Module):
    """Two convolutions beside a shortcut; ``(N, inputs, H, W)`` to ``(N, outputs, H / stride, W / stride)``."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.outputs = stride, outputs

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.stride == 1 else shortcut_a(x, self.outputs)
        return F.relu(shortcut + branch)


class Layer(nn.Module):
    """One layer of a plain network: convolution, normalisation, ReLU.

    It borrows the two modules and does not own them, so that the state dict stays that of the public files; being a
    module itself it has a name, by which a tool can take it out (``--units 'layer*.*.step*'``).
    """

    def __init__(self, conv: nn.Conv2d, bn: nn.BatchNorm2d):
        super().__init__()
        self.borrowed = (conv, bn)

    def forward(self, x: Tensor) -> Tensor:
        conv, bn = self.borrowed
        return F.relu(bn(conv(x)))


class PlainPair(nn.Module):
    """The two layers of a :class:`Unit`, one after the other."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.step1, self.step2 = Layer(self.conv1, self.bn1), Layer(self.conv2, self.bn2)

    def forward(self, x: Tensor) -> Tensor:
        return self.step2(self.step1(x))


class Network(nn.Module):
    """Normalised images ``(N, 3, 32, 32)`` to logits ``(N, 10)``."""

    def __init__(self, block: type[Unit] | type[PlainPair], n: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(block, 16, 16, n)
        self.layer2 = self._stage(block, 16, 32, n)
        self.layer3 = self._stage(block, 32, 64, n)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(block: type[Unit] | type[PlainPair], inputs: int, outputs: int, n: int) -> nn.Sequential:
        first = block(inputs, outputs, 1 if inputs == outputs else 2)
        return nn.Sequential(first, *(block(outputs, outputs, 1) for _ in range(n - 1)))

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20() -> Network:
    """9 units."""
    return Network(Unit, 3)


def resnet32() -> Network:
    """15 units."""
    return Network(Unit, 5)


def resnet44() -> Network:
    """21 units."""
    return Network(Unit, 7)


def resnet56() -> Network:
    """27 units."""
    return Network(Unit, 9)


def plain20() -> Network:
    """18 layers between the first convolution and the classifier."""
    return Network(PlainPair, 3)


def plain56() -> Network:
    """54 layers between the first convolution and the classifier."""
    return Network(PlainPair, 9)
