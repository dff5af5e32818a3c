"""Every kind of file that resbench reads: a good one, made small, and what its reader makes of it.

``guard``: what tells a file whose values changed from the one that was written, where it can still be read; empty where
the format has nothing of the sort (other tools' files, and what people write by hand).
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from benchmarks import fuzz_judged

ROOT = Path(__file__).resolve().parents[1]

__all__ = ["FORMATS", "Format", "plain"]


@dataclass(frozen=True)
class Format:
    """``made``: writes a good file into an empty folder, and gives its path.  ``read``: what resbench makes of it, fit
    for ``==``; None where it counts as none and is made again."""

    name: str
    guard: str
    made: Callable[[Path], Path]
    read: Callable[[Path], object]


def plain(value: object) -> object:
    """Arrays and tensors as their bytes, so that NaN is equal to itself."""
    if isinstance(value, torch.Tensor):
        return (
            str(value.dtype),
            tuple(value.shape),
            value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes() if value.dtype.kind != "U" else value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(entry) for entry in value]
    return value


# --- claims ---------------------------------------------------------------------------------------------------------


def _claims(file: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        shutil.copytree(ROOT / "src" / "resbench" / "claims", folder / "claims", ignore=_only_data)
        return folder / "claims" / file

    return made


def _only_data(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith((".toml", ".lock"))]


def _catalogue(path: Path) -> object:
    """As `resbench check` reads its own: the claims, which must be those of the lock."""
    from resbench.claims.loader import load_claims
    from resbench.claims.lock import check_locked, fingerprint, read_lock

    claims = load_claims(sorted(path.parent.glob("*.toml")))
    check_locked(claims, read_lock(path.parent / "claims.lock"))
    return [(claim.id, claim.version, fingerprint(claim)) for claim in claims]


# --- records --------------------------------------------------------------------------------------------------------


def _evidence(folder: Path) -> Path:
    from tests.records.evidence_samples import record

    return record(folder)


def _read_evidence(path: Path) -> object:
    from tests.records.evidence_samples import REQUEST, SETTING

    from resbench.records.evidence import read_evidence

    found = read_evidence(path.parents[1], SETTING, REQUEST)
    return None if found is None else msgspec.json.encode(found, order="deterministic")


_CLAIM = {"fingerprint": 16 * "0", "status": "HOLDS", "checks": [{"measured": 0.25, "interval": [0.0, 0.5]}]}


def _seed(folder: Path) -> Path:
    from resbench.records.seeds import write_seed

    (folder / "digits").mkdir()
    return write_seed(folder / "digits", "digits", 3, {"cpu": "a processor"}, {"veit-a": _CLAIM, "veit-b": _CLAIM})


def _old_seeds(folder: Path) -> Path:
    entry = {"environment": {"cpu": "a processor"}, "claims": {"veit-a": _CLAIM}}
    (folder / "seeds.json").write_text(json.dumps({"schema": 1, "seeds": {"1": entry, "2": entry}}, indent=1))
    return folder / "seeds.json"


def _read_seeds(path: Path) -> object:
    from resbench.calibration import read_seeds

    return plain(read_seeds(path.parent))


def _kept(folder: Path) -> Path:
    from resbench.records.partial import PartialResults
    from resbench.records.results import Request

    kept = PartialResults(folder, "abc")
    kept.put(Request("evaluation", "n"), [{"wrong": np.arange(60) % 3 == 0, "loss": np.arange(5) / 3}])
    return next(folder.rglob("*evaluation*"))


def _read_kept(path: Path) -> object:
    from resbench.records.partial import PartialResults
    from resbench.records.results import Request

    return plain(PartialResults(path.parents[2], "abc").get(Request("evaluation", "n")))


def _kept_piece(folder: Path) -> Path:
    from resbench.records.partial import PartialResults

    PartialResults(folder, "abc").put_piece("piece", np.arange(80).reshape(4, 20) % 7 == 0)
    return next(folder.rglob("piece*"))


def _read_kept_piece(path: Path) -> object:
    from resbench.records.partial import PartialResults

    return plain(PartialResults(path.parents[2], "abc").get_piece("piece"))


def _swept(folder: Path) -> Path:
    from resbench.lesions.running import Store

    Store("key", folder).put(0, np.arange(60, dtype=np.int32).reshape(3, 20))
    return next(folder.rglob("000000000*"))


def _read_swept(path: Path) -> object:
    from resbench.lesions.running import Store

    return plain(Store("key", path.parents[2]).get(0))


def _pace(folder: Path) -> Path:
    from resbench.measuring.pace import Pace

    Pace().noted("a processor", "vgg15", 0.0125, 3.1e9).noted("a processor", "resnet20", 0.25, 4e10).write(
        folder / "pace.json"
    )
    return folder / "pace.json"


def _read_pace(path: Path) -> object:
    from resbench.measuring.pace import read_pace

    return read_pace(path)


def _survey(folder: Path) -> Path:
    path = folder / "survey.csv"
    path.write_bytes(b"".join((ROOT / "baselines" / "survey.csv").read_bytes().splitlines(keepends=True)[:12]))
    return path


def _read_survey(path: Path) -> object:
    from resbench.survey.command import summary
    from resbench.survey.table import read_table

    rows = read_table(path)
    summary(rows)
    return rows


# --- networks -------------------------------------------------------------------------------------------------------

_NETWORK = "preact-9"


def _checkpoints(file: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        from resbench.training.checkpoints import write_index

        shutil.copy(ROOT / "baselines" / "checkpoints" / "digits" / f"{_NETWORK}.safetensors", folder)
        write_index(folder, [_NETWORK])
        return folder / file

    return made


def _trained(path: Path) -> object:
    """As `resbench check` reads it: by its folder's index."""
    from resbench.experiments.lab import Lab

    members = Lab("digits", path.parent).members(_NETWORK)
    return [(plain(member.network.state_dict()), member.curves) for member in members]


@functools.lru_cache(maxsize=1)
def _vgg() -> dict[str, torch.Tensor]:
    from tests.measuring.own_samples import recipes

    from resbench.networks.residual import build

    torch.manual_seed(0)
    return build(recipes()["vgg15"].network).state_dict()


def _saved(folder: Path) -> Path:
    from tests.measuring.own_samples import SETTING, images, recipes

    from resbench.training.checkpoints import save
    from resbench.training.loop import Copy, Curves, TrainedCopy

    copy = TrainedCopy(Copy(1, 0), _vgg(), Curves((2.5,), (3.0,), (0.25,)), 0.01, 1)
    save(folder / "vgg15.safetensors", "vgg15", SETTING, recipes()["vgg15"], images(), [copy], {"precision": "float32"})
    return folder / "vgg15.safetensors"


def _read_saved(path: Path) -> object:
    """As `resbench measure` finds a network that it trained."""
    from tests.measuring.own_samples import images, recipes

    from resbench.training.checkpoints import load_network

    saved = load_network(path, "vgg15", recipes()["vgg15"], images().fingerprint)
    return plain(saved.network.state_dict()), saved.curves, saved.seed, saved.precision, saved.training


_IDENTITY = {"network": "vgg15", "recipe": "0123456789abcdef", "seed": "1"}


def _state(folder: Path) -> Path:
    from resbench.training.state import RunState, write_state

    tensors = {f"network.{name}": value for name, value in _vgg().items()}
    values = {"done": 3, "steps": 3, "seen": 48, "spent": 0.5, "best": 12.5, "curves": {"loss": [2.3, 2.1]}}
    write_state(folder / "run.state", RunState(_IDENTITY, tensors, values))
    return folder / "run.state"


def _read_state(path: Path) -> object:
    from resbench.training.state import read_state

    found = read_state(path, _IDENTITY)
    return None if found is None else (found.identity, plain(found.tensors), found.values)


def _users(file: str, save: Callable[[dict[str, torch.Tensor], Path], None]) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        from tests.lesions.lesion_nets import Net, settled

        torch.manual_seed(0)
        save(settled(Net()).state_dict(), folder / file)
        return folder / file

    return made


def _safetensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    import safetensors.torch

    named = {"mean": "0.5,0.5,0.5", "std": "0.25,0.25,0.25"}
    safetensors.torch.save_file({name: value.contiguous() for name, value in tensors.items()}, path, named)


def _legacy(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def _read_users(path: Path) -> object:
    """As every command does with --checkpoint: read, compared with the network, and given to it."""
    from tests.lesions.lesion_nets import Net

    from resbench.targets.checkpoints import fill, read_checkpoint

    found = read_checkpoint(path)
    torch.manual_seed(0)
    model = Net()
    fill(model, path, found)
    return plain(model.state_dict()), found.mean, found.std


# --- images, plans --------------------------------------------------------------------------------------------------


def _npz(save: Callable[..., None]) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
        save(folder / "data.npz", images=images, labels=np.arange(12) % 5)
        return folder / "data.npz"

    return made


def _read_npz(path: Path) -> object:
    from resbench.targets.data import DataOptions, load_data

    images = load_data(f"npz:{path}", DataOptions())
    return plain(images.take(range(len(images)))[0]), plain(images.labels)


def _study(folder: Path) -> Path:
    shutil.copy(ROOT / "examples" / "cifar10_public" / "study.toml", folder)
    return folder / "study.toml"


def _read_study(path: Path) -> object:
    from resbench.measuring.study import read_study

    study = read_study(path)
    return study, study.requests()


_PLAN = """schema = 1
setting = "cifar10"
[[run]]
network = "resnet110-preact"
seeds = [1, 2, 3, 4, 5]
[[run]]
network = "vgg15"
"""


def _plan(folder: Path) -> Path:
    (folder / "runs.toml").write_text(_PLAN)
    return folder / "runs.toml"


def _read_plan(path: Path) -> object:
    from resbench.measuring.training import read_plan

    return read_plan(path)


_TABLE = """[project]
name = "mine"

[tool.resbench]
target = "mypackage.models:build"
data = "npz:test.npz"
mean = [0.5, 0.5, 0.5]
std = "0.25,0.25,0.25"
select = ["unit-*", "he-*"]
sequential = true
alpha = 0.05
"""


def _project(folder: Path) -> Path:
    (folder / "pyproject.toml").write_text(_TABLE)
    return folder / "pyproject.toml"


def _read_project(path: Path) -> object:
    from resbench.configuration import read_configuration
    from resbench.targets.options import TargetOptions

    found = read_configuration(path)
    if found is None:
        return None
    return found.keys, found.select, found.kinds, found.settings, found.alpha, found.for_target(TargetOptions(), ())


# --- times ----------------------------------------------------------------------------------------------------------


def _timing(folder: Path) -> Path:
    from tests.timing.timing_samples import NETWORK, PREACT, around, make_run

    from resbench.timing.store import save

    return save(make_run("main", {PREACT: around(4e-3), NETWORK: around(0.03)}), str(folder / "main.json"))


def _asv(file: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        shutil.copytree(ROOT / "baselines" / "asv", folder / "asv")
        return next((folder / "asv").rglob(file))

    return made


def _asv_folder(path: Path) -> object:
    """Whatever of the folder is damaged: what `history` reads, and what `compare` reads of one result."""
    from resbench.timing.history import runs_in

    folder = next(parent for parent in (path, *path.parents) if parent.name == "asv")
    return runs_in(folder), _read_times(next(folder.rglob("3ae8ed8c*.json")))


def _benchmarked(folder: Path) -> Path:
    """As pytest-benchmark writes it, with and without resbench's own record."""
    from tests.timing.timing_samples import ENVIRONMENT, PREACT, around, make_record

    stats = {"data": [0.004, 0.0041, 0.0042], "median": 0.0041, "iterations": 1}
    document = {
        "machine_info": {"python_version": "3.11.7", "system": "Linux", "cpu": {"count": 2}, "resbench": ENVIRONMENT},
        "commit_info": {"id": "a7ce40a", "dirty": False, "time": "2026-11-21T08:00:00+00:00"},
        "benchmarks": [
            {"name": "test_step", "fullname": "bench.py::test_step", "param": None, "stats": stats, "extra_info": {}},
            {
                "name": "test_unit",
                "fullname": "bench.py::test_unit",
                "param": PREACT,
                "stats": stats,
                "extra_info": {"resbench": msgspec.to_builtins(make_record(PREACT, around(4e-3)))},
            },
        ],
        "datetime": "2026-11-21T08:30:00+00:00",
        "version": "5.1.0",
    }  # fmt: skip
    (folder / "bench.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    return folder / "bench.json"


def _read_times(path: Path) -> object:
    """Read, and compared with itself, as `resbench compare` does."""
    from resbench.reports.throughput import compare_table
    from resbench.timing.compare import compare
    from resbench.timing.readers import read

    run = read(str(path))
    compare_table(compare([run, run]), width=100)
    return run


_OURS = "SHA-256 over all that the file says"

FORMATS: tuple[Format, ...] = (
    Format("claims of a paper", "claims.lock", _claims("veit2016.toml"), _catalogue),
    Format("claims about units", "claims.lock", _claims("units.toml"), _catalogue),
    Format("claims.lock", "the claims", _claims("claims.lock"), _catalogue),
    Format("evidence", _OURS, _evidence, _read_evidence),
    Format("record of a seed", _OURS, _seed, _read_seeds),
    Format("seeds.json of old", "", _old_seeds, _read_seeds),
    Format("kept result", _OURS, _kept, _read_kept),
    Format("kept piece", _OURS, _kept_piece, _read_kept_piece),
    Format("kept sweep", _OURS, _swept, _read_swept),
    Format("checkpoint of the digits", "index.json", _checkpoints(f"{_NETWORK}.safetensors"), _trained),
    Format("checkpoint index", "the checkpoints", _checkpoints("index.json"), _trained),
    Format("checkpoint of a paper's network", _OURS, _saved, _read_saved),
    Format("state of a training", _OURS, _state, _read_state),
    Format("timing run", _OURS, _timing, _read_times),
    Format("asv result", "", _asv("3ae8ed8c*.json"), _asv_folder),
    Format("asv machine", "", _asv("machine.json"), _asv_folder),
    Format("asv benchmarks", "", _asv("benchmarks.json"), _asv_folder),
    Format("pytest-benchmark JSON", "", _benchmarked, _read_times),
    Format("user's .safetensors", "", _users("net.safetensors", _safetensors), _read_users),
    Format("user's .pt", "", _users("net.pt", torch.save), _read_users),
    Format("user's .pt of old", "", _users("net.pt", _legacy), _read_users),
    Format("verdicts of a run", "", fuzz_judged.run, fuzz_judged.read_run),
    Format("waivers.toml", "", fuzz_judged.waivers, fuzz_judged.read_waivers),
    Format("kill matrix", "", fuzz_judged.kill_matrix, fuzz_judged.read_kill_matrix),
    Format("npz of images", "", _npz(np.savez), _read_npz),
    Format("npz of images, compressed", "", _npz(np.savez_compressed), _read_npz),
    Format("pace.json", "", _pace, _read_pace),
    Format("survey.csv", "", _survey, _read_survey),
    Format("study.toml", "", _study, _read_study),
    Format("training plan", "", _plan, _read_plan),
    Format("pyproject.toml", "", _project, _read_project),
)
