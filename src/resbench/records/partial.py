"""Finished measurements of a run that has not finished: kept on disk until it has, reused when it is started again.

Only an *unfinished* run leaves anything behind (``clear`` is called at a run's end), so a complete run always measures
afresh.  Keys hold a fingerprint of source, checkpoints and data: nothing measured by other code is ever reused.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

from resbench.errors import UserError
from resbench.records.places import write_atomically
from resbench.records.results import Request, Result
from resbench.records.sealed import sealed, unsealed

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PartialResults", "source_fingerprint"]

_T = TypeVar("_T")


@lru_cache(maxsize=1)
def source_fingerprint() -> str:
    """A hash of all that can change a measurement: the Python files and the recipes, not the claims."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix == ".py" or (path.suffix == ".toml" and path.parent.name == "books"):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class PartialResults:
    """A folder of experiment results, shared by the processes of one run (one lock a result)."""

    def __init__(self, root: Path, fingerprint: str):
        self._folder = root / "partial" / fingerprint
        self.reused: list[Request] = []

    @contextmanager
    def lock(self, request: Request) -> Iterator[None]:
        """Held while ``request`` is measured, so that two processes never measure it both.

        Raises:
            UserError: the folder cannot be written.
        """
        lock = FileLock(self._path(request).with_suffix(".lock"))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write {self._folder}: {reason}; set RESBENCH_CACHE to another folder") from error
        try:
            yield
        finally:
            lock.release()

    def get(self, request: Request) -> Result | None:
        """The stored result, or None; a damaged file counts as none and is measured again."""
        found = self._read(self._path(request), lambda arrays: {key: arrays[key] for key in arrays.files})
        if found is None:
            return None
        members: dict[int, dict[str, Any]] = {}
        for key, array in found.items():
            member, name = key.split("/", 1)
            members.setdefault(int(member), {})[name] = array
        self.reused.append(request)
        return tuple(members[index] for index in sorted(members))

    def put(self, request: Request, result: Sequence[dict[str, Any]]) -> None:
        import numpy as np

        arrays = {f"{index}/{name}": array for index, member in enumerate(result) for name, array in member.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self._path(request), sealed(buffer.getvalue()))

    def get_piece(self, name: str) -> NDArray[Any] | None:
        """A piece of an unfinished measurement, or None; a damaged file counts as none."""
        return self._read(self._piece(name), lambda array: array)

    def put_piece(self, name: str, piece: NDArray[Any]) -> None:
        """Keep a piece of a measurement that is under way; ``name``: of all that the piece depends on."""
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, piece)
        write_atomically(self._piece(name), sealed(buffer.getvalue()))

    def _read(self, path: Path, loaded: Callable[[Any], _T]) -> _T | None:
        """What ``loaded`` makes of a file; a damaged one is removed."""
        import numpy as np

        try:
            return loaded(np.load(io.BytesIO(unsealed(path.read_bytes())), allow_pickle=False))
        except (OSError, ValueError, zipfile.BadZipFile, EOFError):
            with suppress(OSError):  # it will be replaced, or whoever writes says why not
                path.unlink(missing_ok=True)
            return None

    def clear(self) -> None:
        """Forget everything: the run is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def forget_others(self) -> None:
        """Forget what was measured by other code or of other checkpoints."""
        for other in self._folder.parent.glob("*"):
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)

    def _path(self, request: Request) -> Path:
        return self._folder / f"{request.experiment}--{request.network}.npz"

    def _piece(self, name: str) -> Path:
        return self._folder / f"{name}.npy"
