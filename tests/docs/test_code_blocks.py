"""Every code block of README and docs is run, read, or looked up; none is passed over (rules: `markdown_blocks`)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import yaml
from markdown_blocks import REPOSITORY, Block, blocks, blocks_of, mentions, pages
from safetensors.torch import save_file
from shell_commands import Command, commands_of, look_up, look_up_mention, matches, only_parsed

from conftest import Run
from resbench.claims.model import Claim
from resbench.measuring.training import read_plan
from resbench.records.waivers import read_waivers

MODEL = REPOSITORY / "examples" / "own_model" / "mymodel.py"
SUM = "self.shortcut(x) + branch"
SIZE, SMALLER = "(16, 32, 64), blocks: int = 2", "(4, 8, 16), blocks: int = 4"

DRAWN = """

class Drawn(Block):
    p = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.rand(()) >= self.p:
            return F.relu(self.shortcut(x))
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + (branch if self.training else self.p * branch))


def drawn() -> Network:
    network = Network(blocks=1)
    for i, block in enumerate(network.blocks, start=1):
        block.__class__, block.p = Drawn, 1 - i / len(network.blocks) * 0.5
    return network
"""


@pytest.fixture(scope="session")
def readers_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reader of the docs has in the current folder: a network, weights, images, records."""
    folder = tmp_path_factory.mktemp("reader")
    source = MODEL.read_text().replace(SIZE, SMALLER)
    assert source.count(SUM) == source.count(SMALLER) == 1
    for name in ("mymodel", "newmodel", "oldmodel"):
        (folder / f"{name}.py").write_text(source + DRAWN)
    (folder / "broken.py").write_text(source.replace(SUM, f"0.9 * {SUM}"))
    save_file(_model().state_dict(), folder / "net.safetensors")
    drawn = np.random.default_rng(0)
    pixels, labels = drawn.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), drawn.integers(0, 10, 40)
    np.savez(folder / "test.npz", images=pixels, labels=labels)
    stored = REPOSITORY / "baselines" / "claims" / "cifar10-short"
    for machine, network in zip(("machine-a", "machine-b"), sorted(stored.iterdir()), strict=False):
        shutil.copytree(network, folder / machine / "claims" / stored.name / network.name)
    (folder / "baselines").symlink_to(REPOSITORY / "baselines")
    return folder


def _model() -> torch.nn.Module:
    there: dict[str, Any] = {"__name__": "mymodel"}
    exec(compile(MODEL.read_text().replace(SIZE, SMALLER), str(MODEL), "exec"), there)
    torch.manual_seed(0)
    model: torch.nn.Module = there["build"]().eval()
    return model


@pytest.fixture
def reader(readers_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a copy of that folder, at 80 columns; afterwards its modules are forgotten."""
    folder = shutil.copytree(readers_files, tmp_path / "reader", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (folder / f"{name}.py").exists():
            del sys.modules[name]


def of(*languages: str) -> Any:
    """The blocks in these languages, one case each."""
    chosen = [block for block in blocks() if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=[block.place for block in chosen])


@of("bash", "console")
def test_commands(block: Block, run: Run, pytestconfig: pytest.Config, reader: None) -> None:
    if block.language == "bash":
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    commands = commands_of(block)
    excepted = only_parsed(block, commands)
    for number, command in enumerate(commands):
        look_up(command.words, block.page, pytestconfig)
        if command.words[0] == "resbench" and number not in excepted:
            code, out, err = run(*command.words[1:])
            expected = [int(of) for of, _ in block.noted("exit")] if number == len(commands) - 1 else []
            assert code == (expected or [0])[0], f"{command.words}: {out}{err}"
            assert not command.shown or matches(command.shown, out), f"it shows\n{command.shown}\nbut is\n{out}"
        elif not excepted & {number}:
            raise AssertionError(f"{block.place}: {' '.join(command.words)} is not run: <!-- parsed: REASON -->")


@of("python")
def test_python(block: Block, reader: None) -> None:
    own = {
        "model": _model,
        "images": lambda: torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        "labels": lambda: torch.arange(16) % 10,
    }
    names = [name.strip() for _, said in block.noted("given") for name in said.split(",")]
    exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), {name: own[name]() for name in names})


def _waivers(text: str, file: Path) -> None:
    assert read_waivers(file)


def _claims(text: str, file: Path) -> None:
    """Read as claims, and word for word those of the catalogue."""
    found = msgspec.convert(tomllib.loads(text)["claim"], list[Claim])
    catalogue = "".join(path.read_text() for path in (REPOSITORY / "src/resbench/claims").glob("*.toml"))
    assert found
    assert [line for line in text.splitlines() if line not in catalogue] == []


def _runs(text: str, file: Path) -> None:
    assert read_plan(file)


def _configuration(text: str, file: Path) -> None:
    from resbench.configuration import read_configuration

    assert read_configuration(file) is not None


READERS: dict[str, Callable[[str, Path], None]] = {"waiver": _waivers, "claim": _claims, "run": _runs}


@of("toml", "yaml", "json")
def test_data(block: Block, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    if block.language != "toml":
        assert yaml.safe_load(block.text) if block.language == "yaml" else json.loads(block.text)
        return
    content = tomllib.loads(block.text)
    file = tmp_path / "file.toml"
    file.write_text(block.text)
    readers = [READERS[key] for key in content if key in READERS]
    for key in content.get("tool", {}).get("pytest", {}).get("ini_options", {}):
        readers.append(lambda *_, key=key: pytestconfig.getini(key))
    if "resbench" in content.get("tool", {}):
        readers.append(_configuration)
    assert readers, f"{block.place}: who reads this?"
    for reader in readers:
        reader(block.text, file)


def outcome(block: Block) -> str:
    """What the tests do with the block."""
    if block.language in ("bash", "console"):
        commands = commands_of(block)
        parsed = len(only_parsed(block, commands))
        return "looked up" if parsed == len(commands) else "run in part" if parsed else "run"
    if block.language == "text" and block.noted("excerpt"):
        return "an excerpt"
    return {"python": "run", "toml": "read", "yaml": "read", "json": "read"}.get(block.language, "nothing")


def test_no_block_is_passed_over() -> None:
    """Counted apart from the parser that the other tests use: lines of three backticks, two a block."""
    fences = sum(len(re.findall(r"^\s*```", page.read_text(), re.MULTILINE)) for page in pages())
    assert fences == 2 * len(blocks())
    found = Counter(outcome(block) for block in blocks())
    print(dict(found))
    assert [block.place for block in blocks() if outcome(block) == "nothing"] == []
    assert sum(found.values()) == len(blocks())
    assert found["run"] + found["run in part"] > found["looked up"]
    assert found["an excerpt"] < found["run"]
    misplaced = [b.place for b in blocks() if b.noted("parsed") and b.language not in ("bash", "console")]
    assert misplaced == []


def test_commands_within_sentences_exist() -> None:
    found = mentions()
    assert len(found) > 40
    wrong = []
    for page, code in found:
        try:
            look_up_mention(code)
        except ValueError as error:
            wrong.append(f"{page}: {error}")
    assert wrong == []


@pytest.mark.parametrize("code", ["resbench nothing", "resbench claims nothing", "resbench check --nothing"])
def test_commands_that_are_gone_are_noticed(code: str) -> None:
    with pytest.raises(ValueError, match=r"no (command|option) (--)?nothing"):
        look_up_mention(code)


def of_text(text: str) -> list[Block]:
    return blocks_of(textwrap.dedent(text), "page.md")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- parsed -->\n```bash\nls\n```\n", "needs a reason"),
        ("<!-- parsed two: needs a GPU -->\n```bash\nls\n```\n", "numbers of commands"),
        ("<!-- excerpt: of the board -->\n```text\nls\n```\n", "has a date"),
        ("<!-- parsed: needs a GPU -->\n<!-- skipped: no -->\n```bash\nls\n```\n", "is not one of"),
        ("<!-- exit 1 -->\n\nWords.\n\n```bash\nls\n```\n", "here is none"),
        ("Words.\n\n    ls\n", "no language"),
    ],
)
def test_comments_that_are_wrong_are_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of_text(text)


def test_commands_are_taken_apart() -> None:
    text = "<!-- parsed 1 3: needs a GPU -->\n```bash\na --b \\\n  c  # why\n# alone\nX=1\nd\ne 'f g'\n```\n"
    (block,) = of_text(text)
    commands = commands_of(block)
    assert [command.words for command in commands] == [("a", "--b", "c"), ("d",), ("e", "f g")]
    assert only_parsed(block, commands) == {0, 2}
    (console,) = of_text("```console\n$ a\n1 ...\n$ b\n```\n")
    assert commands_of(console) == [Command(("a",), "1 ...\n"), Command(("b",), "")]


@pytest.mark.parametrize(
    "line",
    ["resbench chekc", "resbench check --kinds exact", "resbench lesion", "resbench check --format xml", "make nothing",
     "pip install '.[nothing]'", "pytest --resbench-nothing", "python -m benchmarks.nothing", "nothing at all",
     "python -m benchmarks.sequential --nothing", "torchrun -m resbench lesions x", "python nothing.py"],
)  # fmt: skip
def test_what_does_not_exist_is_noticed(line: str, pytestconfig: pytest.Config) -> None:
    (command,) = commands_of(Block("README.md", 1, "bash", line))
    with pytest.raises(Exception, match=r"(?i)no |missing|not one of|nothing here knows"):
        look_up(command.words, "README.md", pytestconfig)


def test_output_is_compared_in_shape() -> None:
    assert matches("a 12.5  b\n...\nlast", "a 7 b\nin between\nlast\n")
    assert not matches("a 12 b", "a 12 c")
    assert not matches("a\nb", "a\nx\nb")
