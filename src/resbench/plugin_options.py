"""What the pytest plugin is told: on the command line, in pytest's configuration file, or in ``[tool.resbench]``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from resbench.configuration import Configuration
    from resbench.experiments.sequential import Sequential
    from resbench.records.waivers import Waiver
    from resbench.targets.options import TargetOptions

__all__ = ["add_options", "check_options", "configuration", "sequential_options", "target_options", "waivers_of"]

_FILE: pytest.StashKey[Configuration | None] = pytest.StashKey()

_TARGET_OPTIONS = {
    "target": "judge this network: MODULE:CALLABLE, a zoo name, torchvision:NAME, timm:NAME, transformers:NAME",
    "checkpoint": "weights of the target: safetensors, or a saved state_dict",
    "data": "data of the target: digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE",
    "mean": "mean of the images, scaled to [0, 1]: R,G,B",
    "std": "standard deviation of the images: R,G,B",
    "limit": "at most so many images of the data",
    "input": "size of the target's input, where no data are given: CxHxW",
    "units": "modules that are the target's residual units: globs, separated by blanks, or repeated",
    "survival": "survival probabilities of the target: linear:0.5, uniform:0.8, or P1,P2,... for every unit",
    "against": "another network that the target must be equal to",
    "against-checkpoint": "weights of its own for --resbench-against",
    "device": "where the target is measured (default: cpu)",
}

_SEQUENTIALLY = "stop single deletions as soon as the verdicts are decided"
_WAIVERS = "file of waivers (default: waivers.toml in the root folder of the tests, or above it in the repository)"
_ALPHA = "with --resbench-sequential: chance of a false verdict on a statement (default: 0.05)"


def add_options(parser: pytest.Parser) -> None:
    """Each option of a target also has a place in the configuration file."""
    group = parser.getgroup("resbench", "claims about residual networks")
    group.addoption(
        "--resbench-retrain", action="store_true", help="train the networks of the claims afresh before judging them"
    )
    group.addoption(
        "--resbench-seed",
        type=int,
        default=None,
        help="seed of --resbench-retrain (default: random) or of --resbench-target (default: 0)",
    )
    group.addoption("--resbench-sequential", action="store_true", default=None, help=_SEQUENTIALLY)
    parser.addini("resbench_sequential", f"{_SEQUENTIALLY} (as --resbench-sequential)", type="bool", default=False)
    group.addoption("--resbench-alpha", default=None, metavar="ALPHA", help=_ALPHA)
    parser.addini("resbench_alpha", f"{_ALPHA} (as --resbench-alpha)", default="")
    group.addoption("--resbench-waivers", default=None, metavar="FILE", help=_WAIVERS)
    parser.addini("resbench_waivers", f"{_WAIVERS} (as --resbench-waivers)", default="")
    for name, text in _TARGET_OPTIONS.items():
        action = "append" if name == "units" else "store"
        group.addoption(f"--resbench-{name}", action=action, default=None, metavar=name.upper(), help=text)
        parser.addini(f"resbench_{name.replace('-', '_')}", f"{text} (as --resbench-{name})", default="")


def configuration(config: pytest.Config) -> Configuration | None:
    """``[tool.resbench]`` of the project, read once a process; what pytest is told itself goes before it.

    Raises:
        UserError: it cannot be read, or has unknown keys.
    """
    from resbench.configuration import find_configuration

    if _FILE not in config.stash:
        config.stash[_FILE] = find_configuration(config.rootpath)
    return config.stash[_FILE]


def check_options(config: pytest.Config) -> None:
    """Reject what excludes each other.

    Raises:
        pytest.UsageError: options that do not go together.
    """
    retrain, seed, target = (config.getoption(f"resbench_{name}") for name in ("retrain", "seed", "target"))
    if retrain and target:
        raise pytest.UsageError("--resbench-retrain is for resbench's own networks and excludes --resbench-target")
    alpha = config.getoption("resbench_alpha")
    if seed is not None and not (retrain or _said(lambda: bool(target_options(config).target))):
        raise pytest.UsageError("--resbench-seed goes with --resbench-retrain or --resbench-target")
    if alpha is not None and not _said(lambda: _sequentially(config)):
        raise pytest.UsageError("--resbench-alpha goes with --resbench-sequential")


def _said(asked: Callable[[], bool]) -> bool:
    from resbench.errors import UserError

    try:
        return asked()
    except UserError as error:
        raise pytest.UsageError(f"resbench: {error}") from error


def _sequentially(config: pytest.Config) -> bool:
    if config.getoption("resbench_sequential") or config.getini("resbench_sequential"):
        return True
    found = configuration(config)
    return found is not None and found.sequential


def sequential_options(config: pytest.Config) -> Sequential | None:
    """What a sequential run is told; None where all images are to be looked at.

    Raises:
        UserError: alpha is no number, or out of range.
    """
    if not _sequentially(config):
        return None
    from resbench.checking import sequential_run
    from resbench.errors import UserError

    given = config.getoption("resbench_alpha")
    text = str(config.getini("resbench_alpha") if given is None else given).strip()
    try:
        alpha = float(text) if text else getattr(configuration(config), "alpha", None)
    except ValueError:
        raise UserError(f"--resbench-alpha {text}: not a number") from None
    return sequential_run(alpha, config.getoption("resbench_seed") or 0, "--resbench-alpha")


def waivers_of(config: pytest.Config) -> list[Waiver]:
    """The waivers of the file that is named, in the configuration file from its folder on, or found.

    Raises:
        UserError: the file cannot be read, or is not one of waivers.
    """
    from resbench.records.waivers import chosen_waivers

    given = config.getoption("resbench_waivers")
    text = str(config.getini("resbench_waivers") if given is None else given).strip()
    found = configuration(config)
    of_file = None if found is None else found.waivers
    return chosen_waivers(_root(config, "waivers") / text if text else of_file, config.rootpath)


def _given(config: pytest.Config, name: str) -> str:
    """An option of the target: from the command line, else from the configuration file.

    ``--resbench-retrain`` speaks of resbench's own networks, whatever the configuration file names.
    """
    if config.getoption("resbench_retrain"):
        return ""
    option = f"resbench_{name.replace('-', '_')}"
    given: str | list[str] | None = config.getoption(option)
    found = str(config.getini(option)) if given is None else given
    return (" ".join(found) if isinstance(found, list) else found).strip()


def _root(config: pytest.Config, name: str) -> Path:
    """Where the path in an option starts: the configuration file's folder if it stands there, else the current one."""
    return config.rootpath if config.getoption(f"resbench_{name.replace('-', '_')}") is None else Path()


def target_options(config: pytest.Config) -> TargetOptions:
    """What the user says about a target; paths of the configuration file start from its folder.

    Raises:
        UserError: options that do not go together, or do not parse.
    """
    from resbench.errors import UserError
    from resbench.targets.options import TargetOptions

    def path(name: str) -> Path | None:
        text = _given(config, name)
        return _root(config, name) / text if text else None

    kind, colon, place = _given(config, "data").partition(":")
    limit = _given(config, "limit")
    if limit and not (limit.isdigit() and int(limit) >= 2):
        raise UserError(f"--resbench-limit {limit}: not a number of images, at least 2")
    options = TargetOptions(
        target=_given(config, "target"),
        checkpoint=path("checkpoint"),
        data=f"{kind}:{_root(config, 'data') / place}" if colon else kind,
        mean=_given(config, "mean"),
        std=_given(config, "std"),
        input=_given(config, "input"),
        units=tuple(_given(config, "units").split()),
        survival=_given(config, "survival"),
        limit=int(limit) if limit else None,
        against=_given(config, "against"),
        against_checkpoint=path("against-checkpoint"),
        device=_given(config, "device") or "cpu",
        seed=config.getoption("resbench_seed") or 0,
        roots=(config.rootpath,),
    )
    found = None if config.getoption("resbench_retrain") else configuration(config)
    if found is not None:
        named = {name for option in _TARGET_OPTIONS if _given(config, name := option.replace("-", "_"))}
        options = found.for_target(options, named)
    options.check("--resbench-")
    return options
