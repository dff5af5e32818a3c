"""Where figures get their numbers: the labs of a run, the papers' published numbers, and the committed evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resbench.errors import Damaged, NotMeasured, Stale
from resbench.figures.model import Missing
from resbench.records import places
from resbench.records.results import Request, Result

if TYPE_CHECKING:
    from resbench.plan import Run

__all__ = ["HE", "HUANG", "SETTINGS", "VEIT", "Sources", "command_for", "gathered"]

VEIT = "Veit, Wilber, Belongie 2016, arXiv:1605.06431v2"
HE = "He, Zhang, Ren, Sun 2016, arXiv:1603.05027v3"
HUANG = "Huang, Sun, Liu, Sedra, Weinberger 2016, arXiv:1603.09382v3"

SETTINGS: Mapping[str, str] = {
    "digits": "digits",
    "cifar10-public": "CIFAR-10, networks of others",
    "cifar10-short": "CIFAR-10, short training",
    "cifar10": "CIFAR-10, the paper's recipe",
}
"""How figures name a setting."""

_NAMED = 3
"""Networks that a line about what is missing names."""

_WAY_OUT = "restore the file from the repository"


class Sources:
    """The numbers that figures read; ``run``: whose labs measure, once, or read what is recorded."""

    def __init__(self, run: Run):
        self.run = run

    def result(self, setting: str, network: str, experiment: str) -> Result:
        """What an experiment gave, measured now from a committed checkpoint or read from a record.

        Raises:
            NotMeasured, Stale: there is none, or it is of something else than the present networks.
            UserError: a record or a checkpoint is damaged.
        """
        return self.run.lab(setting).result(Request(experiment, network))

    def attempt(self, setting: str, network: str, experiment: str) -> Result | Missing:
        """As :meth:`result`; where there is none, what is missing and the command for it."""
        try:
            return self.result(setting, network, experiment)
        except (NotMeasured, Stale) as error:
            why = "recorded of something else (STALE)" if isinstance(error, Stale) else "not measured"
            what = f"{SETTINGS.get(setting, setting)}, {network}, {experiment.replace('_', ' ')}: {why}"
            return Missing(what, command_for(setting, network))

    def prepare(self, setting: str, requests: Sequence[tuple[str, str]]) -> None:
        """Measure several (network, experiment) at the same time; what fails is told when it is asked for."""
        self.run.lab(setting).measure_all([Request(experiment, network) for network, experiment in requests])

    def published(self, paper: str) -> Mapping[str, Any]:
        """The published numbers of ``veit2016``, ``he2016`` or ``huang2016``."""
        from resbench.experiments.published import load_published

        return load_published(paper)

    def baselines(self) -> Path:
        """The folder of the committed evidence."""
        return places.baselines()

    def document(self, name: str) -> dict[str, Any]:
        """A JSON object in the committed evidence.

        Raises:
            NotMeasured: there is no such file.
            Damaged: it is no JSON object.
        """
        path = self.baselines() / name
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise NotMeasured(f"no {path}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise Damaged(path, f"cannot be read as JSON ({error})", _WAY_OUT) from error
        if not isinstance(found, dict):
            raise Damaged(path, "does not hold a JSON object", _WAY_OUT)
        return found


def command_for(setting: str, network: str) -> str:
    """The command that measures ``network``, as a user types it."""
    from resbench.experiments.recorded import TRAINED

    if setting == "digits":
        return f"resbench train --setting digits --network {network} --out FOLDER"
    if setting in TRAINED:
        return f"resbench measure --setting {setting} --select {network}"
    return f"resbench measure --study examples/{setting.replace('-', '_')}/study.toml --select {network}"


def gathered(missing: Sequence[tuple[str, str, str]]) -> tuple[Missing, ...]:
    """One :class:`Missing` a setting of several (setting, network, experiment), with one command for all of it."""
    found = []
    for setting in dict.fromkeys(setting for setting, _, _ in missing):
        networks = list(dict.fromkeys(network for own, network, _ in missing if own == setting))
        experiments = dict.fromkeys(one.replace("_", " ") for own, _, one in missing if own == setting)
        first, *others = (command_for(setting, network) for network in networks)
        option = " --network " if setting == "digits" else " --select "
        command = first + "".join(option + other.split(option)[1].split()[0] for other in others)
        others_named = f" and {len(networks) - _NAMED} more" if len(networks) > _NAMED else ""
        named = f"{', '.join(networks[:_NAMED])}{others_named}"
        what = f"{SETTINGS.get(setting, setting)}, {named}: no {' or '.join(experiments)} recorded"
        found.append(Missing(what, command))
    return tuple(found)
