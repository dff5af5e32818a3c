"""asv's suites: the cases of resbench, timed by the worker of this checkout whatever revision is installed.

asv runs these files from the checkout, and ``resbench`` is what the environment has installed: another commit's, maybe.
The worker package of the checkout is loaded under a name of its own, so that the ruler is always today's.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ALIAS = "_resbench_timing_worker"
_WORKER = Path(__file__).resolve().parents[2] / "src" / "resbench" / "timing" / "worker"

TIMEOUT = 600.0
SECONDS = 1.0
"""Of samples in every process; warm-up comes before."""

TAGS = ("default", "default-gpu")


def worker(module: str) -> Any:
    """A module of this checkout's worker package."""
    if _ALIAS not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _ALIAS, _WORKER / "__init__.py", submodule_search_locations=[str(_WORKER)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[_ALIAS] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_ALIAS}.{module}")


def track(benchmark: str, description: str) -> Callable[[object, str, str], object]:
    """asv's benchmark of this name: seconds per step of every case that the sets of :data:`TAGS` have for it."""
    cases = [case for tag in TAGS for case in worker("grid").cases(tag)]
    suites = worker("suites")

    def function(self: object, work: str, conditions: str) -> object:
        return _samples(suites.Place(benchmark, work, conditions))

    function.__doc__ = description
    attributes: Any = function
    attributes.pretty_source = f'"""{description}"""'
    attributes.params = suites.parameters(cases)[benchmark]
    attributes.param_names = suites.param_names(benchmark)
    attributes.version = suites.version(benchmark)
    attributes.unit = "seconds"
    attributes.timeout = TIMEOUT
    return function


def _samples(at: Any) -> object:
    """Samples as asv takes them; NaN ("n/a") for what this machine or the installed revision does not have."""
    try:
        case = worker("suites").case_at(at)
        measured = worker("sampling").measure(case, seconds=SECONDS)
    except worker("case").CaseError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return float("nan")
    return {"samples": worker("undisturbed").groups(measured.seconds), "number": 1}
