"""Timings are taken where they are asked for: ``pytest -m bench``.  In any other run they are skipped."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bench: takes times, by pytest-benchmark's fixture (only with -m bench)")
    if not config.pluginmanager.hasplugin("benchmark"):
        config.addinivalue_line("markers", "benchmark: pytest-benchmark's, which is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
