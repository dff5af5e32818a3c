"""The trainer: a network's steps, one after the other, and what they show; the same for every setting.

Nothing here waits for a GPU within an epoch: what a step shows is summed on the device and read once, at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.networks.residual import PlainNetwork, ResidualNetwork
from resbench.networks.sampling import ExactlyK, Sampler, Survival
from resbench.training.graphs import GraphedStep, graph_units
from resbench.training.recipes import Recipe
from resbench.training.schedules import learning_rate
from resbench.training.sharing import Share

__all__ = ["EpochRow", "Trainer", "copy_losses"]

_SUMS = ("loss", "wrong", "stem_gradient")


@dataclass(frozen=True)
class EpochRow:
    """Means over the steps of one epoch, ``(copies,)`` each, float64.

    ``loss``: cross-entropy in train mode, nats.  ``error``: percent of the images (augmented, train mode) that were
    misclassified.  ``stem_gradient``: mean absolute gradient of the first convolution's weights.  ``depth``: units
    used.
    """

    loss: Tensor
    error: Tensor
    stem_gradient: Tensor
    depth: Tensor


class Trainer:
    """A network and its optimiser, from the first step to the last.

    Args:
        network: in train mode, on its device; several copies train as one (:mod:`resbench.networks.copies`).
        images: how many the recipe's epoch has.
        precision: ``float32``, ``tf32`` (the caller allows it) or ``bf16``: autocast, over weights in float32.
        graphs: on a GPU, whether kernels are launched as CUDA graphs: whole steps, or units where they are sampled.
            Several processes exchange gradients in between: no graphs there.
        share: this process's part of every mini-batch; the network's batch normalisation is synchronised.
    """

    def __init__(
        self,
        network: ResidualNetwork | PlainNetwork,
        recipe: Recipe,
        images: int,
        *,
        precision: str = "float32",
        graphs: bool = True,
        share: Share | None = None,
    ):
        self.network, self.recipe, self.images, self.precision = network, recipe, images, precision
        self.done = 0
        self.device = next(network.parameters()).device
        self.optimiser = torch.optim.SGD(
            network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        # A dropped unit has a zero gradient, not none: it keeps its momentum and weight decay, as in the authors' code.
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self._stem = next(m for m in network.modules() if isinstance(m, nn.Conv2d)).weight
        self._share = share or Share()
        self._graphed = graphs and self.device.type == "cuda" and self._share.world == 1
        self._rate = torch.tensor(recipe.lr, device=self.device) if self._graphed else None
        if self._rate is not None:  # a number would be frozen into the graph
            self.optimiser.param_groups[0]["lr"] = self._rate
        self._last_rate = -1.0
        self._run: Callable[[Tensor, Tensor], None] | None = None
        self._sums = torch.zeros(len(_SUMS), network.copies, dtype=torch.float64, device=self.device)
        self._depths = torch.zeros(network.copies, dtype=torch.float64)
        self._steps = self._seen = 0

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One mini-batch, or this process's part: ``(N, copies * C, H, W)`` and ``(N, copies)``, on the device."""
        self._set_rate(learning_rate(self.recipe, self.done, self.images))
        if self._run is None:
            self._run = self._runner(images)
        self._run(images, labels)
        self.done += 1
        self._steps += 1
        self._seen += len(labels) * self._share.world
        self._depths += self._depth()

    def end_epoch(self) -> EpochRow:
        """What the steps since the last call showed; waits for the device."""
        loss, wrong, gradient = self._share.sum_(self._sums).cpu()
        steps = max(1, self._steps)
        row = EpochRow(loss / steps, 100.0 * wrong / max(1, self._seen), gradient / steps, self._depths / steps)
        self._sums.zero_()
        self._depths = torch.zeros_like(self._depths)
        self._steps = self._seen = 0
        return row

    def logits(self, images: Tensor) -> Tensor:
        """In the network's present mode, at the trainer's precision; float32."""
        with self._autocast():
            logits: Tensor = self.network(images)
        return logits.float() if self.precision == "bf16" else logits

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on but the images: tensors, and plain values.

        Of several processes all must ask; the first has everything then, and what the others summed.
        """
        self._share.sum_(self._sums)
        if self._share.rank:
            self._sums.zero_()
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for index, parameter in enumerate(self.network.parameters()):
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{index}"] = momentum
        tensors |= {"sums": self._sums, "depths": self._depths}
        sampler = self._sampler
        if isinstance(sampler, ExactlyK | Survival):
            tensors |= {f"sampler.{index}": value for index, value in enumerate(sampler.states())}
        return tensors, {"done": self.done, "steps": self._steps, "seen": self._seen}

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go on from :meth:`state`.

        Raises:
            KeyError, RuntimeError: it is of another network.
        """
        own = {name.removeprefix("network."): v for name, v in tensors.items() if name.startswith("network.")}
        self.network.load_state_dict(own)
        for index, parameter in enumerate(self.network.parameters()):
            if f"momentum.{index}" in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{index}"])
                self.optimiser.state[parameter]["momentum_buffer"] = buffer
        self._sums.copy_(tensors["sums"])
        if self._share.rank:
            self._sums.zero_()
        self._depths.copy_(tensors["depths"])
        sampler = self._sampler
        if isinstance(sampler, ExactlyK | Survival):
            sampler.restore([tensors[f"sampler.{index}"] for index in range(self.network.copies)])
        self.done, self._steps, self._seen = values["done"], values["steps"], values["seen"]

    @property
    def _sampler(self) -> Sampler | None:
        return self.network.sampler if isinstance(self.network, ResidualNetwork) else None

    def _set_rate(self, rate: float) -> None:
        if rate == self._last_rate:
            return
        self._last_rate = rate
        if self._rate is not None:
            self._rate.fill_(rate)
        else:
            self.optimiser.param_groups[0]["lr"] = rate

    def _runner(self, images: Tensor) -> Callable[[Tensor, Tensor], None]:
        if not self._graphed:
            return self._eager
        if self._sampler is None:
            return GraphedStep(self._eager)
        assert isinstance(self.network, ResidualNetwork)
        graph_units(self.network, images, self._autocast)
        return self._eager

    def _eager(self, images: Tensor, labels: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=False)
        logits = self.logits(images)
        losses = copy_losses(logits, labels) / self._share.world
        losses.sum().backward()
        self._share.sum_gradients(self.network.parameters())
        self.optimiser.step()
        with torch.no_grad():
            assert self._stem.grad is not None
            wrong = logits.view(*labels.shape, -1).argmax(2) != labels
            gradient = self._stem.grad.unflatten(0, (self.network.copies, -1)).abs().mean((1, 2, 3, 4))
            gradient = gradient / self._share.world  # every process has that of the whole
            self._sums += torch.stack([losses.detach().double(), wrong.sum(0).double(), gradient.double()])

    def _autocast(self) -> AbstractContextManager[Any]:
        # Weights that were cast once must not be kept: a graph would never see them change.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=not self._graphed
        )

    def _depth(self) -> Tensor | float:
        if not isinstance(self.network, ResidualNetwork):
            return 0.0
        drawn = self.network.last_draw if self._sampler is not None else None
        return float(len(self.network.units)) if drawn is None else drawn.sum(1)


def copy_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy ``(copies,)`` of logits ``(N, K)`` or ``(N, copies, K)`` and labels ``(N, copies)``."""
    if logits.dim() == 2:
        logits = logits.unsqueeze(1)
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape).mean(0)
