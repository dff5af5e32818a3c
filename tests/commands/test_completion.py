"""What the shell completes, asked as a shell asks; and that nothing heavy is imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import Run
from resbench.claims import load_claims
from resbench.commands import completing
from resbench.networks import zoo
from resbench.plan import KINDS
from resbench.records.places import baselines


@pytest.fixture
def completed(run: Run, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_RESBENCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        code, out, _ = run()
        assert code == 0
        return out.split()

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("resbench check --select veit-paths", ["veit-paths-2n", "veit-paths-independent", "veit-paths-over-20"]),
        ("resbench claims show huang-t1-c", ["huang-t1-c10", "huang-t1-c100"]),
        ("resbench check --kind s", ["structural"]),
        ("resbench check --setting cifar10-", ["cifar10-public", "cifar10-short"]),
        ("resbench units resnet110-preact-2", ["resnet110-preact-23of54"]),
        ("resbench check --target tor", ["torchvision:"]),
        ("resbench train --network post-9", ["post-9-stochastic", "post-9"]),
        ("resbench measure --select plain20/single", ["plain20/single_deletion"]),
        ("resbench faults --fault shortcut-scaled", ["shortcut-scaled"]),
        ("resbench compare cpu-epyc-9xx4-torch2.1", ["cpu-epyc-9xx4-torch2.15"]),
        ("resbench schema claims-w", ["claims-wanted"]),
        ("resbench check --data im", ["imagefolder:"]),
        ("resbench comp", ["compare"]),
        ("resbench check --qu", ["--quiet"]),
    ],
)
def test_words(completed, line: str, expected: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert sorted(completed(line)) == sorted(expected)


def test_lists_are_those_of_the_code() -> None:
    assert completing.networks("")[-len(zoo.names()) :] == zoo.names()
    assert completing.kinds("") == list(KINDS)
    assert completing.claims("") == [claim.id for claim in load_claims()]


@pytest.mark.skipif(find_spec("resbench.figures") is None, reason="there are no figures")
def test_figures() -> None:
    assert "veit-fig3" in completing.figures("veit")


def test_what_cannot_be_read_completes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Path:
        raise OSError("no disk")

    monkeypatch.setattr("resbench.records.places.baselines", broken)
    assert baselines() is not None
    assert completing.faults("") == []


@pytest.mark.parametrize("line", ["check --select veit", "units resnet", "measure --select plain", "faults --fault a"])
def test_completion_imports_nothing_heavy(line: str) -> None:
    script = (
        "import sys\nfrom resbench.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'pandas', 'altair', 'scipy') if name in sys.modules], "
        "file=sys.stderr)"
    )
    words = f"resbench {line}"
    asked = {"_RESBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.strip()
    assert done.stderr.strip() == "[]"


def test_the_script_for_the_shell_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # it is not called from a shell here
    code, out, _ = run("--show-completion", "bash")
    assert code == 0
    assert "_RESBENCH_COMPLETE=complete_bash" in out
