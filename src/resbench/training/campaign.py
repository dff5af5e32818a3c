"""Training all networks of a setting: several seeds as one network, several networks as parallel processes."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

from resbench.errors import Damaged, Stale, UserError
from resbench.records.aside import set_aside

__all__ = ["Job", "plan_jobs", "run_jobs"]


class Report(Protocol):
    """Told of every epoch, and once more when the network's checkpoints are on disk."""

    def __call__(self, network: str, done: int, total: int, *, saved: bool = False) -> None: ...


@dataclass(frozen=True)
class Job:
    """One network to train for several seeds; ``folders[i]`` gets the checkpoint of ``seeds[i]``."""

    setting: str
    network: str
    seeds: tuple[int, ...]
    folders: tuple[Path, ...]
    steps: float
    """Relative cost: epochs times depth, to start the longest first."""


def plan_jobs(setting: str, networks: Sequence[str], seeds: Mapping[int, Path]) -> list[Job]:
    """What is still to train: seeds whose folder has no valid checkpoint of the present recipe.

    Damaged ones are set aside.

    ``seeds``: the folder of each seed.

    Raises:
        UserError: a network has no recipe.
    """
    from resbench.data import load_dataset
    from resbench.networks.residual import NetworkSpec
    from resbench.training.checkpoints import load
    from resbench.training.recipes import load_recipes

    recipes, data = load_recipes(setting), load_dataset(setting)
    jobs = []
    for name in networks:
        if name not in recipes:
            raise UserError(
                f"no network {name!r} in setting {setting}; known are {', '.join(sorted(recipes))} (--network)"
            )
        recipe = recipes[name]
        missing = []
        for seed, folder in seeds.items():
            try:
                done = load(folder / f"{name}.safetensors", name, recipe, data).seed == seed
            except Damaged as damage:
                set_aside(damage, "trained again")
                done = False
            except (UserError, Stale):
                done = False
            if not done:
                missing.append(seed)
        if missing:
            spec = recipe.network
            depth = 2 * spec.n_units if isinstance(spec, NetworkSpec) else spec.layers
            cost = float(recipe.epochs * depth * len(recipe.halves) * len(missing))
            jobs.append(Job(setting, name, tuple(missing), tuple(seeds[s] for s in missing), cost))
    return sorted(jobs, key=lambda job: -job.steps)


def run_jobs(jobs: Sequence[Job], *, processes: int, report: Report) -> None:
    """Train ``jobs``, ``processes`` at a time.  A finished network is on disk at once; Ctrl-C loses only the current.

    Raises:
        UserError: a checkpoint could not be written, or a training process failed.
    """
    context = multiprocessing.get_context("spawn")
    waiting: Any = context.Queue()
    news: Any = context.Queue()
    for job in jobs:
        waiting.put(job)
    stop = context.Event()
    workers = [
        context.Process(target=_work, args=(waiting, news, stop), daemon=True) for _ in range(min(processes, len(jobs)))
    ]
    for worker in workers:
        worker.start()
    try:
        finished = 0
        while finished < len(jobs):
            try:
                kind, network, done, total = news.get(timeout=2.0)
            except queue.Empty:
                if not any(worker.is_alive() for worker in workers):
                    raise UserError(
                        "the training processes were killed (out of memory?); start again to go on"
                    ) from None
                continue
            if kind == "user-error":
                raise UserError(network)
            if kind == "failed":
                raise UserError(f"training failed: {network}")
            finished += kind == "saved"
            report(network, done, total, saved=kind == "saved")
    finally:
        stop.set()
        for worker in workers:
            worker.terminate()
            worker.join()


def _work(waiting: Any, news: Any, stop: Event) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    torch.set_num_threads(1)
    while not stop.is_set():
        try:
            job = waiting.get(timeout=1.0)
        except queue.Empty:
            return
        try:
            _train(job, partial(_tell, news, job.network))
            news.put(("saved", job.network, 1, 1))
        except UserError as error:
            news.put(("user-error", str(error), 0, 0))
        except Exception as error:
            news.put(("failed", f"{job.network}: {type(error).__name__}: {error}", 0, 0))


def _tell(news: Any, network: str, done: int, total: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # killed: nobody will ever stop this process
        raise SystemExit(1)
    news.put(("epoch", network, done, total))


def _train(job: Job, progress: Callable[[int, int], None]) -> None:
    from resbench.data import load_dataset
    from resbench.training.checkpoints import save
    from resbench.training.loop import Copy, train
    from resbench.training.recipes import load_recipes

    recipe, data = load_recipes(job.setting)[job.network], load_dataset(job.setting)
    copies = [Copy(seed, half) for seed in job.seeds for half in recipe.halves]
    trained = train(recipe, data, copies, progress=progress)
    for seed, folder in zip(job.seeds, job.folders, strict=True):
        members = [one for one in trained if one.copy.seed == seed]
        save(folder / f"{job.network}.safetensors", job.network, job.setting, recipe, data, members)
