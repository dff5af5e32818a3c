"""Weights of other libraries' networks: which of their names is which of ours.

The networks are the same functions, so weights copied by these names give the same outputs and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from resbench.errors import UserError
from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d
from resbench.networks.residual import ResidualNetwork
from resbench.networks.units import ComposedUnit

__all__ = ["converted", "timm_names", "torchvision_names"]


def torchvision_names(network: ResidualNetwork) -> dict[str, str]:
    """``{state_dict name here: name in torchvision.models.resnet*}`` for an ``-imagenet`` net of original units.

    ``units.3.residual.0.weight`` is ``layer2.0.conv1.weight``, ``units.3.skip.0.weight`` its ``downsample.0.weight``.

    Raises:
        UserError: torchvision has no such network.
    """
    if not _is_imagenet(network, "original"):
        raise UserError("torchvision's ResNets are those of original units with option B and the ImageNet stem")
    modules = {"stem.0": "conv1", "stem.1": "bn1", "classifier": "fc"}
    for here, there, unit in _placed(network, lambda stage, block: f"layer{stage + 1}.{block}"):
        for index, name in enumerate(_of_type(unit.residual, CopiesConv2d), start=1):
            modules[f"{here}.residual.{name}"] = f"{there}.conv{index}"
        for index, name in enumerate(_of_type(unit.residual, CopiesBatchNorm2d), start=1):
            modules[f"{here}.residual.{name}"] = f"{there}.bn{index}"
        modules |= {f"{here}.skip.{part}": f"{there}.downsample.{part}" for part in (0, 1)}
    return _expanded(network, modules)


def timm_names(network: ResidualNetwork) -> dict[str, str]:
    """``{state_dict name here: name in timm's resnetv2_*}`` for an ``-imagenet-preact`` net of bottleneck units.

    The stem's BN is timm's ``stages.0.blocks.0.norm1``: timm pools before it, He 2016 after it and its ReLU.  In eval
    mode that is one function where its scale is positive; in train mode the batch statistics differ.  timm's basic
    nets (``resnetv2_18``, ``resnetv2_34``) are other functions: their first shortcut carries the stem's raw output.

    Raises:
        UserError: timm has no such network.
    """
    if not _is_imagenet(network, "preact") or network.spec.unit.body != "bottleneck":
        raise UserError("timm's ResNetV2 are those of pre-activation bottlenecks with option B and the ImageNet stem")
    modules = {
        "stem.0": "stem.conv",
        "stem.1": "stages.0.blocks.0.norm1",
        "head_activation.0": "norm",
        "classifier": "head.fc",
    }
    for here, there, unit in _placed(network, lambda stage, block: f"stages.{stage}.blocks.{block}"):
        convolutions = list(_of_type(unit.residual, CopiesConv2d))
        norms = list(_of_type(unit.residual, CopiesBatchNorm2d))
        modules |= {f"{here}.residual.{name}": f"{there}.conv{index}" for index, name in enumerate(convolutions, 1)}
        # Where the branch does not begin with an activation, norm1 is the unit's entry (or the stem's).
        first = 1 + len(convolutions) - len(norms)
        modules |= {f"{here}.residual.{name}": f"{there}.norm{index}" for index, name in enumerate(norms, first)}
        modules |= {f"{here}.entry.0": f"{there}.norm1", f"{here}.skip.0": f"{there}.downsample.conv"}
    return _expanded(network, modules)


def converted(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of another library's ``state`` under our names; a classifier that is a 1x1 convolution is flattened.

    Raises:
        UserError: ``state`` has not all of the tensors that ``names`` lists.
    """
    missing = [there for there in names.values() if there not in state]
    if missing:
        raise UserError(f"the state lacks {len(missing)} of {len(names)} tensors, {missing[0]} the first")
    tensors = {here: state[there] for here, there in names.items()}
    return {here: value.flatten(1) if here == "classifier.weight" else value for here, value in tensors.items()}


def _is_imagenet(network: ResidualNetwork, order: str) -> bool:
    spec = network.spec
    ordinary = spec.unit.shortcut == "identity" and spec.unit.shortcut_scale == spec.unit.branch_scale == 1.0
    return spec.stem == "imagenet" and spec.unit.order == order and spec.unit.down == "projection" and ordinary


def _placed(network: ResidualNetwork, place: Callable[[int, int], str]) -> Iterator[tuple[str, str, ComposedUnit]]:
    """(name here, ``place(stage, block)``, unit) of each unit, in order."""
    places = [(stage, block) for stage, count in enumerate(network.spec.units) for block in range(count)]
    for index, (unit, where) in enumerate(zip(network.residual_units(), places, strict=True)):
        yield f"units.{index}", place(*where), unit


def _of_type(branch: nn.Sequential, kind: type[nn.Module]) -> Iterator[str]:
    return (name for name, module in branch.named_children() if isinstance(module, kind))


def _expanded(network: nn.Module, modules: Mapping[str, str]) -> dict[str, str]:
    """Names of tensors from names of modules; a module that the network lacks is passed over."""
    split = [(key, *key.rpartition(".")[::2]) for key in network.state_dict()]
    return {key: f"{modules[module]}.{tensor}" for key, module, tensor in split}
