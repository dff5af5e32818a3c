"""A sweep over a whole data set, a piece of the images at a time, so that it can be interrupted and continued."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from resbench.errors import NotMeasured, UserError
from resbench.lesions.accelerating import arithmetic, compile_units
from resbench.lesions.costs import step_costs
from resbench.lesions.engine import batch_size, predict
from resbench.lesions.executable import Lesionable, Prepared, prepare
from resbench.lesions.live import predict_live
from resbench.lesions.plans import Plan
from resbench.lesions.screening import Calibration, screened
from resbench.lesions.sharding import shards
from resbench.lesions.trie import Step, build, steps_of
from resbench.records.partial import source_fingerprint
from resbench.records.places import partial_measurements, write_atomically
from resbench.records.sealed import sealed, unsealed
from resbench.targets.code import feed_code

if TYPE_CHECKING:
    from torch import Tensor

    from resbench.targets.images import Images

__all__ = ["Runner", "Store", "fingerprint"]

_PIECE_SECONDS = 20.0
"""How much work an interruption may cost."""

_FIRST_PIECE = 256


@dataclass
class Runner:
    """A target made ready for sweeps over images like ``images``.

    ``precision``: float32; ``screened``, the same predictions through bfloat16; bfloat16, or tf32 on a GPU, which may
    differ from them.  ``compiled``: compile the units where that makes them faster.
    ``notes``: what there is to say about how it ran, for the record.
    """

    target: Lesionable
    images: Images
    precision: str = "float32"
    workers: int = field(default_factory=torch.get_num_threads)
    device: torch.device | str = "cpu"
    compiled: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._workers = 1 if torch.device(self.device).type == "cuda" else max(1, min(self.workers, len(self.images)))
        self._size = batch_size(len(self.images), self._bytes_each(), self._workers)
        example = self.images.take(range(min(self._size, len(self.images))), self.device)[0]
        self._calibrated: tuple[Sequence[Plan], Calibration | None] = ((), None)
        kind = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        with arithmetic(self.precision):
            self._exact = prepare(self.target, example, workers=self._workers, dtype=kind)
            self._fast = self._screening(example)
            self._compile()
        self.notes |= {
            "precision": "screened" if self._fast is not None else self.precision,
            "threads": len(self._exact.workers) or torch.get_num_threads(),
            "batch": self._size,
            "folded": self._exact.folded,
            "difference": self._exact.error,
            "whole_passes": not self._exact.workers,
            "reason": self._exact.reason,
        }

    def _compile(self) -> None:
        """The units of every executable, where asked for."""
        for prepared in (self._exact, self._fast) if self.compiled else ():
            if prepared is not None and prepared.own:
                done = compile_units([worker.units for worker in prepared.workers])
                self.notes["compiled_units"] = self.notes.get("compiled_units", 0) + done.units
                self.notes["compile_seconds"] = self.notes.get("compile_seconds", 0.0) + done.seconds

    def _bytes_each(self) -> int:
        """Of the largest input of a unit, for one image."""
        return max(4 * int(np.prod(unit.input_shape)) for unit in self.target.units)

    def _screening(self, example: Tensor) -> Prepared | None:
        """The bfloat16 executables; None where they are not asked for or of no use, with the reason noted."""
        if self.precision != "screened":
            return None
        reason = "" if torch.device(self.device).type == "cuda" or _multiplies_bfloat16() else "no bfloat16 unit here"
        if not reason and not self._exact.workers:
            reason = self._exact.reason
        fast = None if reason else prepare(self.target, example, workers=len(self._exact.workers), dtype=torch.bfloat16)
        if fast is not None and len(fast.workers) != len(self._exact.workers):
            reason = fast.reason
        if not reason and not self._exact.any_size:
            reason = "its forward pass takes batches of one size only"
        if reason:
            self.notes["not_screened"] = reason
            return None
        return fast

    def shares(self, plans: Sequence[Plan], processes: int) -> list[list[int]]:
        """Which plans each of several processes takes, so that the longest takes least; counted, not timed."""
        if not self._exact.workers:  # every plan is one whole pass
            return [list(range(first, len(plans), processes)) for first in range(processes)]
        return shards(*self._counted(plans), processes)

    def cost(self, plans: Sequence[Plan]) -> float:
        """Of a sweep, for one image: multiply-adds, and numbers put out, in the tree of steps.

        Raises:
            NotMeasured: the model is not cut into steps.
        """
        if not self._exact.workers:
            raise NotMeasured(f"no steps to count: {self._exact.reason}")
        programs, costs = self._counted(plans)
        return build(programs).cost(costs) / self._size

    def _counted(self, plans: Sequence[Plan]) -> tuple[list[list[Step]], dict[Step, int]]:
        """Plans as steps, and what the steps cost for one batch."""
        executable = self._exact.workers[0]
        programs = [steps_of(plan, executable.between) for plan in plans]
        example = self.images.take(range(min(self._size, len(self.images))), self.device)[0]
        steps = {step for program in programs for step in program}
        # The products of compiled code are not seen.
        with torch.compiler.set_stance("force_eager") if self.compiled else nullcontext():
            return programs, step_costs(executable, steps, example)

    def run(
        self,
        plans: Sequence[Plan],
        images: Images | None = None,
        store: Store | None = None,
        finished: Callable[[int], None] = lambda images: None,
    ) -> NDArray[np.int32]:
        """The class that each plan predicts for each image, ``(plans, images)``.

        Pieces begin where batches do: which images a batch has does not depend on how long a piece took.

        Args:
            images: others than those of the runner, of the same shape.
            store: where pieces wait should the run be interrupted.
            finished: told of images as they are done.
        """
        given = self.images if images is None else images
        found = np.empty((len(plans), len(given)), dtype=np.int32)
        piece, start = self._batches(_FIRST_PIECE), 0
        while start < len(given):
            stored = None if store is None else store.get(start)
            if stored is not None:
                stop = start + stored.shape[1]
                found[:, start:stop] = stored
                finished(stop - start)
            else:
                stop = min(len(given), start + piece) if store is not None else len(given)
                began = time.perf_counter()
                with arithmetic(self.precision):
                    found[:, start:stop] = self._predict(plans, given.subset(range(start, stop)), finished)
                if store is not None and (store.whole or stop < len(given)):
                    store.put(start, found[:, start:stop])
                grown = min(8.0, _PIECE_SECONDS / max(time.perf_counter() - began, 1e-9))
                piece = self._batches(int((stop - start) * grown))
            start = stop
        return found

    def _batches(self, images: int) -> int:
        """About so many images, in whole batches."""
        return self._size * max(1, images // self._size)

    def _predict(self, plans: Sequence[Plan], images: Images, finished: Callable[[int], None]) -> NDArray[np.int32]:
        exact = self._exact.workers
        if not exact:
            return predict_live(
                self.target.model, self._exact.units, plans, images, self._size, device=self.device, finished=finished
            )
        if self._fast is None:
            return predict(exact, plans, images, self._size, device=self.device, finished=finished)
        fast = self._fast.workers
        known, calibration = self._calibrated
        result = screened(
            fast,
            exact,
            plans,
            images,
            self._size,
            calibration=calibration if known == plans else None,
            device=self.device,
            finished=finished,
        )
        self._calibrated = (plans, result.calibration)
        before, count = self.notes.get("screened_images", 0), len(images)
        again = self.notes.get("computed_again", 0.0) * before + result.again * count
        self.notes["screened_images"] = before + count
        self.notes["computed_again"] = again / (before + count)
        self.notes["largest_change"] = max(self.notes.get("largest_change", 0.0), result.largest)
        return result.classes


def _multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16; elsewhere it is emulated, and slower than float32."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = {flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


class Store:
    """Finished pieces of an interrupted sweep, in a folder of its own; whoever runs the same sweep again finds them.

    ``whole``: the last piece is kept as well, since the sweep is only part of what is wanted.  ``guard``: entered while
    a piece is written.

    """

    def __init__(
        self,
        key: str,
        root: Path | None = None,
        *,
        whole: bool = False,
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self._folder = (root or partial_measurements()) / "lesions" / key
        self._guard = guard
        self.whole = whole
        self.reused = 0

    def get(self, start: int) -> NDArray[np.int32] | None:
        """The piece that begins with image ``start``; a damaged file counts as none."""
        path = self._path(start)
        try:
            found = np.load(io.BytesIO(unsealed(path.read_bytes())), allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            with suppress(OSError):  # it will be replaced, or whoever writes says why not
                path.unlink(missing_ok=True)
            return None
        self.reused += found.shape[1]
        return np.asarray(found, dtype=np.int32)

    def put(self, start: int, piece: NDArray[np.int32]) -> None:
        buffer = io.BytesIO()
        np.save(buffer, piece)
        with self._guard():
            self._write(self._path(start), sealed(buffer.getvalue()))

    def check(self) -> None:
        """Fail before measuring, not after.

        Raises:
            UserError: the folder cannot be written.
        """
        probe = self._folder / ".resbench-probe"
        self._write(probe, b"")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        try:
            write_atomically(path, content)
        except UserError as error:
            reason = str(error).rpartition(";")[0]
            raise UserError(
                f"{reason}; set RESBENCH_CACHE to a folder for unfinished sweeps, or give --fresh"
            ) from error

    def clear(self) -> None:
        """Forget everything: the sweep is complete."""
        import shutil

        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:09d}.npy"


def fingerprint(target: Lesionable, plans: Sequence[Plan], images: str, precision: str) -> str:
    """A hash of all that a sweep's predictions depend on; ``images``: that of the data."""
    digest = hashlib.sha256(f"{source_fingerprint()} {torch.__version__} {images} {precision}".encode())
    for name, tensor in sorted(target.model.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    for unit in target.units:
        digest.update(f"{unit.name} {unit.deletable} {unit.group}".encode())
    digest.update(repr([tuple(plan) for plan in plans]).encode())
    feed_code(target.model, digest.update)
    return digest.hexdigest()[:24]
