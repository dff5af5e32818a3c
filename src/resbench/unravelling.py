"""What `resbench paths` and :func:`resbench.paths` do: the gradient of a network by the length of its paths."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resbench.distributed import Ranks
from resbench.errors import UserError
from resbench.experiments.path_options import PathOptions
from resbench.targets.options import TargetOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resbench.targets.images import Images
    from resbench.targets.target import UserTarget

__all__ = ["PathOptions", "paths", "paths_of"]

_IMAGES = 16
"""Of the data, where the user gives no limit: a path costs what its activations cost."""

_NOISE = 8
"""Images of random numbers, where there are no data."""


def paths(
    model: nn.Module,
    example: Tensor | None = None,
    *,
    data: Images | tuple[Tensor, Tensor] | None = None,
    sampled: bool = False,
    longest: int | None = None,
    mass: float = 0.95,
    participation: bool = True,
    precision: float = 0.01,
    most: int = 1000,
    memory: int = 2**30,
    forward: bool = False,
    units: Sequence[str] = (),
    survival: Sequence[float] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The gradient of a live model by the length of the paths that carry it (Veit 2016, section 5), in eval mode.

    The model is used in place and left as it was.  The gradient is that of the mean cross-entropy, read at the input of
    the first residual unit.

    Args:
        model: images ``(N, C, H, W)`` to logits ``(N, classes)``.
        example: two or more images, ``(N, C, H, W)``; labels are drawn by ``seed``.
        data: normalised images and their labels, or :class:`resbench.targets.images.Images`, instead; all are used.
        sampled: follow single random paths, as the paper does, instead of counting every path.
        longest: lengths up to this one are told apart, longer ones counted together; None for all.
        mass: the share of the gradient that the effective range holds.
        participation: with all paths counted, also the gradient through each unit's branch.
        precision: sampled, the standard error of a length's share at which drawing ends.
        most: sampled, paths of one length at most.
        memory: bytes for gradients on their way, with all paths counted.
        forward: also the linearised signal at the last unit, by length; not where ``sampled``.
        units: globs of module names that choose the units, as for :func:`resbench.adapt`.
        survival: the probability of every unit; the model's ``survival_probabilities`` where not given.
        seed: of labels and paths that are drawn.

    Returns:
        What ``resbench paths --format json`` prints: ``n_units``, ``length``, ``path_count``,
        ``gradient_norm_per_path``, ``gradient_norm_of_length``, ``share``, ``effective_range``, and more.

    Raises:
        UserError: bad input.
        NotMeasured: the model's units do not follow each other one by one, or their insides are not known.

    Examples:
        >>> found = paths(torchvision.models.resnet18(), torch.randn(2, 3, 64, 64))
        >>> found["path_count"]
        [1, 8, 28, 56, 70, 56, 28, 8, 1]
    """
    from resbench.experiments.path_values import measured_paths
    from resbench.experiments.probes import modes_kept
    from resbench.targets.load import target_of

    options = PathOptions(sampled, longest, mass, participation, precision, most, memory, forward)
    options.check()
    with modes_kept(model):
        target = target_of(model, example, units=units, survival=survival, data=data, seed=seed)
        images, labels = _all(target) or (target.example, _drawn_labels(target, target.example))
        found = measured_paths(target, images, labels, options)
        assert found is not None
        return found


def paths_of(described: TargetOptions, options: PathOptions, ranks: Ranks | None = None) -> dict[str, Any] | None:
    """The same of a target that options describe; it is named on standard error.

    ``ranks``: the processes that share the work out; None is returned elsewhere than on rank 0.

    Without data the images are noise, and the labels drawn; of data, 16 images are drawn where no limit is given.

    Raises:
        UserError, NotMeasured: as for :func:`paths`.
    """
    from resbench.checking import check_device, loaded_target
    from resbench.experiments.path_values import measured_paths

    options.check()
    described.check()
    among = ranks or Ranks()
    described = replace(described, device=among.device(described.device))
    check_device(described.device)
    if described.data and described.limit is None:
        described = replace(described, limit=_IMAGES)
    with among.in_turn() if described.download else nullcontext():
        target = loaded_target(described)
    images, labels = _all(target) or _noise(target)
    return measured_paths(target, images, labels, options, among)


def _all(target: UserTarget) -> tuple[Tensor, Tensor] | None:
    return None if target.data is None else target.data.take(range(len(target.data)), target.device)


def _noise(target: UserTarget) -> tuple[Tensor, Tensor]:
    import torch

    generator = torch.Generator().manual_seed(target.seed)
    images = torch.randn(_NOISE, *target.example.shape[1:], generator=generator).to(target.example)
    return images, _drawn_labels(target, images)


def _drawn_labels(target: UserTarget, images: Tensor) -> Tensor:
    """A class for each image.

    Raises:
        UserError: the output has no classes.
    """
    import torch

    from resbench.adapters import output_of

    with torch.no_grad():
        shape = output_of(target.model(images[:2])).shape
    if len(shape) != 2:
        given = "x".join(map(str, shape))
        raise UserError(f"target {target.name}: paths need a classifier; its output is {given}, not N x classes")
    generator = torch.Generator().manual_seed(target.seed + 1)
    return torch.randint(shape[1], (len(images),), generator=generator).to(images.device)
