"""A name to a model: the user's own callable, the zoo's networks, torchvision's, timm's and transformers'.

Nothing is downloaded: weights are random, or the user's checkpoint.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from resbench.errors import UserError

__all__ = ["LIBRARIES", "library", "load_model", "one_line", "raised_by"]


def load_model(spec: str, roots: Sequence[Path] = (), *, channels: int | None = None, seed: int = 0) -> nn.Module:
    """The model that ``spec`` names, as built: its mode, type and device are the builder's.

    ``roots``: folders besides the current one that the module of ``MODULE:CALLABLE`` is looked for in.  ``channels``
    and ``seed``: a zoo network's input channels (3 where None) and the seed of its weights; the weights of others come
    from the global generator.

    Raises:
        UserError: there is no such thing, or it does not give an ``nn.Module``.
    """
    family, colon, name = spec.partition(":")
    if not colon:
        return _zoo(spec, 3 if channels is None else channels, seed)
    if not family or not name:
        raise UserError(f"target {spec!r}: write MODULE:CALLABLE, such as mypackage.models:resnet56")
    if family in LIBRARIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about weights and initialisation, which are random on purpose
            return LIBRARIES[family](name)
    return _called(spec, *_resolved(spec, family, name, roots))


def _zoo(name: str, channels: int, seed: int) -> nn.Module:
    from resbench.networks import zoo

    if name not in zoo.names():
        raise UserError(
            f"target {name}: no network of the zoo{_nearest(name, zoo.names())}; "
            "your own is MODULE:CALLABLE, others are torchvision:NAME, timm:NAME and transformers:NAME"
        )
    return zoo.create(name, inputs=channels, seed=seed)


def _torchvision(name: str) -> nn.Module:
    torchvision = library("torchvision")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UserError(f"target torchvision:{name}: no classification network of torchvision{_nearest(name, known)}")
    network: nn.Module = torchvision.models.get_model(name, weights=None)
    return network


def _timm(name: str) -> nn.Module:
    timm = library("timm")
    if ":" in name or not timm.is_model(name.partition(".")[0]):
        hint = _nearest(name, timm.list_models())
        raise UserError(f"target timm:{name}: no network of timm {timm.__version__}{hint}")
    network: nn.Module = timm.create_model(name, pretrained=False)
    return network


def _transformers(name: str) -> nn.Module:
    """By class (``ResNetForImageClassification``) or by model type (``resnet``), from its default configuration."""
    transformers = library("transformers")
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as TYPES

    classes = {one for entry in TYPES.values() for one in ((entry,) if isinstance(entry, str) else entry)}
    found = TYPES.get(name, name)
    kind: Any = getattr(transformers, found if isinstance(found, str) else found[0], None)
    network_class = inspect.isclass(kind) and issubclass(kind, nn.Module)
    if not (network_class and getattr(kind, "config_class", None)):
        hint = _nearest(name, [*TYPES, *classes])
        raise UserError(f"target transformers:{name}: no image classifier of transformers{hint}")
    network: nn.Module = kind(kind.config_class())
    return network


LIBRARIES: dict[str, Callable[[str], nn.Module]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}


def library(name: str) -> Any:
    """One of the libraries, imported.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UserError(f"{name} is not installed: pip install {name}") from None


def _resolved(spec: str, module_name: str, path: str, roots: Sequence[Path]) -> tuple[object, str]:
    """The object that ``MODULE:CALLABLE`` names, and its last name."""
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise UserError(f"target {spec}: MODULE is written as in an import: {dotted}:{path}")
    found: object = _imported(spec, module_name, roots)
    owner = f"module {module_name}"
    for name in path.split("."):
        if not hasattr(found, name):
            hint = _nearest(name, [known for known in dir(found) if not known.startswith("__")])
            raise UserError(f"target {spec}: {owner} has no {name!r}{hint}")
        found, owner = getattr(found, name), name
    return found, owner


def _imported(spec: str, name: str, roots: Sequence[Path]) -> ModuleType:
    # They stay there: a model may import its neighbours when it is first called.
    for folder in reversed([Path.cwd(), *roots]):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # `a` and `a.b` are the target's own module; any other name is missing inside it.
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            reason = f"no module {error.name!r} in the current directory or the environment"
            raise UserError(f"target {spec}: {reason}; start from its folder, or install it") from None
        raise UserError(f"target {spec}: importing {name} raised {raised_by(error)}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"target {spec}: importing {name} raised {raised_by(error)}") from error


def _called(spec: str, found: object, name: str) -> nn.Module:
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise UserError(f"target {spec}: {name} is a {type(found).__name__}, neither callable nor an nn.Module")
    missing = _needed(found)
    if missing:
        raise UserError(
            f"target {spec}: {name} needs arguments ({', '.join(missing)}); name a function without any, "
            f"such as: def build(): return {name}(...)"
        )
    try:
        model = found()
    except (Exception, SystemExit) as error:
        raise UserError(f"target {spec}: {name}() raised {raised_by(error)}") from error
    if inspect.isclass(model) and issubclass(model, nn.Module):
        raise UserError(f"target {spec}: {name}() returned the class {model.__name__}, not a network; call it")
    if not isinstance(model, nn.Module):
        raise UserError(f"target {spec}: {name}() returned {_article(model)}, not an nn.Module")
    return model


def _needed(found: Callable[..., Any]) -> list[str]:
    """The parameters without a default; none where the signature cannot be told."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in variadic]


def _article(value: object) -> str:
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def raised_by(error: BaseException) -> str:
    """``ValueError: depth is odd (models.py, line 12)``: the exception and the last line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{one_line(error)}{place}"


def one_line(error: BaseException, width: int = 300) -> str:
    """``ValueError: depth is odd``, on one line of at most ``width`` characters."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _nearest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; nearest: {', '.join(close)}" if close else ""
