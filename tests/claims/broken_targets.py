"""Small networks of a user, sound and broken ones; the fault is in the unit ``units.1`` unless it says so."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 6


class PreUnit(nn.Module):
    """Full pre-activation: BN-ReLU-conv-BN-ReLU-conv, nothing after the addition."""

    def __init__(self) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)
        self.conv1, self.conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class OverwrittenShortcut(PreUnit):
    """ReLU-only pre-activation whose first ReLU works in place, on what the shortcut shares."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(self.bn1(self.relu(x))))))
        return out

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        return out + x


class ScaledShortcut(PreUnit):
    def forward(self, x: Tensor) -> Tensor:
        return 0.9 * x + self.branch(x)


class DetachedShortcut(PreUnit):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach() + self.branch(x)


class ForgottenLayer(PreUnit):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(WIDTH, WIDTH, 1)


class StuckInTraining(PreUnit):
    """Its first normalisation never learns that training is over."""

    def train(self, mode: bool = True) -> StuckInTraining:
        super().train(mode)
        self.bn1.training = True
        return self


class StuckInTest(PreUnit):
    """Its first normalisation never learns that training has begun."""

    def train(self, mode: bool = True) -> StuckInTest:
        super().train(mode)
        self.bn1.training = False
        return self


class MixedImages(PreUnit):
    """A mean over the batch where one over the map was meant."""

    def branch(self, x: Tensor) -> Tensor:
        return super().branch(x) - x.mean(0, keepdim=True)


class ForgetfulDropout(PreUnit):
    """Functional dropout that does not ask whether the network trains."""

    def branch(self, x: Tensor) -> Tensor:
        return F.dropout(super().branch(x), 0.1)


class Transition(PreUnit):
    """Halves the map by a stride, in branch and projection."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.projection = nn.Conv2d(WIDTH, WIDTH, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)

    def shortcut(self, x: Tensor) -> Tensor:
        out: Tensor = self.projection(x)
        return out


class NoisyTransition(Transition):
    """Dropout on the projection, also in test mode."""

    def shortcut(self, x: Tensor) -> Tensor:
        return F.dropout(super().shortcut(x), 0.1)


class StochasticUnit(nn.Module):
    """Conv-BN-ReLU-conv-BN with stochastic depth: skipped when dropped, scaled by ``p`` in test mode."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.bn1, self.bn2 = nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)
        self.conv1, self.conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(2))

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return out

    def keep(self) -> bool:
        return bool(torch.rand(()) < self.p)

    def factor(self) -> float:
        return 1.0 if self.training else self.p

    def dropped(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.keep():
            return self.dropped(x)
        return F.relu(x + self.factor() * self.branch(x))


class NeverDrops(StochasticUnit):
    """As a public reimplementation: the distribution is tested for truth, not a draw from it."""

    def keep(self) -> bool:
        return bool(torch.distributions.Bernoulli(torch.tensor(self.p)))


class AlwaysDrops(StochasticUnit):
    def keep(self) -> bool:
        return False


class ExchangedProbabilities(StochasticUnit):
    def keep(self) -> bool:
        return bool(torch.rand(()) > self.p)


class DropsImages(StochasticUnit):
    """One draw an image, multiplied into a branch that is computed in any case."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.relu(x + self.p * self.branch(x))
        kept = (torch.rand(len(x), 1, 1, 1) < self.p).to(x)
        return F.relu(x + kept * self.branch(x))


class DropsByZero(StochasticUnit):
    """One draw a mini-batch, but the branch is computed and multiplied by it."""

    def forward(self, x: Tensor) -> Tensor:
        kept = float(self.keep()) if self.training else self.p
        return F.relu(x + kept * self.branch(x))


class ScaledWhenDropped(StochasticUnit):
    def dropped(self, x: Tensor) -> Tensor:
        return self.p * x


class Unscaled(StochasticUnit):
    def factor(self) -> float:
        return 1.0


class ScaledTwice(StochasticUnit):
    def factor(self) -> float:
        return self.p if self.training else self.p * self.p


class ScaledInTraining(StochasticUnit):
    """Divided by ``p`` in training, as torchvision and timm do: another rule with the same expectation."""

    def factor(self) -> float:
        return 1.0 / self.p if self.training else 1.0


class Network(nn.Module):
    """Stem, units, head; ``survival_probabilities`` where a schedule is declared."""

    def __init__(self, units: list[nn.Module], survival: list[float] | None = None) -> None:
        super().__init__()
        # The stem ends with a ReLU where units are post-activation, as Huang's does.
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1), nn.ReLU() if survival else nn.Identity())
        self.units = nn.Sequential(*units)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.classifier = nn.Linear(WIDTH, 10)
        if survival is not None:
            self.survival_probabilities = survival

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(F.relu(self.norm(self.units(self.stem(x)))).mean((2, 3)))
        return out


def preactivation(fault: type[PreUnit] = PreUnit) -> Network:
    """Four units, of which the second has the fault."""
    torch.manual_seed(0)
    return Network([PreUnit(), fault(), PreUnit(), PreUnit()])


def linear_decay(count: int) -> list[float]:
    return [1.0 - unit / count * 0.5 for unit in range(1, count + 1)]


def stochastic(fault: type[StochasticUnit] = StochasticUnit, every: bool = False) -> Network:
    """Six units with linear decay to 1/2; the second, or every one, has the fault."""
    torch.manual_seed(0)
    survival = linear_decay(6)
    units = [(fault if every or index == 1 else StochasticUnit)(p) for index, p in enumerate(survival)]
    return Network([*units], survival)


def off_by_one() -> Network:
    """Declares ``1 - l / (2 L)`` and draws with ``1 - (l - 1) / (2 (L - 1))``."""
    torch.manual_seed(0)
    shifted = [1.0 - unit / 11 * 0.5 for unit in range(12)]
    return Network([StochasticUnit(p) for p in shifted], linear_decay(12))
