"""Timings are taken where they are asked for: ``pytest -m bench``.  In any other run they are skipped."""

from __future__ import annotations

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
