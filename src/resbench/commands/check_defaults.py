"""What `resbench check` takes from ``[tool.resbench]`` where the command line says nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from resbench.checking import Options
from resbench.configuration import find_configuration
from resbench.plan import TARGET
from resbench.talking import note

__all__ = ["configured"]

_OPTION = {"kinds": "kind", "settings": "setting"}
"""Where an option is not named as the file's key is."""


def configured(options: Options, named: Collection[str]) -> Options:
    """``options``, with what ``[tool.resbench]`` says wherever the user has ``named`` none; a note says what that is.

    Who asks for resbench's own networks (a setting, ``--retrain``, ``--checkpoints``, ``--refresh``) gets nothing of
    what the file says of a target and of which claims.

    Raises:
        UserError: the file cannot be read, or says what does not go together.
    """
    found = find_configuration(Path())
    if found is None:
        return options
    own = bool({"retrain", "checkpoints", "refresh"} & set(named)) or bool(set(options.settings) - {TARGET})
    another = "target" in named and options.target.target != found.target
    target = options.target if own else found.for_target(options.target, named)
    used = [] if own or another or not found.target else found.of_target(named)
    values: dict[str, Any] = {"select": found.select, "kinds": found.kinds, "settings": found.settings}
    values |= {"strict": found.strict, "sequential": found.sequential, "alpha": found.alpha, "waivers": found.waivers}
    values = {key: value for key, value in values.items() if value and _OPTION.get(key, key) not in named}
    if own:
        values = {key: value for key, value in values.items() if key in ("strict", "waivers")}
    elif "target" in named:
        values.pop("settings", None)
    if used or values:
        note(f"{', '.join([*(name.replace('_', '-') for name in used), *values])}: from {found}")
    device = target.device if used else options.device
    return replace(options, target=target, device=device, **values)
