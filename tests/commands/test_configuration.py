"""``[tool.resbench]``: read by `resbench check` and by the plugin, overridden by options, typos named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import Run
from resbench.configuration import KEYS, find_configuration, read_configuration
from resbench.errors import UserError
from resbench.plugin_options import _TARGET_OPTIONS
from resbench.targets.options import TargetOptions

NET = """
from torch import nn

class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return x + self.bn(self.conv(x))

class Net(nn.Module):
    def __init__(self, factor=1.0):
        super().__init__()
        self.stem, self.units = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(Unit(), Unit())
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.units(self.stem(x)).mean((2, 3)))

def build():
    return Net()
"""


@pytest.fixture(autouse=True)
def no_other_test_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users have is called as a module of ours that this process may have loaded: pytest would refuse it."""
    monkeypatch.delitem(sys.modules, "test_claims", raising=False)


TABLE = '[tool.resbench]\ntarget = "{module}:build"\ninput = "3x8x8"\nselect = ["unit-gradient-passes", "unit-id*"]\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A git repository with a network, whose module has a name of its own: tests share a process."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    module = f"configured_{abs(hash(request.node.name))}"
    (folder / f"{module}.py").write_text(NET)
    (folder / "pyproject.toml").write_text(TABLE.format(module=module))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def change(project: Path, old: str, new: str) -> None:
    path = project / "pyproject.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_check_takes_what_is_not_given(run: Run, project: Path) -> None:
    change(project, 'select = ["unit-gradient-passes", "unit-id*"]', 'select = "unit-id*"')
    code, out, err = run("check", "-v")
    assert code == 0
    assert "unit-identity-shortcut@target" in out
    assert err.splitlines()[0] == "resbench: target, input, select: from [tool.resbench] of pyproject.toml"
    assert ": 2 units (2 identity), input 3x8x8" in err
    assert run("check", "--quiet")[2] == ""


def test_below_the_folder_it_counts_as_well(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")
    change(project, 'select = ["unit-gradient-passes", "unit-id*"]', 'select = "unit-id*"')
    assert run("check")[0] == 0


def test_options_win(run: Run, project: Path) -> None:
    change(project, '"3x8x8"', '"3x4x4"')
    code, out, err = run("check", "--input", "3x6x6", "--select", "unit-identity-shortcut", "-v")
    assert code == 0
    assert "input 3x6x6" in err
    assert err.startswith("resbench: target: from")
    assert "1 HOLDS" in out


def test_who_asks_for_resbenchs_networks_gets_them(run: Run, project: Path) -> None:
    change(project, "select =", 'kinds = ["trained"]\nselect =')
    code, out, err = run("check", "--setting", "any", "--kind", "exact", "-v")
    assert (code, err) == (0, "")
    assert "veit-paths-2n@any" in out
    code, out, _ = run("check", "--setting", "published", "--select", "veit-sd-lesion", "-v")
    assert code == 0
    assert "veit-sd-lesion@published" in out


def test_another_target_has_its_own_input(run: Run, project: Path) -> None:
    code, _, err = run("check", "--target", "resnet20", "--select", "unit-identity-shortcut")
    assert code == 0
    assert "select" not in err.splitlines()[0]
    assert "resnet20: " in err
    assert "3x8x8" not in err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('targt = "a:b"', "no key 'targt'; nearest: target"),
        ('settng = ["digits"]', "nearest: settings"),
        ('against_checkpoint = "x"', "nearest: against-checkpoint"),
        ("target = 3", "target: expected `str`, got `int`"),
        ('input = "3x8x8"', "input goes with target"),
        ('target = "a:b"\ninput = "3x8"', "--input 3x8: not channels x height x width"),
        ('target = "a:b"\nlimit = 4', "limit goes with data"),
        ('target = "a:b"\nsettings = ["digits"]', "settings are those of resbench's own networks"),
        ("alpha = 0.1", "alpha goes with sequential = true"),
        ("target = [", "not valid TOML"),
    ],
)
def test_mistakes_are_named(run: Run, project: Path, table: str, message: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.resbench]\n{table}\n")
    code, out, err = run("check")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "pyproject.toml" in err
    assert message in err


def test_a_table_that_is_none(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool]\nresbench = 3\n")
    with pytest.raises(UserError, match=r"write \[tool.resbench\]"):
        find_configuration(project)


def test_without_a_table_nothing_changes(run: Run, project: Path) -> None:
    (project / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert find_configuration(project) is None
    assert run("check", "--select", "veit-paths-2n", "--setting", "any")[2] == ""


def test_what_lies_outside_the_repository_does_not_count(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    (project.parent / "pyproject.toml").write_text('[tool.resbench]\nselect = "veit-*"\n')
    assert find_configuration(project) is None


def test_every_option_of_a_target_has_a_key() -> None:
    assert set(_TARGET_OPTIONS) <= set(KEYS)


def test_paths_start_from_the_file(project: Path) -> None:
    change(project, 'input = "3x8x8"', 'data = "npz:x.npz"\ncheckpoint = "w.safetensors"\nwaivers = "w.toml"')
    change(project, "[tool.resbench]", '[tool.resbench]\nunits = "layer*"\nmean = [0.5]\nstd = [0.25]')
    found = read_configuration(project / "pyproject.toml")
    assert found is not None
    options = found.for_target(TargetOptions(), ())
    assert options.data == f"npz:{project / 'x.npz'}"
    assert options.checkpoint == project / "w.safetensors"
    assert (options.units, options.mean, options.std) == (("layer*",), "0.5", "0.25")
    assert found.waivers == project / "w.toml"
    assert project in options.roots


# The plugin


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("RESBENCH_CACHE", str(pytester.path / "cache"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(suited=NET)
    pytester.makepyfile(test_claims="from resbench.suite.test_claims import test_claim\n__all__ = ['test_claim']\n")
    (pytester.path / "pyproject.toml").write_text(TABLE.format(module="suited"))
    return pytester


def test_the_plugin_reads_it(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("-m", "claims", "-p", "no:cacheprovider")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*unit-identity-shortcut@target*", "*unit-gradient-passes@target*"])
    assert result.parseoutcomes() == {"passed": 2}


def test_options_and_ini_win_over_the_table(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\nresbench_input = 3x6x6\n")
    chosen = ("-m", "claims", "-p", "no:cacheprovider", "-k", "identity-shortcut")
    result = suite.runpytest_inprocess(*chosen, "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*unit-identity-shortcut@target*"])
    options = options_of(suite, *chosen)
    assert (options.target, options.input) == ("suited:build", "3x6x6")
    options = options_of(suite, *chosen, "--resbench-input", "3x5x5")
    assert options.input == "3x5x5"
    options = options_of(suite, *chosen, "--resbench-target", "resnet20")
    assert (options.target, options.input) == ("resnet20", "3x6x6")
    options = options_of(suite, *chosen, "--resbench-retrain")
    assert options.target == ""


def options_of(suite: pytest.Pytester, *arguments: str) -> TargetOptions:
    from resbench.plugin_options import target_options

    return target_options(suite.parseconfig(*arguments))


def test_own_claims_are_chosen_by_kind(suite: pytest.Pytester) -> None:
    (suite.path / "pyproject.toml").write_text('[tool.resbench]\nkinds = ["exact"]\nselect = "veit-paths-*"\n')
    result = suite.runpytest_inprocess("-m", "claims", "-p", "no:cacheprovider")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 2}


def test_strict_fails_what_is_not_measured(suite: pytest.Pytester) -> None:
    table = '[tool.resbench]\nselect = "veit-single-delete-vgg"\nsettings = ["cifar10"]\n'
    (suite.path / "pyproject.toml").write_text(table)
    assert suite.runpytest_inprocess("-m", "claims").parseoutcomes() == {"skipped": 1}
    (suite.path / "pyproject.toml").write_text(table + "strict = true\n")
    result = suite.runpytest_inprocess("-m", "claims")
    assert result.parseoutcomes() == {"failed": 1}


def test_a_typo_ends_the_run(suite: pytest.Pytester) -> None:
    (suite.path / "pyproject.toml").write_text('[tool.resbench]\ntargets = "a:b"\n')
    result = suite.runpytest_inprocess("-m", "claims")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*Exit: resbench: *no key 'targets'; nearest: target*"])
    assert "Traceback" not in result.stdout.str()


def test_projects_without_claims_do_not_read_it(suite: pytest.Pytester) -> None:
    (suite.path / "pyproject.toml").write_text("[tool.resbench]\nnonsense = 1\n")
    (suite.path / "test_claims.py").write_text("def test_nothing():\n    pass\n")
    assert suite.runpytest_inprocess().ret == 0


def test_the_documentation_has_every_key() -> None:
    """In its table, and none that does not exist."""
    text = (Path(__file__).parents[2] / "docs" / "your-repository.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [word for row in rows for word in row.replace("`", "").replace(",", " ").split()]
    assert sorted(named) == sorted(KEYS)
