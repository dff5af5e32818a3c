"""Which cases there are: sets by tag, and cases by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from itertools import product

import msgspec

from .case import SHAPES, Case, CaseError, parse, unsupported
from .engines import ENGINES
from .subjects import PEERS

__all__ = ["TAGS", "cases", "select"]

_CIFAR = ("16@32", "32@16", "64@8")
_SURVIVAL = ("0.2", "0.5", "0.8")
_SMALL_BATCH = 4
"""Images a step on a CPU for ImageNet's stages, which are 49 times the work of CIFAR's (multiply-adds)."""


@cache
def _units() -> tuple[str, ...]:
    from resbench.networks.variants import unit_names

    return tuple(unit_names())


def _shapes(name: str) -> tuple[str, ...]:
    """Where a block stands: bottlenecks in ImageNet's stages, the others in CIFAR's and ImageNet's."""
    imagenet = tuple(shape for shape in SHAPES if shape not in _CIFAR)
    return imagenet if "bottleneck" in name.lower() else _CIFAR + imagenet


def _peers() -> tuple[str, ...]:
    """Of the libraries that are installed."""
    return tuple(peer for peer in PEERS if find_spec(peer.partition(".")[0]) is not None)


def _pairs() -> Iterator[Case]:
    """Every peer's block beside the unit of the zoo that computes the same, in every pass and format."""
    for peer in _peers():
        for shape in _shapes(peer):
            batch = 32 if shape in _CIFAR else _SMALL_BATCH
            for passing, format in product(("inference", "step"), ("nchw", "nhwc")):
                for subject in (f"unit:{PEERS[peer][0]}", f"peer:{peer}"):
                    yield Case(subject, shape, passing=passing, format=format, batch=batch)  # type: ignore[arg-type]


def _default() -> Iterator[Case]:
    """A look at everything that a CPU measures within three minutes; ``scale-0-1`` is the plain unit, no shortcut."""
    for unit, shape in product(("original", "preact"), _CIFAR):
        yield Case(f"unit:{unit}", shape)
    others = ("scale-0-1", "conv1x1", "exclusive-gate-b6", "dropout", "highway", "single-preact")
    for unit in (*others, "preact~0.5", "preact~0.8"):
        yield Case(f"unit:{unit}", "64@8")
    for unit in ("original-bottleneck", "preact-bottleneck"):
        yield Case(f"unit:{unit}", "256@14", batch=_SMALL_BATCH)
    for peer in _peers():
        wide = PEERS[peer][0].endswith("bottleneck")
        yield Case(f"peer:{peer}", "256@14" if wide else "64@8", batch=_SMALL_BATCH if wide else 32)
    for subject, format in product(("unit:original", "unit:preact", "peer:torchvision.BasicBlock"), ("nchw", "nhwc")):
        yield Case(subject, "64@8", passing="inference", format=format)  # type: ignore[arg-type]
    yield Case("net:resnet20-preact", "3x32x32", passing="inference")
    yield Case("net:resnet20-preact", "3x32x32")
    yield from _engines()


def _stochastic() -> Iterator[Case]:
    """Stochastic depth beside constant depth: units at several survival probabilities, and Huang's networks."""
    for shape in _CIFAR:
        yield Case("unit:original", shape)
        for p in _SURVIVAL:
            yield Case(f"unit:original~{p}", shape)
    # The same network, option A by pooling, without and with linear decay to 0.5 (Huang 2016, section 3).
    for depth in (20, 56, 110):
        yield Case(f"net:resnet{depth}-option-a-pool", "3x32x32")
        yield Case(f"net:resnet{depth}-stochastic", "3x32x32")


def _networks() -> Iterator[Case]:
    for name in ("resnet20", "resnet20-preact", "plain20", "highway20", "resnet56-preact", "resnet110-preact"):
        for passing in ("inference", "step"):
            yield Case(f"net:{name}", "3x32x32", passing=passing)


def _engines() -> Iterator[Case]:
    for name in ENGINES:
        yield Case(f"engine:{name}", "-", passing="inference" if name.startswith("lesion") else "step", batch=8)


def _all_units() -> Iterator[Case]:
    """Every unit of the zoo at its CIFAR stage 3 or ImageNet stage 3, training."""
    for unit in (*_units(), *(f"original~{p}" for p in _SURVIVAL)):
        wide = unit.endswith("-bottleneck")
        yield Case(f"unit:{unit}", "256@14" if wide else "64@8", batch=_SMALL_BATCH if wide else 32)


def _full_cpu() -> Iterator[Case]:
    """Every unit, every shape and pass, both formats; both modes for the two units of the papers."""
    for unit in (*_units(), *(f"original~{p}" for p in _SURVIVAL)):
        for shape in _shapes(unit):
            for passing, format in product(("inference", "forward", "step"), ("nchw", "nhwc")):
                batch = 32 if shape in _CIFAR else _SMALL_BATCH
                yield Case(f"unit:{unit}", shape, passing=passing, format=format, batch=batch)  # type: ignore[arg-type]
    for unit, shape, passing in product(("original", "preact"), _CIFAR, ("inference", "step")):
        yield Case(f"unit:{unit}", shape, passing=passing, mode="compiled")  # type: ignore[arg-type]
    yield from _pairs()
    yield from _networks()
    yield from _engines()


def _full_gpu() -> Iterator[Case]:
    """Every unit as it is trained; the units of the papers and the peers over number formats, layouts and modes.

    The whole product is tens of thousands of cases; a full one is taken of what matters, and of the rest one each.
    """
    for case in _all_units():
        yield _on_gpu(case, "bf16", "nhwc", "eager")
    core = [f"unit:{unit}" for unit in ("original", "preact", "original-bottleneck", "preact-bottleneck")]
    for subject in (*core, *(f"peer:{peer}" for peer in _peers())):
        shape = "256@14" if "bottleneck" in subject.lower() else "64@8"
        for passing, dtype, format, mode in product(
            ("inference", "step"), ("float32", "tf32", "bf16"), ("nchw", "nhwc"), ("eager", "compiled", "graph")
        ):
            # Compiling takes seconds, and what it gains hangs little on the format: once a subject and pass.
            if mode == "compiled" and (dtype, format) != ("bf16", "nhwc"):
                continue
            yield _on_gpu(Case(subject, shape, passing=passing), dtype, format, mode)  # type: ignore[arg-type]
    for shape in (shape for shape in SHAPES if shape not in _CIFAR):
        for subject in ("unit:original", "unit:original-bottleneck"):
            yield _on_gpu(Case(subject, shape), "bf16", "nhwc", "graph")
            cold = _on_gpu(Case(subject, shape, passing="inference"), "bf16", "nhwc", "graph")
            yield msgspec.structs.replace(cold, cache="flushed")
    for name in ("resnet110-preact", "resnet110-option-a-pool", "resnet110-stochastic", "resnet50-imagenet"):
        size = "3x224x224" if "imagenet" in name else "3x32x32"
        yield _on_gpu(Case(f"net:{name}", size), "bf16", "nhwc", "eager")


def _on_gpu(case: Case, dtype: str, format: str, mode: str) -> Case:
    """``case`` on a GPU at the papers' mini-batch of 128, or of 64 for a network on ImageNet's images."""
    batch = 64 if "imagenet" in case.subject else 128
    return msgspec.structs.replace(case, dtype=dtype, format=format, mode=mode, batch=batch, device="cuda")


def _default_gpu() -> Iterator[Case]:
    for case in _default():
        if case.kind != "engine":
            yield _on_gpu(case, "bf16", "nhwc", "eager")


TAGS: Mapping[str, Callable[[], Iterable[Case]]] = {
    "default": _default,
    "default-gpu": _default_gpu,
    "units": _all_units,
    "peers": _pairs,
    "stochastic": _stochastic,
    "networks": _networks,
    "engines": _engines,
    "full-cpu": _full_cpu,
    "full-gpu": _full_gpu,
}
"""Sets of cases by name."""


def cases(tag: str = "default") -> list[Case]:
    """The cases of a set, each once, in a fixed order, without combinations that cannot exist.

    Raises:
        CaseError: there is no such set.
    """
    if tag not in TAGS:
        raise CaseError(f"no set of cases is named '{tag}'; there are {', '.join(TAGS)}")
    return [case for case in dict.fromkeys(TAGS[tag]()) if unsupported(case) is None]


def select(patterns: Sequence[str], tag: str | None = None) -> list[Case]:
    """The cases that match any of ``patterns``: whole names of cases, or patterns with ``*`` and ``?`` over ``tag``.

    Without ``tag`` patterns look through all sets; without patterns it is the whole set.

    Raises:
        CaseError: a pattern matches nothing; the nearest names are given.
    """
    if not patterns:
        return cases(tag or "default")
    known = {case.key: case for name in ([tag] if tag else TAGS) for case in cases(name)}
    found: dict[str, Case] = {}
    for pattern in patterns:
        matches = [key for key in known if fnmatchcase(key, pattern)]
        if not matches and not set(pattern) & set("*?"):
            found[pattern] = _named(pattern, known)
        elif not matches:
            raise CaseError(f"no case matches '{pattern}'{_nearest(pattern.replace('*', ''), known)}")
        found |= {key: known[key] for key in matches}
    return list(found.values())


def _named(key: str, known: Iterable[str]) -> Case:
    """A case that is in no set, by its whole name; its subject must exist."""
    try:
        case = parse(key)
    except CaseError as error:
        raise CaseError(f"{error}{_nearest(key, known)}") from None
    reason = unsupported(case)
    if reason is not None:
        raise CaseError(f"{key}: {reason}")
    names = {"unit": _units(), "peer": tuple(PEERS), "engine": tuple(ENGINES)}.get(case.kind)
    if names is not None and case.name.partition("~")[0] not in names:
        near = get_close_matches(case.name, names, n=3, cutoff=0.4)
        raise CaseError(
            f"no {case.kind} is named '{case.name}'" + (f"; the nearest: {', '.join(near)}" if near else "")
        )
    return case


def _nearest(key: str, known: Iterable[str]) -> str:
    near = get_close_matches(key, list(known), n=2, cutoff=0.3)
    return f"; the nearest: {', '.join(near)}" if near else ""
