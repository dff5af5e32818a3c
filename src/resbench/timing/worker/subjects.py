"""A case's subject as a module with an input: units, peers' blocks, networks, engines."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from .case import SHAPES, Case, CaseError

__all__ = ["DRAW_CYCLE", "PEERS", "Draws", "Subject", "build", "systematic_draws"]

DRAW_CYCLE = 10
"""Draws of stochastic depth after which they repeat: p = 0.1, 0.2, ... are met exactly."""


class Draws:
    """A sampler that replays ``rows``, booleans ``(draws, units)``, so that every block of steps does the same work."""

    def __init__(self, rows: Tensor, inclusion: Sequence[float]):
        self._rows, self._inclusion, self._next = rows, tuple(inclusion), 0

    def restart(self) -> None:
        self._next = 0

    def draw(self) -> Tensor:
        row = self._rows[self._next % len(self._rows)]
        self._next += 1
        return row[None]

    def inclusion(self) -> tuple[float, ...]:
        return self._inclusion


def systematic_draws(probabilities: Sequence[float], draws: int = DRAW_CYCLE, seed: int = 0) -> Tensor:
    """Systematic sampling: booleans ``(draws, units)``, unit ``l`` True in ``draws * p_l`` of them up to rounding.

    Each row is a draw of Huang 2016's equation 2 (independent over units); over a whole cycle every unit has had its
    share, so that the time of a cycle is the expected time without the scatter of chance.
    """
    generator = random.Random(seed)
    columns = []
    for p in probabilities:
        offset = generator.random()
        uniforms = [(offset + index) / draws for index in range(draws)]
        generator.shuffle(uniforms)
        columns.append([uniform < p for uniform in uniforms])
    return torch.tensor(columns).T.contiguous()


@dataclass
class Subject:
    """What a step works on.

    ``call``: the module's forward pass, on ``input``.  ``labels``: given for networks, whose loss is cross-entropy; a
    block gets a fixed gradient at its output.  ``draws``: what stochastic depth draws from.  ``job``: an engine's whole
    work, in the place of ``call``.
    """

    module: nn.Module
    input: Tensor
    call: Callable[[Tensor], Tensor]
    labels: Tensor | None = None
    draws: Draws | None = None
    job: Callable[[], object] | None = None
    parts: list[nn.Module] = field(default_factory=list)


def build(case: Case) -> Subject:
    """The subject of ``case``, on the CPU, in float32, with weights and data from fixed seeds.

    Raises:
        CaseError: there is no such subject in the code under test.
    """
    torch.manual_seed(0)
    try:
        return {"unit": _unit, "peer": _peer, "net": _network, "engine": _engine}[case.kind](case)
    except CaseError:
        raise
    except ImportError as error:
        raise CaseError(f"{case.subject}: not in this revision or environment ({error})") from error
    except Exception as error:
        raise CaseError(f"{case.subject}: {' '.join(str(error).split())[:200]}") from error


def _unit(case: Case) -> Subject:
    from resbench.networks.variants import create_unit

    name, _, probability = case.name.partition("~")
    shape = SHAPES[case.shape]
    channels = shape.width * (4 if name.endswith("-bottleneck") else 1)
    unit = create_unit(name, channels, shape.width)
    input = torch.randn(case.batch, channels, shape.side, shape.side)
    if not probability:
        return Subject(unit, input, unit, parts=[unit])
    p = _probability(probability)
    draws = Draws(systematic_draws([p]), [p])

    def call(x: Tensor) -> Tensor:
        # As in a residual network: in eval mode every unit is used (Huang 2016, equation 5).
        output: Tensor = unit(x, draws.draw()[0].nonzero().flatten()) if unit.training else unit(x)
        return output

    return Subject(unit, input, call, draws=draws, parts=[unit])


def _probability(text: str) -> float:
    try:
        p = float(text)
    except ValueError:
        p = 0.0
    if not 0 < p <= 1:
        raise CaseError(f"'{text}' is no survival probability: a number in (0, 1] follows ~")
    return p


def _torchvision(name: str, width: int) -> nn.Module:
    block: Any = getattr(import_module("torchvision.models.resnet"), name)
    return block(width * int(block.expansion), width)  # type: ignore[no-any-return]


def _timm(name: str, width: int) -> nn.Module:
    layers: Any = import_module("timm.layers")
    if name in ("BasicBlock", "Bottleneck"):
        block: Any = getattr(import_module("timm.models.resnet"), name)
        return block(width * int(block.expansion), width)  # type: ignore[no-any-return]
    expansion = 4 if name == "PreActBottleneck" else 1
    preact: Any = getattr(import_module("timm.models.resnetv2"), name)
    made = {"conv_layer": layers.create_conv2d, "norm_layer": layers.BatchNormAct2d}  # as in its resnetv2_50
    return preact(width * expansion, width * expansion, 1 / expansion, **made)  # type: ignore[no-any-return]


PEERS: dict[str, tuple[str, Callable[[str, int], nn.Module]]] = {
    "torchvision.BasicBlock": ("original", _torchvision),
    "torchvision.Bottleneck": ("original-bottleneck", _torchvision),
    "timm.BasicBlock": ("original", _timm),
    "timm.Bottleneck": ("original-bottleneck", _timm),
    "timm.PreActBasic": ("preact", _timm),
    "timm.PreActBottleneck": ("preact-bottleneck", _timm),
}
"""Blocks of other libraries, and the unit of the zoo that computes the same function."""


def _peer(case: Case) -> Subject:
    if case.name not in PEERS:
        raise CaseError(f"{case.subject}: the peers are {', '.join(PEERS)}")
    shape = SHAPES[case.shape]
    ours, make = PEERS[case.name]
    channels = shape.width * (4 if ours.endswith("-bottleneck") else 1)
    block = make(case.name.partition(".")[2], shape.width)
    return Subject(block, torch.randn(case.batch, channels, shape.side, shape.side), block, parts=[block])


def _network(case: Case) -> Subject:
    size = [int(part) for part in case.shape.split("x")] if case.shape.replace("x", "").isdigit() else []
    if len(size) != 3:
        raise CaseError(f"{case.subject}: '{case.shape}' is no size of an image: write CxHxW, such as 3x32x32")
    model = _model(case.name, size[0])
    draws = None
    sampler = getattr(model, "sampler", None)
    if sampler is not None and hasattr(sampler, "inclusion"):
        draws = Draws(systematic_draws(sampler.inclusion()), sampler.inclusion())
        model.sampler = draws  # type: ignore[assignment]

    def call(x: Tensor) -> Tensor:
        output = model(x)
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits

    input = torch.randn(case.batch, *size)
    with torch.no_grad():
        classes = call(input[:2]).shape[1]
    if draws is not None:
        draws.restart()
    units = getattr(model, "units", None)
    parts = list(units) if isinstance(units, nn.ModuleList) else [model]
    return Subject(model, input, call, labels=torch.arange(case.batch) % classes, draws=draws, parts=parts)


def _model(name: str, channels: int) -> nn.Module:
    if ":" in name:
        from resbench.targets.models import load_model

        return load_model(name)
    from resbench.networks import zoo

    return zoo.create(name, inputs=channels)


def _engine(case: Case) -> Subject:
    from .engines import ENGINES

    if case.name not in ENGINES:
        raise CaseError(f"{case.subject}: the engines are {', '.join(ENGINES)}")
    module, input, job = ENGINES[case.name](case.batch)
    return Subject(module, input, module, job=job)
