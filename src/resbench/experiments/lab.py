"""The lab runs experiments, each once, and evaluates quantities from their results."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from resbench.claims.loader import resolve_quantity
from resbench.claims.model import Expectation
from resbench.errors import NotMeasured, Stale, UserError
from resbench.experiments.reading import requests_of
from resbench.experiments.threads import one_thread
from resbench.records.measurement import Measurement
from resbench.records.partial import PartialResults
from resbench.records.results import Request, Result

if TYPE_CHECKING:
    from resbench.targets.target import UserTarget

__all__ = ["COSTS", "Lab", "Listener", "TargetLab", "measured", "workers"]

_HOMES: Mapping[str, str] = {
    "single_deletion": "lesion",
    "multiple_deletion": "lesion",
    "pair_deletion": "lesion",
    "reordering": "lesion",
    "duplication": "lesion",
    "evaluation": "evaluation",
    "training_curves": "evaluation",
    "path_gradients": "path_recording",
    "path_spectrum": "path_recording",
    "step_times": "speed",
}
"""The modules of experiments that do not have one of their own name; the function always has it."""

COSTS: Mapping[str, float] = {
    "multiple_deletion": 20.0,
    "pair_deletion": 20.0,
    "reordering": 15.0,
    "single_deletion": 6.0,
    "duplication": 4.0,
    "path_gradients": 5.0,
    "path_spectrum": 5.0,
    "step_times": 6.0,
    "evaluation": 0.5,
    "training_curves": 0.1,
}
"""Expected seconds on one core, for the progress bar and to start the longest first."""

ALONE = frozenset({"step_times"})
"""Experiments that measure time: nothing else may run beside them."""


class Listener(Protocol):
    """Told about the run's course (a progress bar); the default in :class:`Lab` says nothing."""

    def started(self, requests: list[Request]) -> None: ...

    def finished(self, request: Request) -> None: ...


class Lab:
    """Experiments on the trained networks of one setting, from the checkpoints in ``folder``.

    ``kept``: where finished results wait should the run be interrupted; None keeps them in memory only.
    A request whose experiment raised is remembered with its exception, and raised again for every claim that reads it.
    """

    def __init__(
        self,
        setting: str,
        folder: Path,
        *,
        device: str = "cpu",
        kept: PartialResults | None = None,
        listener: Listener | None = None,
    ):
        self.setting, self.folder, self.device, self.kept, self.listener = setting, folder, device, kept, listener
        self._results: dict[Request, Result | Exception] = {}
        self._targets: dict[str, Any] = {}
        self._index: dict[str, dict[str, Any]] | None = None
        self._decided: dict[bytes, Measurement | Exception] = {}

    def measure_all(self, requests: Iterable[Request]) -> None:
        """Run every experiment that ``requests`` name and that has not run, several at a time, the longest first."""
        waiting = sorted(set(requests) - set(self._results), key=lambda r: (-COSTS.get(r.experiment, 1.0), r.network))
        if not waiting:
            return
        if self.listener is not None:
            self.listener.started(waiting)
        for request in waiting:
            self._attempt(request, lambda r: self._target(r.network))
        together = [r for r in waiting if r not in self._results and not self._alone(r)]
        with one_thread():
            pool = ThreadPoolExecutor(workers())
            futures: dict[Future[Result], Request] = {pool.submit(self._run, r): r for r in together}
            try:
                for future in as_completed(futures):
                    self._attempt(futures[future], partial(self._store_future, future))
            finally:
                # After Ctrl-C nobody waits for the experiments under way; otherwise all have ended.
                pool.shutdown(wait=False, cancel_futures=True)
        with self.operators():
            for request in waiting:
                if request not in self._results:
                    self._attempt(request, lambda r: self._store(r, self._run(r)))

    def result(self, request: Request) -> Result:
        """The result of one experiment.

        Raises:
            NotMeasured: its network is not trained in this setting.
            Exception: whatever the experiment raised.
        """
        self.measure_all([request])
        found = self._results[request]
        if isinstance(found, Exception):
            raise found
        return found

    def evaluate(self, expectation: Expectation) -> Measurement:
        """Measure what ``expectation`` speaks of."""
        known = self._decided.get(msgspec.json.encode(expectation))
        if isinstance(known, Exception):
            raise known
        if known is not None:
            return known
        function = resolve_quantity(expectation.quantity)
        arguments: list[Any] = []
        for request in requests_of(function, expectation.params):
            if isinstance(request, list):
                arguments.append([self.result(each) for each in request])
            else:
                arguments.append(self.result(request))
        # Exact and reference quantities are plain arithmetic and must not import torch.
        with self.operators() if expectation.kind in ("structural", "trained") else nullcontext():
            value = function(*arguments, **expectation.params)
        return value if isinstance(value, Measurement) else Measurement(value)

    def members(self, network: str) -> Sequence[Any]:
        """The members of a network.

        Raises:
            NotMeasured: it is not trained in this setting.
        """
        members: Sequence[Any] = self._target(network).members
        return members

    def remember(self, request: Request, result: Result | Exception) -> None:
        """Take a result that was measured elsewhere, or why it was not."""
        self._results[request] = result

    def stale(self) -> list[Request]:
        """What was asked for and is of other networks, data or experiments than the present ones."""
        return [request for request, found in self._results.items() if isinstance(found, Stale)]

    def decide(self, expectation: Expectation, outcome: Measurement | Exception) -> None:
        """From now on this is what ``expectation`` was measured to be."""
        self._decided[msgspec.json.encode(expectation)] = outcome

    def _alone(self, request: Request) -> bool:
        """Whether nothing else may run beside it."""
        return request.experiment in ALONE

    def operators(self) -> AbstractContextManager[None]:
        """How many threads torch's operators use while something is measured here."""
        return one_thread()

    def _attempt(self, request: Request, action: Callable[[Request], Any]) -> None:
        """Do ``action``; remember an exception as the request's result.  A user's error ends the run."""
        try:
            action(request)
        except UserError:
            raise
        except Exception as error:
            self._results[request] = error
            if self.listener is not None:
                self.listener.finished(request)

    def _store_future(self, future: Future[Result], request: Request) -> None:
        self._store(request, future.result())

    def _store(self, request: Request, result: Result) -> None:
        self._results[request] = result
        if self.listener is not None:
            self.listener.finished(request)

    def _run(self, request: Request) -> Result:
        target = self._targets[request.network]
        if self.kept is None or request.experiment in ALONE:
            return measured(request, target)
        with self.kept.lock(request):
            found = self.kept.get(request)
            if found is not None:
                return found
            result = measured(request, target)
            self.kept.put(request, [dict(member) for member in result])
            return result

    def _target(self, name: str) -> Any:
        """The trained network ``name``, read and verified once."""
        if name in self._targets:
            return self._targets[name]
        if self._index is None:
            from resbench.training.checkpoints import read_index

            if not self.folder.is_dir():
                raise NotMeasured(
                    f"no trained networks for setting {self.setting}; those that you have are recorded by `resbench "
                    f'measure --study FILE`, with `setting = "{self.setting}"` in FILE'
                )
            self._index = read_index(self.folder)
        if name not in self._index:
            raise NotMeasured(f"network {name} is not trained in setting {self.setting}")
        from resbench.data import load_dataset
        from resbench.training.checkpoints import load
        from resbench.training.recipes import load_recipes

        recipes = load_recipes(self.setting)
        if name not in recipes:
            raise NotMeasured(f"network {name} has no recipe in setting {self.setting}")
        entry = self._index[name]
        target = load(
            self.folder / str(entry["file"]),
            name,
            recipes[name],
            load_dataset(self.setting),
            sha256=str(entry["sha256"]),
            device=self.device,
        )
        self._targets[name] = target
        return target


class TargetLab(Lab):
    """Experiments on a user's network, one after the other: they patch the live model.

    Its operators use all the threads that torch was given: it may be a wide network, and it is alone.  Its warnings are
    its own affair: under ``pytest -W error`` they would become failed claims.
    """

    def __init__(self, target: UserTarget, *, listener: Listener | None = None):
        super().__init__("target", Path(), listener=listener)
        self.target = target

    def _alone(self, request: Request) -> bool:
        return True

    def operators(self) -> AbstractContextManager[None]:
        return _without_warnings()

    def _target(self, name: str) -> UserTarget:
        if name != self.setting:
            raise NotMeasured(f"the network {name} is not the target")
        self._targets[name] = self.target
        return self.target


def measured(request: Request, target: Any) -> Result:
    """The experiment of ``request``, on every member of ``target``."""
    return tuple(_experiment(request.experiment)(member) for member in target.members)


def _experiment(name: str) -> Callable[[Any], dict[str, Any]]:
    module = importlib.import_module(f"resbench.experiments.{_HOMES.get(name, name)}")
    function: Callable[[Any], dict[str, Any]] = getattr(module, name)
    return function


def workers() -> int:
    """How many experiments run at the same time: one a core that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
