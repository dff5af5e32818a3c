"""Where figures get their numbers: the labs of a run, the papers' published numbers, and the committed evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resbench.errors import Damaged, NotMeasured, Stale
from resbench.figures.model import Missing
from resbench.records import places
from resbench.records.results import Request, Result

if TYPE_CHECKING:
    from resbench.plan import Run

__all__ = ["HE", "HUANG", "SETTINGS", "VEIT", "Lacking", "Sources", "command_for", "gathered"]

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


@dataclass(frozen=True)
class Lacking(Missing):
    """What an experiment on a network would show.  ``at_hand``: it is measured when the figure is drawn."""

    setting: str = ""
    network: str = ""
    experiment: str = ""
    at_hand: bool = False


class Sources:
    """The numbers that figures read; ``run``: whose labs measure, once, or read what is recorded.

    ``measure``: False to find out what there is without measuring; what could be measured here is
    then ``at_hand``, in the order in which it was asked for.
    """

    def __init__(self, run: Run, *, measure: bool = True):
        self.run, self._measure = run, measure
        self.at_hand: list[Lacking] = []

    def result(self, setting: str, network: str, experiment: str) -> Result:
        """What an experiment gave, measured now from a committed checkpoint or read from a record.

        Raises:
            NotMeasured, Stale: there is none, or it is of something else than the present networks.
            UserError: a record or a checkpoint is damaged.
        """
        return self.run.lab(setting).result(Request(experiment, network))

    def attempt(self, setting: str, network: str, experiment: str) -> Result | Lacking:
        """As :meth:`result`; where there is none, what is missing and the command for it."""
        why = "not measured"
        at_hand = self._unmeasured(setting) and self._trained(setting, network)
        if not self._unmeasured(setting):
            try:
                return self.result(setting, network, experiment)
            except Stale:
                why = "recorded of something else (STALE)"
            except NotMeasured:
                pass
        what = f"{SETTINGS.get(setting, setting)}, {network}, {experiment.replace('_', ' ')}: {why}"
        lacking = Lacking(what, command_for(setting, network), setting, network, experiment, at_hand)
        if at_hand:
            self.at_hand.append(lacking)
        return lacking

    def _unmeasured(self, setting: str) -> bool:
        """Whether this setting's networks would be measured, and are not to be."""
        from resbench.experiments.recorded import RecordedLab

        return not self._measure and not isinstance(self.run.lab(setting), RecordedLab)

    def _trained(self, setting: str, network: str) -> bool:
        return (self.run.lab(setting).folder / f"{network}.safetensors").is_file()

    def prepare(self, setting: str, requests: Sequence[tuple[str, str]]) -> None:
        """Measure several (network, experiment) at the same time; what fails is told when it is asked for."""
        if not self._unmeasured(setting):
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


def command_for(setting: str, *networks: str) -> str:
    """The command that measures ``networks``, as a user types it."""
    from resbench.experiments.recorded import TRAINED

    if setting == "digits":
        return f"resbench train --setting digits {_options('--network', networks)} --out FOLDER"
    if setting in TRAINED:
        return f"resbench measure --setting {setting} {_options('--select', networks)}"
    study = f"examples/{setting.replace('-', '_')}/study.toml"
    return f"resbench measure --study {study} {_options('--select', networks)}"


def _options(name: str, values: Sequence[str]) -> str:
    return " ".join(f"{name} {value}" for value in values)


def gathered(lacking: Sequence[Lacking]) -> tuple[Missing, ...]:
    """One :class:`Missing` a setting, with one command for all of it; without what is at hand."""
    found = []
    wanted = [one for one in lacking if not one.at_hand]
    for setting in dict.fromkeys(one.setting for one in wanted):
        own = [one for one in wanted if one.setting == setting]
        if len(own) == 1:
            found.append(Missing(own[0].what, own[0].command))
            continue
        networks = list(dict.fromkeys(one.network for one in own))
        experiments = dict.fromkeys(one.experiment.replace("_", " ") for one in own)
        more = f" and {len(networks) - _NAMED} more" if len(networks) > _NAMED else ""
        what = f"{SETTINGS.get(setting, setting)}, {', '.join(networks[:_NAMED])}{more}"
        found.append(Missing(f"{what}: no {' or '.join(experiments)} recorded", command_for(setting, *networks)))
    return tuple(found)
