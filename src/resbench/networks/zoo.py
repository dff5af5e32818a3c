"""Every network of the papers by name.

The grammar: ``<family><depth>[-imagenet][-<what differs>]``.

* ``resnet20`` to ``resnet1202``: CIFAR nets (He 2015; original units, option A); 164 and 1001 are bottleneck nets.
  ``-preact``: full pre-activation.  ``-<variant>``: a unit of :mod:`resbench.networks.variants`, such as
  ``resnet110-shortcut-gate-b6``, ``resnet164-bn-after-add`` or ``resnet56-option-b``.
* ``resnet18-imagenet`` to ``resnet200-imagenet``: for 224x224 images, option B; ``-preact`` and variants as above.
* ``-stochastic[-<schedule>]``: stochastic depth.  ``resnet110-preact-23of54``: effective-path training.
* ``plain20``: a residual net without its shortcuts.  ``vgg11`` ... ``vgg19``: widening; ``vgg15``: one width, Veit's.
* ``highway20``: highway units in the place of residual ones; ``-b4`` is the initial gate bias -4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import msgspec
import torch

from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, PlainNetwork, PlainSpec, ResidualNetwork, VggSpec, build
from resbench.networks.sampling import Schedule, make_sampler
from resbench.networks.units import UnitSpec, build_unit
from resbench.networks.variants import ACROSS_DIMENSIONS, TABLE_1, TABLE_2, branch_layers, unknown, variant

__all__ = ["Description", "create", "describe", "names"]

_DRAWS = 7_000_003
"""Between the seeds of weights and draws, so that the draws do not repeat the numbers behind the weights."""

_IMAGENET_UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
_VGG_STAGES = {
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


@dataclass(frozen=True)
class Description:
    """What a network of the zoo is.

    ``equation`` and ``branch`` are its units' (a plain net's: its layers').  ``source``: paper, table and row.
    ``shapes``: images to logits, and its stages.  ``example``: the shape of one image, ``(channels, height, width)``.
    ``training``: which units a training pass uses.
    """

    name: str
    equation: str
    branch: str
    source: str
    shapes: str
    example: tuple[int, int, int]
    training: str
    spec: NetworkSpec | PlainSpec | VggSpec


@dataclass(frozen=True)
class _Entry:
    spec: NetworkSpec | PlainSpec | VggSpec
    equation: str
    source: str
    schedule: Schedule | None = None
    value: float = 1.0


def names() -> list[str]:
    """Every network's name."""
    return list(_entries())


def describe(name: str) -> Description:
    """What the network of this name is.

    Raises:
        UserError: no network has this name; the message has the nearest.
    """
    entry = _entry(name)
    spec = entry.spec
    side = 224 if isinstance(spec, NetworkSpec) and spec.stem == "imagenet" else 32
    return Description(
        name,
        entry.equation,
        _branch(spec),
        entry.source,
        f"(N, {spec.inputs}, {side}, {side}) -> (N, {spec.classes}); {_stages(spec, side)}",
        (spec.inputs, side, side),
        _training(entry),
        spec,
    )


def create(name: str, *, classes: int | None = None, inputs: int = 3, seed: int = 0) -> ResidualNetwork | PlainNetwork:
    """The network of this name with He's initialisation from ``seed``, in train mode; the global generator stays.

    ``classes``: 10, or 1000 for an ImageNet net, where not given.  ``inputs``: the channels of an image.  A network
    with stochastic depth has its sampler (seeded too) and scales each branch by its survival probability in eval mode.

    Raises:
        UserError: no network has this name; the message has the nearest.
    """
    entry = _entry(name)
    changes = {"inputs": inputs} | ({} if classes is None else {"classes": classes})
    with torch.random.fork_rng(devices=[]):  # The layers' own initialisation, replaced below, draws from it.
        network = build(msgspec.structs.replace(entry.spec, **changes))
    initialise(network, [seed])
    if entry.schedule is not None and isinstance(network, ResidualNetwork):
        network.sampler = make_sampler(entry.schedule, network.spec.n_units, entry.value, [seed + _DRAWS])
        for unit, p in zip(network.residual_units(), network.survival_probabilities or (), strict=False):
            unit.test_scale = p
    return network


def _entry(name: str) -> _Entry:
    try:
        return _entries()[name]
    except KeyError:
        raise unknown("network", name, _entries()) from None


@cache
def _entries() -> dict[str, _Entry]:
    return {
        name: entry
        for group in (_cifar, _across_dimensions, _tables, _imagenet, _stochastic, _plain, _highway)
        for name, entry in group()
    }


def _cifar_spec(depth: int, unit: UnitSpec) -> NetworkSpec:
    """Three stages of equally many units; two weight layers are the stem's and the classifier's."""
    count, rest = divmod(depth - 2, 3 * {"basic": 2, "bottleneck": 3, "single": 1}[unit.body])
    assert rest == 0
    return NetworkSpec(units=(count,) * 3, unit=unit)


def _cifar_entry(depth: int, unit: str, source: str | None = None) -> _Entry:
    found = variant(unit)
    # He 2016's bottleneck nets project where the shape changes, which keeps 1x1 reductions of full width.
    spec = msgspec.structs.replace(found.spec, down="projection") if found.spec.body == "bottleneck" else found.spec
    return _Entry(_cifar_spec(depth, spec), found.equation, source or found.source)


def _cifar() -> Iterator[tuple[str, _Entry]]:
    for depth in (20, 32, 44, 56, 110, 1202):
        yield f"resnet{depth}", _cifar_entry(depth, "original", "He 2015, table 6 and section 4.2")
    for depth in (20, 32, 44, 56):
        yield f"resnet{depth}-preact", _cifar_entry(depth, "preact", "Veit 2016: the authors' lesions over depth")
    yield "resnet110-preact", _cifar_entry(110, "preact", "He 2016, tables 2 (e) and 3; Veit 2016, section 4")
    for depth in (164, 1001):
        yield f"resnet{depth}", _cifar_entry(depth, "original-bottleneck", "He 2016, table 3")
        yield f"resnet{depth}-preact", _cifar_entry(depth, "preact-bottleneck", "He 2016, tables 3 and 4")
    yield "resnet110-single", _cifar_entry(110, "single")
    yield "resnet110-single-preact", _cifar_entry(110, "single-preact")


def _across_dimensions() -> Iterator[tuple[str, _Entry]]:
    for depth in (20, 32, 44, 56, 110):
        for name in ACROSS_DIMENSIONS:
            if name != "option-a":  # That is resnet<depth> itself.
                yield f"resnet{depth}-{name}", _cifar_entry(depth, name)


def _tables() -> Iterator[tuple[str, _Entry]]:
    for name in TABLE_1:
        yield f"resnet110-{name}", _cifar_entry(110, name)
    for name in TABLE_2:
        if name in ("original", "preact"):  # Those are resnet<depth> and resnet<depth>-preact.
            continue
        yield f"resnet110-{name}", _cifar_entry(110, name)
        yield f"resnet164-{name}", _cifar_entry(164, f"{name}-bottleneck")


def _imagenet_entry(depth: int, unit: str, source: str, *, down: str = "projection") -> _Entry:
    found = variant(unit)
    body = "basic" if depth < 50 else "bottleneck"
    spec = NetworkSpec(
        units=_IMAGENET_UNITS[depth],
        widths=(64, 128, 256, 512),
        unit=msgspec.structs.replace(found.spec, body=body, down=down),
        classes=1000,
        stem="imagenet",
    )
    return _Entry(spec, found.equation, source)


def _imagenet() -> Iterator[tuple[str, _Entry]]:
    for depth in _IMAGENET_UNITS:
        paper = "He 2016, table 5" if depth == 200 else "He 2015, table 1"
        stride = ", option B" + ("" if depth < 50 else "; the stride in the 3x3 layer, as in the authors' Torch code")
        yield f"resnet{depth}-imagenet", _imagenet_entry(depth, "original", paper + stride)
        paper = "He 2016, table 5" if depth > 101 else "He 2016, figure 4 (e), at the depths of He 2015, table 1"
        yield f"resnet{depth}-imagenet-preact", _imagenet_entry(depth, "preact", paper)
    yield "resnet34-imagenet-option-a", _imagenet_entry(34, "option-a", "He 2015, table 3, ResNet-34 A", down="stride")
    yield "resnet34-imagenet-option-c", _imagenet_entry(34, "option-c", "He 2015, table 3, ResNet-34 C")
    yield "resnet101-imagenet-bn-after-add", _imagenet_entry(101, "bn-after-add", "He 2016, section 4.1 (ResNet-101)")
    for depth in (18, 34):
        plain = _imagenet_entry(depth, "scale-0-1", "He 2015, table 2: plain net", down="stride")
        yield f"plain{depth}-imagenet", plain


def _with_schedule(entry: _Entry, source: str, schedule: Schedule, value: float) -> _Entry:
    return _Entry(entry.spec, entry.equation, source, schedule, value)


def _stochastic() -> Iterator[tuple[str, _Entry]]:
    for depth in (20, 38, 56, 74, 92, 110, 152, 1202):
        source = {152: "Huang 2016, table 1 (SVHN)", 1202: "Huang 2016, section 4"}.get(depth, "Huang 2016, figure 8")
        pooled = _cifar_entry(depth, "option-a-pool")
        yield f"resnet{depth}-stochastic", _with_schedule(pooled, source, "linear", 0.5)
    pooled, strided = _cifar_entry(110, "option-a-pool"), _cifar_entry(110, "option-a")
    yield (
        "resnet110-stochastic-strided",
        _with_schedule(strided, "Huang 2016: the authors' code until February 2017 (1x1 'pooling')", "linear", 0.5),
    )
    yield (
        "resnet110-stochastic-uniform",
        _with_schedule(pooled, "Huang 2016, figure 8: uniform survival, p = 0.5", "uniform", 0.5),
    )
    yield (
        "resnet110-stochastic-from-first",
        _with_schedule(pooled, "not Huang's: (l - 1)/(L - 1), as timm and others decay", "linear-from-first", 0.5),
    )
    yield (
        "resnet152-imagenet-stochastic",
        _with_schedule(_imagenet_entry(152, "original", ""), "Huang 2016, table 1 (ImageNet)", "linear", 0.5),
    )
    preact = _cifar_entry(110, "preact")
    yield "resnet110-preact-23of54", _with_schedule(preact, "Veit 2016, section 5: effective paths", "exactly", 23)


def _plain() -> Iterator[tuple[str, _Entry]]:
    for depth in (20, 32, 44, 56, 110):
        yield f"plain{depth}", _cifar_entry(depth, "scale-0-1", "He 2015, section 4.2 and figure 6: plain net")
    equation = "y = ReLU(BN(W * x))"
    yield "vgg15", _Entry(PlainSpec(), equation, "Veit 2016, figure 3: VGG-style, 15 layers of one width")
    for depth, stages in _VGG_STAGES.items():
        letter = {11: "A", 13: "B", 16: "D", 19: "E"}[depth]
        source = f"Simonyan 2014, table 1, column {letter}, with batch normalisation and one linear layer"
        yield f"vgg{depth}", _Entry(VggSpec(stages), equation, source)


def _highway() -> Iterator[tuple[str, _Entry]]:
    for depth in (20, 32, 110):
        for unit in ("highway", "highway-b4"):
            source = f"{variant(unit).source}; in the stages of He 2015, section 4.2, not Srivastava's sizes"
            yield unit.replace("highway", f"highway{depth}"), _cifar_entry(depth, unit, source)


def _branch(spec: NetworkSpec | PlainSpec | VggSpec) -> str:
    if not isinstance(spec, NetworkSpec):
        return "conv3x3, BN, ReLU"
    with torch.device("meta"):
        unit = build_unit(spec.unit, spec.widths[0] * spec.unit.expansion, spec.widths[0], 1)
    return f"F = {branch_layers(unit)}"


def _stages(spec: NetworkSpec | PlainSpec | VggSpec, side: int) -> str:
    if isinstance(spec, NetworkSpec):
        counts = " + ".join(map(str, spec.units))
        channels = ", ".join(str(width * spec.unit.expansion) for width in spec.widths)
        first = side // 4 if spec.stem == "imagenet" else side
        maps = ", ".join(str(first >> stage) for stage in range(len(spec.units)))
        return f"{counts} units of {channels} channels on maps of {maps}"
    widths = ", ".join(str(width) for width in dict.fromkeys(spec.widths))
    return f"{spec.layers} layers of {widths} channels, pooled after {', '.join(map(str, spec.pools))}"


def _training(entry: _Entry) -> str:
    if entry.schedule is None:
        return "every unit in every pass"
    if entry.schedule == "exactly":
        assert isinstance(entry.spec, NetworkSpec)
        return f"exactly {entry.value:.0f} of {entry.spec.n_units} units a mini-batch, drawn uniformly"
    rule = {
        "linear": "p_l = 1 - (l / L) (1 - p_L)",
        "linear-from-first": "p_l = 1 - ((l - 1) / (L - 1)) (1 - p_L)",
        "uniform": "p_l = p_L",
    }[entry.schedule]
    return f"unit l survives a mini-batch with probability {rule}, p_L = {entry.value}; branches times p_l in eval mode"
