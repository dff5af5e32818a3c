"""Writing a figure: SVG, PNG or PDF by the file's suffix, the same bytes from the same measurements."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resbench.errors import UserError
from resbench.records.places import write_atomically
from resbench.reports.figures.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_figure", "save_figure"]

_METADATA: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None},
    ".png": {},
    ".pdf": {"CreationDate": None},
}


@styled
def check_figure(path: Path) -> None:
    """Fail before measuring, not after: an unknown suffix, a file that cannot be written, no matplotlib.

    Raises:
        UserError: any of these.
    """
    _suffix(path)
    if path.is_dir():
        raise UserError(f"--figure {path}: is a folder; name a file in it")
    probe = path.parent / f".{path.name}.resbench-probe"
    write_atomically(probe, b"")
    probe.unlink(missing_ok=True)


@styled
def save_figure(figure: Figure, path: Path) -> None:
    """Write ``figure``; neither a time nor a place of this machine is in the file.

    Raises:
        UserError: an unknown suffix, or the file cannot be written.
    """
    suffix = _suffix(path)
    metadata = dict(_METADATA[suffix])
    title = figure.get_suptitle()
    if title:
        metadata["Title"] = title
    content = io.BytesIO()
    with warnings.catch_warnings():
        # Modules may have names in letters that no font here has: boxes in a label are no reason to stop.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.savefig(content, format=suffix[1:], metadata=metadata)
    write_atomically(path, content.getvalue())


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _METADATA:
        raise UserError(f"--figure {path}: {', '.join(_METADATA)} are the figures that can be written; name one")
    return suffix
