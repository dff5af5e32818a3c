"""Small runs that write records: what each does in a folder, and what its records then say.

Each is the code of a command on networks that take a second.  What is of the moment (times, the commit) is left out of
what is compared; all else must be equal, however often the run was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.fuzz_formats import ROOT, plain

__all__ = ["WORKLOADS", "Workload"]

_CLAIMS = ("huang-heatmap", "huang-expected-depth", "resnet-degradation")
"""Of the digits: claims whose networks are tested once."""


@dataclass(frozen=True)
class Workload:
    """``prepare``: called once, in the process that then forks.  ``run``: in a folder, from nothing or from what is
    there.  ``records``: what the folder then says."""

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    records: Callable[[Path], Mapping[str, object]]


def _nothing(shared: Path) -> None:
    pass


# --- resbench measure: a training, its checkpoint, three records ----------------------------------------------------


def _measure(folder: Path) -> None:
    from tests.measuring.own_samples import SETTING, images, recipes

    import resbench.training.papers
    from resbench.measuring.own import OwnOptions, measure_own

    with ExitStack() as stack:
        for module in ("own", "trained"):
            stack.enter_context(patch(f"resbench.measuring.{module}.baselines", lambda: folder))
        stack.enter_context(patch("resbench.training.recipes.load_recipes", lambda setting: recipes(iterations=12)))
        stack.enter_context(patch("resbench.data.cifar10.load_cifar10", lambda spec, download=False: images()))
        stack.enter_context(patch.object(resbench.training.papers, "_KEPT_EVERY", 0.0))  # after every step
        said = measure_own(OwnOptions(SETTING, ("vgg15",), data="npz:x"))
    assert said.startswith(("3 recorded", "2 recorded", "1 recorded", "0 recorded")), said


def _measured(folder: Path) -> Mapping[str, object]:
    from resbench.training.packed import unpacked

    found: dict[str, object] = {}
    for path in sorted((folder / "claims").rglob("*.json")):
        record = json.loads(path.read_bytes())
        subject = {key: value for key, value in record["subject"].items() if key != "checkpoint"}
        found[path.relative_to(folder).as_posix()] = (record["members"], subject, record["version"])
    for path in sorted((folder / "checkpoints").rglob("*.safetensors")):
        tensors, metadata = unpacked(path.read_bytes())
        curves = (metadata["curves"], metadata["seed"], metadata["recipe"])
        found[path.relative_to(folder).as_posix()] = (plain(tensors), curves)
    left = list((folder / "cache").rglob("*.state"))
    assert len(found) == 4, list(found)
    assert not left, left
    return found


# --- resbench lesion: a sweep kept piece by piece -------------------------------------------------------------------


def _lesion(folder: Path) -> None:
    from resbench.lesioning import LesionOptions, lesions_of
    from resbench.lesions import running
    from resbench.targets.options import TargetOptions

    data = folder.parent / "images.npz"
    with patch.object(running, "_FIRST_PIECE", 20), patch.object(running, "_PIECE_SECONDS", 0.0):
        described = TargetOptions("tests.lesions.lesion_nets:Net", data=f"npz:{data}")
        found = lesions_of(described, LesionOptions(("single", "pairs")))
    assert found is not None
    (folder / "lesions.json").write_text(json.dumps(found))


def _lesion_images(shared: Path) -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (900, 8, 8, 3), dtype=np.uint8)
    np.savez(shared / "images.npz", images=images, labels=generator.integers(0, 5, 900))


def _lesioned(folder: Path) -> Mapping[str, object]:
    found: dict[str, Any] = json.loads((folder / "lesions.json").read_text())
    assert not list((folder / "cache" / "lesions").glob("*/*")), "a finished sweep leaves nothing"
    return {key: value for key, value in found.items() if key not in ("engine", "environment")}


# --- resbench calibrate: a record that grows ------------------------------------------------------------------------


def _two_seeds(shared: Path) -> None:
    """The committed networks, and the same as if another seed had made them."""
    from resbench.data import load_dataset
    from resbench.training.checkpoints import write_index
    from resbench.training.packed import packed, unpacked

    load_dataset("digits")
    names = ("post-9", "post-9-stochastic", "post-54-stochastic", "plain-9", "plain-27")
    for seed in (0, 1):
        folder = shared / f"seed-{seed}"
        folder.mkdir()
        for name in names:
            source = ROOT / "baselines" / "checkpoints" / "digits" / f"{name}.safetensors"
            tensors, metadata = unpacked(source.read_bytes())
            (folder / source.name).write_bytes(packed(tensors, {**metadata, "seed": str(seed)}))
        write_index(folder, names)


def _calibrate(folder: Path) -> None:
    from resbench.calibration import record_seeds
    from resbench.claims import load_claims

    few = [claim for claim in load_claims() if claim.id in _CLAIMS]
    with patch("resbench.calibration.load_claims", lambda: few):
        record_seeds("digits", [folder.parent / "seed-0", folder.parent / "seed-1"], folder / "seeds")


def _calibrated(folder: Path) -> Mapping[str, object]:
    from resbench.calibration import read_seeds

    record = read_seeds(folder / "seeds")
    assert list(record["seeds"]) == ["0", "1"]
    assert not list((folder / "cache" / "partial").glob("*/*")), "a finished run leaves nothing"
    return {seed: entry["claims"] for seed, entry in record["seeds"].items()}


# --- resbench check: measurements kept for the next run --------------------------------------------------------------


def _check(folder: Path) -> None:
    from resbench.checking import Options, run_check

    code = run_check(Options(_CLAIMS, settings=("digits",), checkpoints=folder.parent / "seed-0", out=folder / "out"))
    assert code == 0


def _checked(folder: Path) -> Mapping[str, object]:
    found = json.loads((folder / "out" / "verdicts.json").read_text())
    assert not list((folder / "cache" / "partial").glob("*/*")), "a finished run leaves nothing"
    return {"verdicts": found["verdicts"], "summary": found["summary"]}


WORKLOADS: tuple[Workload, ...] = (
    Workload("measure", _nothing, _measure, _measured),
    Workload("lesion", _lesion_images, _lesion, _lesioned),
    Workload("calibrate", _two_seeds, _calibrate, _calibrated),
    Workload("check", _two_seeds, _check, _checked),
)
