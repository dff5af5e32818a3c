"""Which architectures the survey takes: a rule for each library, no list made by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resbench.targets.models import library

__all__ = ["LIBRARIES", "Family", "families"]


@dataclass(frozen=True)
class Family:
    """Networks of one kind, of which the survey takes the one with the fewest parameters.

    ``package``: a key of :data:`LIBRARIES`.  ``networks``: as targets name them, without the package.
    """

    package: str
    name: str
    networks: tuple[str, ...]


def families(library: str) -> list[Family]:
    """The families of one library, in a fixed order.

    - torchvision: every classification network is a family of its own;
    - timm: the networks of one model module whose names begin with the same letters (``resnet/seresnext``); without
      timm's own test networks;
    - transformers: every class that ``AutoModelForImageClassification`` knows, with its default configuration.

    Raises:
        UserError: the library is not installed.
    """
    return sorted(LIBRARIES[library](), key=lambda family: family.name)


def _torchvision() -> list[Family]:
    models: Any = library("torchvision").models
    return [Family("torchvision", name, (name,)) for name in models.list_models(module=models)]


def _timm() -> list[Family]:
    timm: Any = library("timm")
    found: dict[str, list[str]] = {}
    for module in timm.list_modules():
        for network in timm.list_models(module=module):
            letters = re.match("[a-z]+", network)
            if letters is not None and letters[0] != "test":
                found.setdefault(f"{module}/{letters[0]}", []).append(network)
    return [Family("timm", name, tuple(sorted(networks))) for name, networks in found.items()]


def _transformers() -> list[Family]:
    library("transformers")
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSES

    found = []
    for name, classes in CLASSES.items():
        several: Sequence[str] = (classes,) if isinstance(classes, str) else classes
        for one in several:
            found.append(Family("transformers", name if len(several) == 1 else f"{name}/{one}", (one,)))
    return found


LIBRARIES: dict[str, Callable[[], list[Family]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}
