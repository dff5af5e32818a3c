"""Options to a :class:`UserTarget`: the model with its weights, the data, an example input, the units."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resbench.errors import UserError
from resbench.talking import note
from resbench.targets.chance import below_chance
from resbench.targets.checkpoints import Checkpoint, fill, read_checkpoint
from resbench.targets.data import DataOptions, load_data
from resbench.targets.images import Images, as_images
from resbench.targets.models import LIBRARIES, load_model, one_line, raised_by
from resbench.targets.options import TargetOptions, parse_channels, parse_input, parse_survival
from resbench.targets.target import UserTarget

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit

__all__ = ["example_for", "load_target"]

Size = tuple[int, int, int]

_EXAMPLES = 2
_SMALL = 64
"""A side that most ImageNet architectures accept; five halvings leave 2x2."""

_TRIED = 512
"""How many images tell at loading whether the target is trained."""

_BATCH = 256


def load_target(options: TargetOptions) -> UserTarget:
    """Build, fill, try and adapt the target; random weights and inputs come from ``options.seed``.

    The caller's random state stays as it was.

    Raises:
        UserError: anything that the user can mend; one line with the way out.
    """
    options.check()
    checkpoint = None if options.checkpoint is None else read_checkpoint(options.checkpoint)
    data = _data(options, checkpoint)
    target = _loaded(options, checkpoint, data)
    if not options.against:
        return target
    other = replace(options, target=options.against, checkpoint=options.against_checkpoint, units=(), survival="")
    if not options.input and data is None:
        other = replace(other, input="x".join(map(str, target.example.shape[1:])))
    filled = None if other.checkpoint is None else read_checkpoint(other.checkpoint)
    return replace(target, against=_loaded(other, filled, data))


def target_of(
    model: nn.Module,
    example: Tensor | None = None,
    *,
    units: Sequence[str] = (),
    survival: Sequence[float] | None = None,
    data: Images | tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
) -> UserTarget:
    """A live model as a target; it is used in place, in eval mode.

    Args:
        model: a live network.
        example: ``(N, C, H, W)``, N at least 2; the first of ``data`` where not given.
        units: globs of module names that choose the units, as for :func:`resbench.adapt`.
        survival: the probability of every unit; the model's ``survival_probabilities`` where not given.
        data: normalised images ``(N, C, H, W)`` and labels ``(N,)``, or :class:`resbench.targets.images.Images`.
        seed: of what is drawn at random.

    Raises:
        UserError: the model cannot be adapted to them, or neither ``example`` nor ``data`` is given.
    """
    images = None if data is None else as_images(data)
    if example is None:
        if images is None:
            raise UserError("give an example input, or data")
        example, _ = images.take(range(min(_EXAMPLES, len(images))), _device_of(model))
    options = TargetOptions(
        target=type(model).__name__,
        units=tuple(units),
        survival="" if survival is None else ",".join(map(repr, map(float, survival))),
        data="" if data is None else "the images given",
        seed=seed,
    )
    if len(example) < _EXAMPLES:
        raise UserError(f"the example has {len(example)} image, it takes at least {_EXAMPLES}")
    model.eval()
    _check_labels(options, images, _forward(model, example, options))
    found = _units(model, example, options)
    trained = images is not None and _seems_trained(model, images, example.device)
    probabilities = _survival(model, options, len(found))
    return UserTarget(options.target, model, example, found, probabilities, images, trained, seed, globs=options.units)


def _loaded(options: TargetOptions, checkpoint: Checkpoint | None, data: Images | None) -> UserTarget:
    devices = [options.device] if options.device.startswith("cuda") else []
    size = parse_input(options.input) if data is None else data.shape
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(options.seed)
        channels = None if size is None else size[0]
        model = _plain(load_model(options.target, options.roots, channels=channels, seed=options.seed))
        if checkpoint is not None and options.checkpoint is not None:
            fill(model, options.checkpoint, checkpoint)
        model = _placed(model, options)
        example = _example(model, options, data)
    _check_labels(options, data, _forward(model, example, options))
    units = _units(model, example, options)
    return UserTarget(
        name=options.target,
        model=model,
        example=example,
        units=units,
        survival=_survival(model, options, len(units)),
        data=data,
        trained=checkpoint is not None or (data is not None and _seems_trained(model, data, example.device)),
        seed=options.seed,
        globs=options.units,
        thorough=options.thorough,
    )


def _plain(model: nn.Module) -> nn.Module:
    """The model itself where DataParallel or torch.compile wraps it."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _plain(model.module)
    inner = getattr(model, "_orig_mod", None)
    return _plain(inner) if isinstance(inner, nn.Module) else model


def _placed(model: nn.Module, options: TargetOptions) -> nn.Module:
    try:
        return model.float().to(options.device).eval()
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        raise UserError(
            f"target {options.target}: cannot be moved to --device {options.device} ({one_line(error)})"
        ) from error


def _data(options: TargetOptions, checkpoint: Checkpoint | None) -> Images | None:
    if not options.data:
        return None
    mean, std = parse_channels(options.mean, "mean"), parse_channels(options.std, "std")
    if not mean and checkpoint is not None and checkpoint.mean and options.data != "digits":
        mean, std = checkpoint.mean, checkpoint.std
        shown = [",".join(f"{value:g}" for value in values) for values in (mean, std)]
        note(f"--mean {shown[0]} --std {shown[1]}, from the checkpoint's header")
    size = parse_input(options.input)
    return load_data(options.data, DataOptions(mean, std, size, options.download, options.limit, options.seed))


def _example(model: nn.Module, options: TargetOptions, data: Images | None) -> Tensor:
    """The first images of the data, else noise of the given size, else of the first default that the model accepts."""
    if data is not None:
        return data.take(range(_EXAMPLES), options.device)[0]
    given = parse_input(options.input)
    sizes = [given] if given is not None else _default_sizes(model, options.target)
    if not sizes:
        raise UserError(f"target {options.target}: give --input 3x32x32 (the size of its input), or --data")
    for size in sizes[:-1]:
        example = torch.randn(_EXAMPLES, *size, device=options.device)
        try:
            # On a copy: a size that fails may leave its marks (transformers' Swin shrinks its windows for good).
            _output(copy.deepcopy(model), example)
            return example
        except Exception:  # too small for it, or not the size that it was built for
            continue
    return torch.randn(_EXAMPLES, *sizes[-1], device=options.device)


def example_for(model: nn.Module, name: str) -> Tensor:
    """Two images of noise for the target ``name``, in the first of its default sizes that ``model`` accepts.

    Raises:
        UserError: nothing tells its size.
    """
    return _example(model, TargetOptions(target=name), None)


def _default_sizes(model: nn.Module, name: str) -> list[Size]:
    """Input sizes to try in turn where none was given; none for a model that does not tell."""
    library, colon, _ = name.partition(":")
    if not colon:
        return _zoo_sizes(name)
    own = _own_size(model)
    if library not in LIBRARIES:
        return [] if own is None else [own]
    standard: Size = (3, 299, 299) if "inception" in name else (3, 224, 224)
    last = own or standard
    small = (last[0], _SMALL, _SMALL)
    return [small, last] if last != small else [last]


def _zoo_sizes(name: str) -> list[Size]:
    from resbench.networks import zoo

    channels, height, width = zoo.describe(name).example
    return [(channels, min(_SMALL, height), min(_SMALL, width)), (channels, height, width)]


def _own_size(model: nn.Module) -> Size | None:
    """The input size that a timm or transformers model declares."""
    declared: Any = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None)
    size = declared.get("input_size") if isinstance(declared, dict) else None
    if isinstance(size, Sequence) and len(size) == 3:
        return int(size[0]), int(size[1]), int(size[2])
    config = getattr(model, "config", None)
    side = getattr(config, "image_size", None)
    if config is None or (side is None and not hasattr(config, "num_channels")):
        return None
    channels = int(getattr(config, "num_channels", 3))
    height, width = side if isinstance(side, Sequence) else (side or 224, side or 224)
    return channels, int(height), int(width)


def _forward(model: nn.Module, example: Tensor, options: TargetOptions) -> Tensor:
    """The output for the example, whatever else it is: a tensor.

    Raises:
        UserError: the forward pass raises, or gives no tensor of a row an image.
    """
    size = "x".join(map(str, example.shape[1:]))
    try:
        output = _output(model, example)
    except UserError:
        raise
    except Exception as error:
        hint = "give --input" if not (options.input or options.data) else "is that the size of its input?"
        raise UserError(
            f"target {options.target}: its forward pass raised for an input of {size}: {raised_by(error)}; {hint}"
        ) from error
    if output.dim() < 1 or len(output) != len(example):
        shape = "x".join(map(str, output.shape)) or "a single value"
        raise UserError(f"target {options.target}: {len(example)} images give an output of {shape}, not one row each")
    return output


def _output(model: nn.Module, images: Tensor) -> Tensor:
    from resbench.adapters import output_of

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return output_of(model(images))


def _check_labels(options: TargetOptions, data: Images | None, output: Tensor) -> None:
    if data is None:
        return
    if output.dim() != 2:
        shape = "x".join(map(str, output.shape))
        raise UserError(f"target {options.target}: --data needs a classifier; its output is {shape}, not N x classes")
    low, high, classes = int(data.labels.min()), int(data.labels.max()), output.shape[1]
    if low < 0 or high >= classes:
        raise UserError(f"--data {options.data}: labels go from {low} to {high}, the target has {classes} outputs")


def _units(model: nn.Module, example: Tensor, options: TargetOptions) -> list[ResidualUnit]:
    from resbench.adapters import adapt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return adapt(model, example, units=options.units)


def _survival(model: nn.Module, options: TargetOptions, count: int) -> tuple[float, ...] | None:
    """From ``--survival``, else from the model's own ``survival_probabilities``."""
    if options.survival:
        return parse_survival(options.survival)(count)
    declared: Any = getattr(model, "survival_probabilities", None)
    if declared is None:
        return None
    try:
        values = tuple(float(p) for p in (declared() if callable(declared) else declared))
    except (TypeError, ValueError) as error:
        raise UserError(f"survival_probabilities of the target: {one_line(error)}; one number a unit") from error
    if len(values) != count:
        raise UserError(f"survival_probabilities of the target are {len(values)}, it has {count} units; --survival")
    if not all(0.0 < p <= 1.0 for p in values):
        raise UserError("survival_probabilities of the target: a survival probability lies in (0, 1]; give --survival")
    return values


def _seems_trained(model: nn.Module, data: Images, device: torch.device) -> bool:
    tried = data.subset(range(min(_TRIED, len(data))))
    batches = tried.batches(_BATCH, device)
    wrong = sum(int((_output(model, images).argmax(1) != truth).sum()) for images, truth in batches)
    return below_chance(wrong, tried.labels)


def _device_of(model: nn.Module) -> torch.device:
    """Where its first weight is; the CPU for a model without any."""
    return next((weight.device for weight in model.parameters()), torch.device("cpu"))
