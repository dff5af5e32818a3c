"""What the command `train` does, and `--retrain`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from resbench.errors import UserError
from resbench.plan import Item
from resbench.progress import training_progress
from resbench.records.locking import held
from resbench.records.places import baselines, check_writable
from resbench.talking import note

__all__ = ["retrained_folders", "train_networks"]

_INDEX_SECONDS = 60.0


def retrained_folders(items: Sequence[Item], seed: int | None, scratch: Path) -> dict[str, Path]:
    """Train afresh the networks that ``items`` read; checkpoint folders by setting.

    The seed is drawn at random where none is given, and said on standard error, so that a run can be repeated.
    """
    import secrets

    from resbench.claims import resolve_quantity
    from resbench.experiments.reading import requests_of
    from resbench.records.results import Request
    from resbench.training.recipes import load_recipes

    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    note(f"training with seed {chosen}")
    recipes = load_recipes("digits")
    networks: dict[str, None] = {}
    for item in items:
        for expectation in item.claim.expect if item.setting == "digits" else ():
            for named in requests_of(resolve_quantity(expectation.quantity), expectation.params):
                for request in [named] if isinstance(named, Request) else named:
                    if request.network in recipes:
                        networks[request.network] = None
    if not networks:
        return {}
    train_networks("digits", tuple(networks), (chosen,), scratch, 2)
    return {"digits": scratch}


def train_networks(
    setting: str, networks: Sequence[str], seeds: Sequence[int], out: Path | None, jobs: int
) -> list[Path]:
    """Train ``networks`` (all of the setting's if empty) and index their folders; returns the folders.

    Raises:
        UserError: an unknown network or setting, several seeds without ``out``, a folder that cannot be written, or
            another process at one of the networks there.
    """
    from resbench.training.campaign import plan_jobs, run_jobs
    from resbench.training.checkpoints import write_index
    from resbench.training.recipes import load_recipes

    recipes = load_recipes(setting)
    if len(seeds) > 1 and out is None:
        raise UserError("several seeds need --out FOLDER; the committed checkpoints are of one seed")
    root = out or baselines() / "checkpoints" / setting
    folders = {seed: root / f"seed-{seed}" if len(seeds) > 1 else root for seed in seeds}
    for folder in folders.values():
        check_writable(folder)
    with ExitStack() as mine:
        for name in networks or sorted(recipes):
            mine.enter_context(held(root / name, "training"))
        planned = plan_jobs(setting, networks or sorted(recipes), folders)
        if planned:
            with training_progress({job.network: job.steps for job in planned}) as progress:
                run_jobs(planned, processes=jobs, report=progress.report)
    for folder in folders.values():
        with held(folder / "index.json", "indexing", wait=_INDEX_SECONDS):  # of the others' networks there as well
            write_index(folder, [name for name in recipes if (folder / f"{name}.safetensors").exists()])
    return list(folders.values())
