"""Networks found in source without importing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resbench.initialising.candidates import candidates
from resbench.initialising.repository import inspected, python_files

MODEL = """
from __future__ import annotations
import torch.nn as nn
from torch.nn import Module
raise SystemExit("imported")

class Block(nn.Module):
    def __init__(self, width=3): ...

class Base(Module):
    def __init__(self, depth, width=4): ...

class Net(Base):
    def __init__(self, *, width=4, **more):
        self.block = Block()

class Deep(Base):
    pass

class _Hidden(nn.Module): ...
class Data: ...

def build() -> nn.Module: ...
def resnet_of(depth=20):
    net = Net()
    return net
def sized(depth, *, width) -> "Net": ...
def load_data(): return Data()
def main(): print(Net())
def wrapped():
    from torchvision.models import resnet18
    return resnet18(num_classes=10)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


def found(folder: Path) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    all_of = candidates(python_files(inspected(folder)))
    return [one.target for one in all_of.ready], {one.target: one.needs for one in all_of.wanting}


def test_functions_before_classes_before_parts(repository: Path) -> None:
    (repository / "model.py").write_text(MODEL)
    ready, wanting = found(repository)
    assert ready == ["model:build", "model:resnet_of", "model:wrapped", "model:Net", "model:Block"]
    assert wanting == {
        "model:sized": ("depth", "width"),
        "model:Base": ("depth",),
        "model:Deep": ("depth",),
    }


def test_a_package_in_src(repository: Path) -> None:
    package = repository / "src" / "mine" / "nets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from torch import nn\nclass Net(nn.Module): ...\n")
    (repository / "scratch.py").write_text(MODEL)
    assert found(repository) == (["mine.nets:Net"], {})


def test_what_is_not_the_users_own_code(repository: Path) -> None:
    text = "from torch import nn\nclass Net(nn.Module): ...\n"
    for place in ("tests/net.py", ".hidden/net.py", "env/net.py", "build/net.py", "test_net.py", "not-a-name.py"):
        path = repository / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (repository / "env" / "pyvenv.cfg").write_text("")
    (repository / "broken.py").write_text("def build( -> nn.Module\n")
    (repository / "binary.py").write_bytes(b"\x00\xff\x00")
    assert found(repository) == ([], {})
    (repository / "real.py").write_text(text)
    assert found(repository) == (["real:Net"], {})


def test_fixtures_are_no_networks(repository: Path) -> None:
    (repository / "kit.py").write_text(
        "import pytest\nfrom torch import nn\n@pytest.fixture\ndef net() -> nn.Module: ...\n"
    )
    assert found(repository) == ([], {})


def test_classes_that_inherit_in_a_circle_end(repository: Path) -> None:
    (repository / "circle.py").write_text("from torch import nn\nclass A(B, nn.Module): ...\nclass B(A): ...\n")
    assert sorted(found(repository)[0]) == ["circle:A", "circle:B"]
