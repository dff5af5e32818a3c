"""Nothing is unpickled, nothing leaks, and no name is taken for markup, a path or a command."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import tarfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import typer
from abuse_samples import TIMED, tiny_measuring
from tests.lesions.lesion_nets import Net, settled
from tests.measuring.own_samples import SETTING
from torch import nn

from conftest import Run
from resbench.cli import app

NET = "tests.lesions.lesion_nets:Net"


class Malicious:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def zipped(folder: Path, content: object) -> Path:
    torch.save(content, folder / "net.pt")
    return folder / "net.pt"


def of_old(folder: Path, content: object) -> Path:
    torch.save(content, folder / "net.pth", _use_new_zipfile_serialization=False)
    return folder / "net.pth"


def bare(folder: Path, content: object) -> Path:
    (folder / "net.bin").write_bytes(pickle.dumps(content))
    return folder / "net.bin"


def named_safetensors(folder: Path, content: object) -> Path:
    return zipped(folder, content).rename(folder / "net.safetensors")


def tarred(folder: Path, content: object) -> Path:
    """The format before torch 0.1.10: a tar file of pickles."""
    with tarfile.open(folder / "net.pt", "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            data = pickle.dumps(content)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return folder / "net.pt"


FILES = (zipped, of_old, bare, named_safetensors, tarred)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    marker = tmp_path / "owned"
    yield marker
    assert not marker.exists(), "a file was unpickled"


def contents(marker: Path) -> dict[str, object]:
    state = dict(settled(Net()).state_dict())
    return {
        "alone": Malicious(marker),
        "in a state dict": {**state, "x": Malicious(marker)},
        "wrapped": {"state_dict": state, "optimizer": [Malicious(marker)]},
        "as a key": {Malicious(marker): 1},
    }


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("what", ["alone", "in a state dict", "wrapped", "as a key"])
def test_a_malicious_checkpoint(write: Callable[[Path, object], Path], what: str, marker: Path, run: Run) -> None:
    path = write(marker.parent, contents(marker)[what])
    code, out, err = run("units", NET, "--input", "3x8x8", "--checkpoint", str(path))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"resbench: --checkpoint {path}: ")


def test_the_checkpoints_here_would_do_harm(tmp_path: Path) -> None:
    for number, write in enumerate((zipped, of_old)):
        marker = tmp_path / f"owned-{number}"
        torch.load(write(tmp_path, Malicious(marker)), weights_only=False)
        assert marker.exists()


def npz(folder: Path) -> Path:
    images = np.zeros((8, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "good.npz", images=images, labels=np.arange(8) % 5)
    return folder / "good.npz"


STUDY = """schema = 1
setting = "cifar10-public"
experiments = ["evaluation"]
[[network]]
name = "net"
target = "tests.lesions.lesion_nets:Net"
checkpoint = "net.pt"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""


def study(path: Path) -> tuple[str, ...]:
    (path.parent / "study.toml").write_text(STUDY)
    data = ("--data", f"npz:{npz(path.parent)}")
    return ("measure", "--study", str(path.parent / "study.toml"), *data, "--out", str(path.parent / "out"))


def data(path: Path) -> tuple[str, str]:
    return ("--data", f"npz:{npz(path.parent)}")


TAKING: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "check --checkpoint": lambda path: ("check", "--target", NET, "--checkpoint", str(path), *data(path)),
    "check --against-checkpoint": lambda path: (
        *("check", "--target", NET, "--against", NET, "--against-checkpoint", str(path), "--input", "3x8x8"),
    ),
    "units --checkpoint": lambda path: ("units", NET, "--checkpoint", str(path), "--input", "3x8x8"),
    "lesion --checkpoint": lambda path: ("lesion", NET, "--checkpoint", str(path), *data(path)),
    "paths --checkpoint": lambda path: ("paths", NET, "--checkpoint", str(path), *data(path)),
    "init --checkpoint": lambda path: ("init", str(path.parent), "--target", NET, "--checkpoint", str(path)),
    "measure --study": study,
}


@pytest.mark.parametrize("command", TAKING)
def test_every_command_that_takes_a_checkpoint_refuses(command: str, marker: Path, run: Run) -> None:
    path = zipped(marker.parent, contents(marker)["wrapped"])
    code, out, err = run(*TAKING[command](path))
    assert (code, out) == (2, ""), err
    assert "is not unpickled" in err.splitlines()[-1]


def test_those_are_all_of_them() -> None:
    """A new command with such an option belongs into the table above."""
    found = {
        f"{name} {option}"
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in parameter.opts
        if option.endswith("checkpoint")
    }
    assert found | {"measure --study"} == set(TAKING)


@pytest.mark.parametrize("command", ["check", "lesion", "paths"])
def test_a_malicious_npz(command: str, marker: Path, run: Run) -> None:
    path = marker.parent / "bad.npz"
    np.savez(path, images=np.array([Malicious(marker)], dtype=object), labels=np.arange(1))
    target = ("--target", NET) if command == "check" else (NET,)
    code, out, err = run(command, *target, "--data", f"npz:{path}")
    assert (code, out) == (2, "")
    assert "not an npz file of plain arrays" in err


def test_resbench_s_own_files_are_not_unpickled(marker: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it looks for its own: kept results, sweeps, states, checkpoints."""
    from resbench.experiments.lab import Lab
    from resbench.lesions.running import Store
    from resbench.records.index import write_index
    from resbench.records.partial import PartialResults
    from resbench.records.results import Request
    from resbench.records.sealed import sealed
    from resbench.training.state import read_state

    folder = marker.parent
    array = io.BytesIO()
    np.save(array, np.array([Malicious(marker)], dtype=object), allow_pickle=True)
    kept = PartialResults(folder, "key")
    kept.put_piece("piece", np.zeros(3))
    Store("key", folder).put(0, np.zeros((1, 1), dtype=np.int32))
    for path in folder.rglob("*.npy"):
        path.write_bytes(sealed(array.getvalue()))
    assert kept.get_piece("piece") is None
    assert Store("key", folder).get(0) is None
    assert kept.get(Request("evaluation", "n")) is None
    for write in FILES:
        path = write(folder, Malicious(marker)).rename(folder / "preact-9.safetensors")
        write_index(folder, ["preact-9"])
        with pytest.raises(Exception, match=r"preact-9\.safetensors: "):
            Lab("digits", folder).members("preact-9")
        with pytest.raises(Exception, match="not the state of a training run"):
            read_state(path, {})


# --- names ----------------------------------------------------------------------------------------------------------

NAMES = (
    "<script>alert(1)</script>",
    "a|b",
    "::error file=x::owned",
    "##[error]owned",
    "a\n::warning::b",
    "\x1b[31mred\x1b[0m",
    "`code` *bold* [link](javascript:x)",
    "&lt;b&gt; ]]> <!-- '\"",
    "100 %, 50%0A::error::x",
    "\u202eevil \ud800",
)


class Tags(HTMLParser):
    """The elements in a text that a browser, or GitHub, would see."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        # Code spans are shown as they are.
        self.feed(re.sub(r"`[^`]*`", "", text))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)


def harmless(text: str, markdown: bool = False) -> None:
    """No line is a workflow's command, no character moves the cursor, no cell is split, no element is made."""
    for line in text.split("\n"):
        assert not line.strip().startswith("::"), line
        assert "##[" not in line
        assert line.isprintable() or not line, ascii(line)
    if markdown:
        assert set(Tags(text).found) <= {"details", "summary"}
        assert "](javascript" not in re.sub(r"`[^`]*`", "", text).replace("\\]", "").replace("\\[", "")
        for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def verdicts(name: str) -> list[Any]:
    from tests.reports.report_samples import check, one

    from resbench.judge import Status

    texts = dict.fromkeys(("id", "setting", "expected", "unit", "source", "message", "statement", "breaks"), name)
    return [one(status, **texts, checks=(check(status, name, name),)) for status in Status]


@pytest.mark.parametrize("name", NAMES)
def test_verdicts(name: str) -> None:
    from tests.reports.report_samples import claim, expectation

    from resbench.claims.model import AtLeast
    from resbench.reports import claim_details, claims_table, junit, markdown, table, to_json

    known = claim(name, expectation(AtLeast(bound=1), name, "trained", name, paper_value=name), breaks=name)
    found = verdicts(name)
    harmless(table(found, [known], width=80))
    harmless(markdown(found, [known], {"cpu": name, "packages": {name: name}}), markdown=True)
    harmless(claims_table([known], width=100))
    harmless(claim_details(known, width=80))
    suites = ElementTree.fromstring(junit(found, seconds=1.0, timestamp=name).encode("utf-8", "replace"))
    assert {element.tag for element in suites.iter()} <= {
        *("testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped"),
    }
    for element in suites.iter():
        for line in (element.text or "").splitlines():
            assert not line.strip().startswith("::")
    assert json.loads(to_json(found, {}))["verdicts"][0]["id"] == name


@pytest.mark.parametrize("name", NAMES)
def test_times(name: str) -> None:
    import msgspec

    from resbench.reports.ab import ab_annotations, ab_markdown, ab_table
    from resbench.reports.history import history_table
    from resbench.reports.throughput import bench_table, compare_table
    from resbench.reports.throughput_files import bench_csv, bench_markdown, compare_csv, compare_markdown
    from resbench.timing.ab import AbRow
    from resbench.timing.change import Change
    from resbench.timing.compare import compare
    from resbench.timing.history import history
    from resbench.timing.worker.case import Case

    replace = msgspec.structs.replace
    case = Case(f"net:{name}", "3x8x8")
    failed = replace(TIMED.records[0], case=case, rounds=(), error=name)
    noisy = replace(TIMED.records[1], unhealthy=(name,))
    run = replace(TIMED, name=name, environment={**TIMED.environment, "python": name}, records=(failed, noisy))
    other = replace(run, environment={**TIMED.environment, "cpu": name})
    harmless(bench_table(run, width=80))
    harmless(bench_markdown(run), markdown=True)
    both = compare([TIMED, run])
    for found in (both, compare([TIMED, other], across_machines=True)):
        harmless(compare_table(found, width=80))
        harmless(compare_markdown(found), markdown=True)
    assert len(list(csv.reader(io.StringIO(bench_csv(run))))) == 3
    assert len({len(row) for row in csv.reader(io.StringIO(compare_csv(both)))}) == 1
    harmless(history_table(history([TIMED, run]), width=80))
    rows = [AbRow(case, case, Change.MISSING, missing=("", name))]
    harmless(ab_table(rows, name, name, margin=0.05))
    harmless(ab_markdown(rows, name, name, margin=0.05), markdown=True)
    (annotation,) = ab_annotations(rows)
    assert re.fullmatch(r"::error title=resbench ab::[^\r\n]*", annotation)
    assert not re.search("%(?!25)", annotation)


class Named(nn.Module):
    """A network whose units have the names of an attacker's choice (dots part the names of modules)."""

    def __init__(self) -> None:
        super().__init__()
        net = Net()
        self.stem, self.classifier = net.stem, net.classifier
        self.names = [name.replace(".", "") for name in NAMES[:5]]
        for name, unit in zip(self.names, net.units, strict=True):
            self.add_module(name, unit)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for name in self.names:
            x = self._modules[name](x)  # type: ignore[misc]
        return self.classifier(x.mean((2, 3)))


@pytest.mark.parametrize(
    "arguments",
    [
        ("units", "test_security:Named", "--input", "3x8x8"),
        ("lesion", "test_security:Named", "--data", "DATA"),
        ("lesion", "test_security:Named", "--data", "DATA", "--format", "csv"),
        ("lesion", "test_security:Named", "--data", "DATA", "--figure", "FIGURE"),
        ("paths", "test_security:Named", "--data", "DATA", "--figure", "FIGURE"),
        ("check", "--target", "test_security:Named", "--input", "3x8x8", "--select", "unit-*", "--format", "md"),
        ("check", "--target", "test_security:Named", "--input", "3x8x8", "--select", "unit-*", "--format", "junit"),
        ("check", "--target", "test_security:Named", "--input", "3x8x8", "--select", "unit-*"),
        ("units", "::error::x:y"),
        ("check", "--select", "::error::x"),
        ("check", "--target", "resnet20", "--input", "3x8x8", "--units", "\n::error::x"),
        ("compare", "a\n::error::b", "c"),
    ],
    ids=lambda arguments: " ".join(arguments).replace("\n", " ")[:60],
)
def test_names_through_commands(arguments: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    figure = tmp_path / "figure.svg"
    given = {"DATA": f"npz:{npz(tmp_path)}", "FIGURE": str(figure)}
    code, out, err = run(*(given.get(argument, argument) for argument in arguments))
    assert code in (0, 1, 2)
    harmless(err)
    if "junit" in arguments:
        ElementTree.fromstring(out)
    elif "csv" in arguments:
        assert len({len(row) for row in csv.reader(io.StringIO(out))}) == 1
    else:
        harmless(out, markdown="md" in arguments)
    if figure.exists():
        root = ElementTree.fromstring(figure.read_text())
        assert not [element for element in root.iter() if element.tag.endswith("script")]


# --- secrets --------------------------------------------------------------------------------------------------------

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-aws",
    "GITHUB_TOKEN": "ghp_s3cr3t",
    "MY_PASSWORD": "hunter2-s3cr3t",
    "OMP_S3CR3T": "s3cr3t-too",
}

ALLOWED = {
    *(
        "RESBENCH_CACHE",
        "RESBENCH_STORE",
        "XDG_CACHE_HOME",
        "HOME",
        "PATH",
        "TMPDIR",
        "TEMP",
        "TMP",
        "COLUMNS",
        "LINES",
    ),
    *("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"),
    *("RESBENCH_QUIET", "RESBENCH_VERBOSE", "NO_COLOR", "FORCE_COLOR", "TERM"),
    "PYTHONPATH",
}
"""What resbench itself reads of the environment: places, the terminal's size, whether it runs in an action, how much it
says and in which colours; and what it hands on to the process in which `init` tries a network."""


def test_no_secret_is_recorded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    tiny_measuring(tmp_path, monkeypatch)
    out = str(tmp_path / "out")
    commands = (
        ("measure", "--setting", SETTING, "--data", "npz:x", "--select", "vgg15/evaluation", "--out", out),
        ("check", "--select", "veit-paths-*", "--format", "json", "--out", out),
        ("check", "--target", NET, "--data", f"npz:{npz(tmp_path)}", "--select", "unit-*", "--format", "md"),
        ("lesion", NET, "--data", f"npz:{npz(tmp_path)}", "--format", "json"),
        ("paths", NET, "--data", f"npz:{npz(tmp_path)}", "--format", "json"),
        ("units", NET, "--input", "3x8x8", "--format", "json"),
    )
    said = "".join("".join(map(str, run(*command))) for command in commands)
    assert {path.name for path in (tmp_path / "out").rglob("*.json")} == {
        "evaluation.json",
        "pace.json",
        "verdicts.json",
    }
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for value in SECRETS.values():
        assert value not in said
        assert value.encode() not in written


def test_facts_of_a_machine_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into a record is asked of the machine; of the environment only names on the list are read."""
    from resbench.records.environment import _gpu, _version, environment
    from resbench.timing.worker.machine import facts

    asked: set[str] = set()

    class Watched(dict[Any, Any]):
        def __getitem__(self, name: Any) -> Any:
            asked.add(os.fsdecode(name))
            return super().__getitem__(name)

        def get(self, name: Any, default: Any = None) -> Any:
            asked.add(os.fsdecode(name))
            return super().get(name, default)

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("all of the environment is read")

        items = values = keys = __iter__  # type: ignore[assignment]

    environment.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", Watched(os.environ))
        # subprocess hands the environment on to git, in C: that does not read os.environ in Python.
        recorded = json.dumps({**environment(), **facts()})
        assert _version("torch") is not None
        _gpu()
    asked = {name for name in asked if not name.startswith("PYTORCH_")}  # switches of torch itself
    assert asked <= ALLOWED, asked - ALLOWED
    assert not any(value in recorded for value in os.environ.values() if len(value) > 12)


def test_the_source_reads_no_other_variable() -> None:
    """Wherever it is written down: a new name belongs onto the list, with the reason why it is no secret."""
    source = Path(__file__).parents[2] / "src" / "resbench"
    text = "\n".join(path.read_text() for path in source.rglob("*.py"))
    names = set(re.findall(r"(?:environ(?:\.get)?|getenv)[\[(]\s*[\"']([A-Z_0-9]+)", text))
    set_only = {"OMP_NUM_THREADS"}  # of the processes that it starts
    torchrun = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    assert names - set_only <= ALLOWED | torchrun


def test_the_readme_says_whose_code_runs() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert "runs its code with your rights" in " ".join(readme.split())
