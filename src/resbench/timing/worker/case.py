"""What is timed: a case, its name, and which combinations make sense."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

__all__ = ["SHAPES", "Case", "CaseError", "Shape", "parse", "unsupported"]

Pass = Literal["inference", "forward", "step"]
"""``inference``: eval mode, no autograd.  ``forward``: train mode, recording for autograd.  ``step``: that, the
gradients of input and parameters, and a Nesterov SGD update."""

Dtype = Literal["float32", "tf32", "bf16"]
"""``tf32``: float32 tensors, TensorFloat-32 multiplications.  ``bf16``: autocast with float32 parameters."""

Format = Literal["nchw", "nhwc"]
Mode = Literal["eager", "compiled", "graph"]
"""``graph``: the whole pass replayed as one CUDA graph."""

Device = Literal["cpu1", "cpu2", "cpu4", "cpu8", "cpu16", "cuda"]
"""The resource that a case may use: ``cpu2`` is two threads inside operators."""

Cache = Literal["warm", "flushed"]
"""``flushed``: the GPU's L2 cache is overwritten before every step."""


class CaseError(ValueError):
    """A case that does not exist, or cannot be timed here; the message is one line."""


class Shape(msgspec.Struct, frozen=True):
    """A stage of a network: ``width`` channels at ``side`` pixels; a bottleneck unit has ``4 * width`` at its ends."""

    width: int
    side: int
    source: str


SHAPES: Mapping[str, Shape] = {
    "16@32": Shape(16, 32, "CIFAR, stage 1"),
    "32@16": Shape(32, 16, "CIFAR, stage 2"),
    "64@8": Shape(64, 8, "CIFAR, stage 3"),
    "64@56": Shape(64, 56, "ImageNet, stage 1"),
    "128@28": Shape(128, 28, "ImageNet, stage 2"),
    "256@14": Shape(256, 14, "ImageNet, stage 3"),
    "512@7": Shape(512, 7, "ImageNet, stage 4"),
}
"""He 2015, section 4.2 and table 1."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to time: ``subject`` under stated conditions.

    ``subject``: ``unit:NAME`` (of the zoo), ``unit:NAME~P`` (a unit of stochastic depth with survival probability
    ``P``), ``peer:LIBRARY.BLOCK``, ``net:MODEL`` (as targets are named), or ``engine:NAME``.
    ``shape``: a key of :data:`SHAPES` for units and peers; ``CxHxW`` of an image for networks; ``-`` for engines.
    ``batch``: images a step.  Seconds are always seconds *per step* of one batch.
    """

    subject: str
    shape: str
    passing: Pass = "step"
    dtype: Dtype = "float32"
    format: Format = "nchw"
    mode: Mode = "eager"
    batch: int = 32
    device: Device = "cpu1"
    cache: Cache = "warm"

    @property
    def key(self) -> str:
        """The case's name, which :func:`parse` reads: ``unit:preact/64@8/step/float32/nchw/eager/b32/cpu1``."""
        parts = (
            self.subject,
            self.shape,
            self.passing,
            self.dtype,
            self.format,
            self.mode,
            f"b{self.batch}",
            self.device,
        )
        return "/".join(parts + ((self.cache,) if self.cache != "warm" else ()))

    @property
    def kind(self) -> str:
        return self.subject.partition(":")[0]

    @property
    def name(self) -> str:
        return self.subject.partition(":")[2]

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"

    @property
    def threads(self) -> int | None:
        """Threads inside operators; None on a GPU."""
        return None if self.cuda else int(self.device.removeprefix("cpu"))

    @property
    def version(self) -> str:
        """Of what a step of this kind of subject *does*: raised when timings are no longer comparable."""
        return VERSIONS[self.kind]


VERSIONS: Mapping[str, str] = {"unit": "1", "peer": "1", "net": "1", "engine": "1"}


def parse(key: str) -> Case:
    """The case of this name.  Raises: CaseError that says which part is wrong."""
    # A model's name may hold slashes only inside its subject, so the parts are counted from the right.
    parts = key.split("/")
    cache = parts.pop() if parts[-1] in get_args(Cache) else "warm"
    if len(parts) < 8 or not re.fullmatch("b[1-9][0-9]*", parts[-2]):
        raise CaseError(f"'{key}' is no case: SUBJECT/SHAPE/PASS/DTYPE/FORMAT/MODE/bBATCH/DEVICE")
    subject, (shape, passing, dtype, format, mode, batch, device) = "/".join(parts[:-7]), parts[-7:]
    try:
        case = msgspec.convert(
            {
                "subject": subject,
                "shape": shape,
                "passing": passing,
                "dtype": dtype,
                "format": format,
                "mode": mode,
                "batch": int(batch.removeprefix("b")),
                "device": device,
                "cache": cache,
            },
            Case,
        )
    except msgspec.ValidationError as error:
        raise CaseError(f"'{key}' is no case: {error}") from None
    if case.kind not in VERSIONS:
        raise CaseError(f"'{key}' is no case: a subject begins with {', '.join(f'{kind}:' for kind in VERSIONS)}")
    if case.kind in ("unit", "peer") and shape not in SHAPES:
        raise CaseError(f"'{key}' is no case: '{shape}' is no shape; there are {', '.join(SHAPES)}")
    return case


def unsupported(case: Case) -> str | None:
    """Why this combination cannot exist on any machine; None if it can."""
    if case.cuda:
        return None
    if case.dtype == "tf32":
        return "TensorFloat-32 is a GPU's number format"
    if case.mode == "graph":
        return "CUDA graphs need a GPU"
    if case.cache == "flushed":
        return "only a GPU's L2 cache is flushed"
    return None
