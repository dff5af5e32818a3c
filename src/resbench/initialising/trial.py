"""Does a candidate give a network with residual units, and for images of which size?  Tried in a process of its own.

The user's code runs here, as it will in `resbench check`: within a time limit, and what it prints is thrown away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resbench.targets.options import TargetOptions

__all__ = ["SECONDS", "SIZES", "Trial", "tried"]

SECONDS = 60.0
SIZES = ("3x32x32", "1x28x28", "3x224x224", "1x8x8")
"""Tried in turn: CIFAR's, MNIST's, ImageNet's, the digits'.  A network that takes small colour images is judged on
them: it is quick."""


@dataclass(frozen=True)
class Trial:
    """``error``: why it is no network that can be judged; else its ``input`` and a ``description`` of it."""

    target: str
    input: str = ""
    description: str = ""
    error: str = ""


def tried(options: TargetOptions, folder: Path, seconds: float = SECONDS) -> Trial:
    """Load and adapt a target, with ``folder`` the current one; where no input is said, with each of :data:`SIZES`."""
    with tempfile.TemporaryDirectory(prefix="resbench-") as scratch:
        answer = Path(scratch) / "answer.json"
        question = {
            "target": options.target,
            "inputs": [options.input] if options.input or options.data or _known(options.target) else SIZES,
            "checkpoint": None if options.checkpoint is None else str(options.checkpoint.resolve()),
            "data": options.data,
            "mean": options.mean,
            "std": options.std,
            "units": options.units,
            "survival": options.survival,
            "roots": [str(root) for root in options.roots],
            "answer": str(answer),
        }
        command = [sys.executable, "-c", "from resbench.initialising.trial import child; child()", json.dumps(question)]
        try:
            subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=_environment()
            )
            return Trial(**json.loads(answer.read_text()))
        except subprocess.TimeoutExpired:
            return Trial(options.target, error=f"took longer than {seconds:.0f} s")
        except (OSError, ValueError):
            return Trial(options.target, error="its process ended without an answer")


def _known(target: str) -> bool:
    """Whether resbench itself knows the size of its input: networks of the zoo and of libraries."""
    return target.partition(":")[0] in ("torchvision", "timm", "transformers") or ":" not in target


def _environment() -> dict[str, str]:
    """This process's, with resbench found where this one found it; quiet."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RESBENCH_QUIET": "1"}


def child() -> None:
    """What runs in the process: the question is its argument, the answer a file."""
    question = json.loads(sys.argv[1])
    Path(question["answer"]).write_text(json.dumps(_answered(question, question["inputs"]).__dict__))


def _answered(question: dict[str, object], inputs: Sequence[str]) -> Trial:
    from resbench.errors import UserError
    from resbench.targets.load import load_target

    target, errors = str(question["target"]), []
    for size in inputs:
        try:
            found = load_target(_options(question, size))
        except UserError as error:
            errors.append(str(error))
            if "forward pass raised" not in errors[-1]:
                break  # no other size would help
            continue
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            break
        return Trial(target, size, str(found))
    return Trial(target, error=errors[0])


def _options(question: dict[str, object], size: str) -> TargetOptions:
    def text(name: str) -> str:
        return str(question[name])

    def listed(name: str) -> list[str]:
        value = question[name]
        return [str(one) for one in value] if isinstance(value, list) else []

    checkpoint = question["checkpoint"]
    return TargetOptions(
        target=text("target"),
        checkpoint=Path(str(checkpoint)) if checkpoint else None,
        data=text("data"),
        mean=text("mean"),
        std=text("std"),
        input=size,
        units=tuple(listed("units")),
        survival=text("survival"),
        roots=tuple(map(Path, listed("roots"))),
    )
