"""A study: the networks of one setting that others trained, and what is measured on them; a TOML file."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from resbench.errors import UserError
from resbench.records.evidence import Name
from resbench.records.results import Request
from resbench.records.versions import VERSIONS
from resbench.targets.options import TargetOptions

__all__ = ["Study", "StudyNetwork", "read_study", "study_file"]


class StudyNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``name``: the one that claims use.  ``target``, ``units``: as for ``resbench check``; modules are looked for
    beside the study as well.  ``checkpoint``: a file in the folder of checkpoints.  ``mean``, ``std``: of the images;
    those of the checkpoint's header where they are not given.  ``experiments``: the study's where none are given.
    """

    name: Name
    target: Annotated[str, Meta(min_length=1)]
    checkpoint: Annotated[str, Meta(min_length=1)]
    source: str = ""
    published_error: float | None = None
    mean: list[float] = []
    std: list[float] = []
    units: list[str] = []
    experiments: list[str] = []


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``setting``: where claims expect something of these networks.  ``data``: as for ``resbench check``; the command
    line overrides it."""

    schema: Literal[1]
    setting: Name
    experiments: list[str]
    network: Annotated[list[StudyNetwork], Meta(min_length=1)]
    data: str = ""
    seed: int = 0

    def requests(self, select: Sequence[str] = ()) -> list[tuple[StudyNetwork, list[Request]]]:
        """What is to be measured, network by network; only what one of the globs ``select`` names.

        Raises:
            UserError: a glob that names nothing.
        """
        found, used = [], set()
        for network in self.network:
            requests = []
            for experiment in network.experiments or self.experiments:
                names = (network.name, f"{network.name}/{experiment}")
                hits = {glob for glob in select if any(fnmatch.fnmatchcase(name, glob) for name in names)}
                used |= hits
                if hits or not select:
                    requests.append(Request(experiment, network.name))
            if requests:
                found.append((network, requests))
        idle = [glob for glob in select if glob not in used]
        if idle:
            known = ", ".join(network.name for network in self.network)
            raise UserError(f"--select {idle[0]}: no such network or NETWORK/EXPERIMENT; the study has {known}")
        return found

    def options(
        self,
        network: StudyNetwork,
        *,
        checkpoints: Path,
        root: Path,
        data: str,
        download: bool = False,
        limit: int | None = None,
        device: str = "cpu",
    ) -> TargetOptions:
        """How ``network`` is loaded."""
        return TargetOptions(
            target=network.target,
            checkpoint=checkpoints / network.checkpoint,
            data=data or self.data,
            download=download,
            mean=",".join(map(repr, network.mean)),
            std=",".join(map(repr, network.std)),
            units=tuple(network.units),
            limit=limit,
            thorough=True,
            device=device,
            seed=self.seed,
            roots=(root,),
        )


def study_file(setting: str, baselines: Path) -> Path:
    """Where the study of a setting is, beside the ``baselines`` of a repository; an installed package has none."""
    return baselines.parent / "examples" / setting.replace("-", "_") / "study.toml"


def read_study(path: Path) -> Study:
    """The study in the file ``path``.

    Raises:
        UserError: it cannot be read, does not fit the schema, or names an experiment that cannot be recorded.
    """
    try:
        study = msgspec.toml.decode(path.read_bytes(), type=Study)
    except OSError as error:
        raise UserError(f"--study {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--study {path}: {error}") from error
    names = [network.name for network in study.network]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"--study {path}: the network {twice!r} stands there twice")
    for experiments in (study.experiments, *(network.experiments for network in study.network)):
        for experiment in experiments:
            if experiment not in VERSIONS:
                raise UserError(f"--study {path}: no experiment {experiment!r}: there are {', '.join(VERSIONS)}")
    return study
