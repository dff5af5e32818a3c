"""A list that several processes share, as plain files."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from resbench.errors import UserError

__all__ = ["Options", "take_all"]


@dataclass(frozen=True)
class Options:
    folder: Path
    count: int
    broken: bool = False


def take_all(options: Options) -> str:
    """Take each entry that no other process has; an entry takes a while."""
    if options.broken:
        raise UserError("nothing to take")
    for index in range(options.count):
        entry = options.folder / f"{index}.json"
        try:
            with FileLock(entry.with_suffix(".lock"), timeout=0):
                if not entry.exists():
                    time.sleep(0.3)
                    entry.write_text(json.dumps([os.getpid(), torch.get_num_threads()]))
        except Timeout:
            continue
    return f"{len(list(options.folder.glob('*.json')))} there"
