"""Shared fixtures: small trained networks that tests make themselves."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch
from hypothesis import Phase, settings

from resbench.data.digits import Dataset, digits
from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, PlainSpec, build
from resbench.targets.images import Images
from resbench.training.loop import Curves
from resbench.training.target import Member

pytest_plugins = ["pytester"]

IMPORTED = scipy.stats
"""Pytester's runs within this process forget the modules that they import first, and these do not load twice."""

settings.register_profile(
    "mutation", phases=[Phase.explicit, Phase.generate], max_examples=30, derandomize=True, deadline=None, database=None
)
"""Of `make mutation`: the same examples for every mutant, and none made smaller once one has killed it."""

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
"""Two processes and a busy machine: how long an example takes says nothing here."""

Run = Callable[..., tuple[int, str, str]]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's browser without a window; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line in this process: (exit code, standard output, standard error)."""
    from resbench.cli import main

    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str) -> tuple[int, str, str]:
        for name in ("RESBENCH_QUIET", "RESBENCH_VERBOSE"):  # of another test's command, in this process
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(sys, "argv", ["resbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Thin networks and parallel test processes: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data() -> Dataset:
    return digits()


def make_member(spec: NetworkSpec | PlainSpec, data: Dataset, *, half: int = 0, images: int = 60) -> Member:
    """An untrained network with plausible BN statistics, on a few images."""
    network = build(spec)
    initialise(network, [half])
    train, test = Images.of_tensors(*data.train(half)), Images.of_tensors(*data.test(half))
    network.train()
    with torch.no_grad():
        network(train.take(range(256))[0])
    network.eval()
    few = range(images)
    return Member(network, half, train.subset(few), test.subset(few), Curves((1.0, 0.5), (3.0, 3.0), (0.1, 0.2)))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bench: takes times, by pytest-benchmark's fixture (only with -m bench)")
    if not config.pluginmanager.hasplugin("benchmark"):
        config.addinivalue_line("markers", "benchmark: pytest-benchmark's, which is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Timings are taken where they are asked for: ``pytest -m bench``.  In any other run they are skipped."""
    timed = [item for item in items if item.get_closest_marker("bench")]
    if "bench" not in config.getoption("markexpr"):
        for item in timed:
            item.add_marker(pytest.mark.skip(reason="takes times: pytest -m bench"))
    elif timed and not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("pytest-benchmark is not installed: pip install 'resbench[bench]'")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """pytest-benchmark knows neither torch nor GPUs: its file gets the environment as resbench's own runs have it."""
    from resbench.records.environment import environment
    from resbench.timing.readers import EXTRA
    from resbench.timing.worker.machine import facts

    machine_info[EXTRA] = {**environment(), **facts()}
