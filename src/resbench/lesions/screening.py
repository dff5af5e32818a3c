"""A sweep in bfloat16 that gives float32's predictions: what bfloat16 cannot tell apart is computed again in float32.

bfloat16 nearly halves the time of a convolution where the processor multiplies it (AVX-512 BF16, AMX), and changes the
logits a little (by up to 1.6 % of the largest on a ResNet-56).  That changes a predicted class only where the two best
logits lie closer together than the change.  So each lesion's change is measured on a first batch, and wherever the
margin is below ``SAFETY`` times the largest change seen, the image is computed again in float32.  In every batch some
further images are computed again as well, whatever their margin: should a change ever exceed what was allowed for, that
lesion is done again as a whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.lesions.engine import filled, placed, predict, predicted_classes, shared_out
from resbench.lesions.executable import Executable
from resbench.lesions.plans import Plan
from resbench.lesions.trie import Node, build, steps_of, walk

if TYPE_CHECKING:
    from resbench.targets.images import Images

__all__ = ["SAFETY", "Screened", "screened"]

SAFETY = 3.0
"""How many times the largest change of a first batch a margin must have.  Chosen; that it suffices is not assumed but
audited in every run.  Against the plain loop (``python -m benchmarks.lesion_speed``, ResNet-56, 128 images at a time)
none of 162,816 predictions differed; the largest change seen was 1.015 times what was allowed for, and that lesion was
done again."""

AUDITED = 64
"""Of so many images one is computed again whatever its margin."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """What bfloat16 does to each plan: ``change``, the largest change of a margin on the first batch; ``near``, the
    share of its images that have to be computed again; ``speed``: its time over float32's.
    """

    change: Floats
    near: Floats
    speed: float


@dataclass(frozen=True)
class Screened:
    """``classes``: as :func:`resbench.lesions.engine.predict` gives them.

    ``again``: share of the predictions that were computed again; ``largest``: the largest change of a margin that was
    seen after the first batch, over what was allowed for; ``exact``: how many lesions were computed in float32 alone.
    ``calibration``: for more images under the same plans.
    """

    classes: NDArray[np.int32]
    again: float
    largest: float
    exact: int
    calibration: Calibration


@dataclass(frozen=True)
class _Pair:
    """What one thread runs."""

    fast: Executable
    exact: Executable


def screened(
    fast: Sequence[Executable],
    exact: Sequence[Executable],
    plans: Sequence[Plan],
    images: Images,
    size: int,
    *,
    calibration: Calibration | None = None,
    device: torch.device | str = "cpu",
    finished: Callable[[int], None] = lambda images: None,
) -> Screened:
    """The predictions of float32, most of them from bfloat16.

    Args:
        fast: bfloat16 executables, one for each thread; they and ``exact`` take batches of up to ``size`` images.
        exact: the same in float32.
        calibration: an earlier one of the same plans; without it the first batch makes one.
    """
    programs = [steps_of(plan, exact[0].between) for plan in plans]
    sweep = _Sweep(build(programs), len(plans), size, np.empty((len(plans), len(images)), dtype=np.int32))
    if calibration is None:
        first = next(placed(images.batches(size, device)))[1]
        calibration = sweep.calibrate(_Pair(fast[0], exact[0]), filled(first, size))
    sweep.change, sweep.near = calibration.change, calibration.near
    worth = np.flatnonzero((sweep.expected(calibration.speed) < 1.0) & np.isfinite(sweep.change))
    alone = np.setdiff1d(np.arange(len(plans)), worth)
    if len(worth):
        part = sweep.of(worth, programs)
        pairs = [_Pair(*both) for both in zip(fast, exact, strict=True)]

        def work(pair: _Pair, start: int, batch: Tensor) -> None:
            part.batch(pair, start, filled(batch, size), len(batch))
            finished(len(batch) if not len(alone) else 0)

        shared_out(pairs, placed(images.batches(size, device)), work)
        sweep.classes[worth] = part.classes
        alone = np.union1d(alone, worth[part.exceeded()])
    if len(alone):
        chosen = [plans[i] for i in alone]
        sweep.classes[alone] = predict(exact, chosen, images, size, device=device, finished=finished)
        if not len(worth):
            return Screened(sweep.classes, 1.0, 0.0, len(alone), calibration)
    count = len(worth) * len(images)
    return Screened(sweep.classes, part.again / count, float(part.largest.max()), len(alone), calibration)


class _Sweep:
    """The state of a screened sweep over one tree of plans."""

    def __init__(self, root: Node, plans: int, size: int, classes: NDArray[np.int32]):
        self.root, self.plans, self.size, self.classes = root, plans, size, classes
        self.change = np.zeros(plans, dtype=np.float32)
        self.near = np.zeros(plans, dtype=np.float32)
        self.largest = np.zeros(plans, dtype=np.float32)
        self.again = 0
        self._lock = threading.Lock()

    def of(self, plans: NDArray[np.intp], programs: Sequence[Sequence[object]]) -> _Sweep:
        """The same for some of the plans."""
        chosen = [programs[i] for i in plans]
        part = _Sweep(build(chosen), len(plans), self.size, np.empty((len(plans), self.classes.shape[1]), np.int32))
        part.change, part.near = self.change[plans], self.near[plans]
        return part

    def calibrate(self, pair: _Pair, images: Tensor) -> Calibration:
        """Measure on one batch what bfloat16 changes."""
        everything = np.ones((self.plans, len(images)), dtype=bool)
        times = []
        for _ in range(2):  # the second time nothing is new to any cache
            start = time.perf_counter()
            logits = self._fast(pair.fast, images)  # on the CPU: a GPU has ended
            middle = time.perf_counter()
            exact = self._exact(pair.exact, images, everything)
            times.append((middle - start, time.perf_counter() - middle))
        change = np.stack([_changes(*both).max() for both in zip(logits, exact, strict=True)])
        near = np.array([(_margins(row) < SAFETY * c).mean() for row, c in zip(logits, change, strict=True)])
        return Calibration(change, near.astype(np.float32), times[-1][0] / times[-1][1])

    def expected(self, speed: float) -> NDArray[np.float64]:
        """Expected time of each plan over float32's: bfloat16's, and that of computing again."""
        return np.asarray(speed + self.near + 1.0 / AUDITED, dtype=np.float64)

    def exceeded(self) -> NDArray[np.intp]:
        """The plans of which an image changed by more than was allowed for."""
        return np.flatnonzero(self.largest > 1.0)

    def batch(self, pair: _Pair, start: int, images: Tensor, count: int) -> None:
        """Predict one batch, of which ``count`` images are not filling."""
        logits = self._fast(pair.fast, images)
        classes = np.stack([predicted_classes(row).numpy() for row in logits])
        near = np.stack([_margins(row) for row in logits]) < SAFETY * self.change[:, None]
        near |= ~np.isfinite(np.stack([row.sum(1).numpy() for row in logits]))
        for plan in range(self.plans):
            near[plan, (start + plan * 31) % AUDITED :: AUDITED] = True
        near[:, count:] = False
        largest = np.zeros(self.plans, dtype=np.float32)
        for plan, exact in enumerate(self._exact(pair.exact, images, near)):
            rows = np.flatnonzero(near[plan])
            if len(rows):
                classes[plan, rows] = predicted_classes(exact).numpy()
                largest[plan] = _changes(logits[plan][rows], exact).max() / max(SAFETY * self.change[plan], 1e-30)
        self.classes[:, start : start + count] = classes[:, :count]
        with self._lock:
            self.largest = np.maximum(self.largest, largest)
            self.again += int(near.sum())

    def _fast(self, executable: Executable, images: Tensor) -> list[Tensor]:
        """The logits of every plan, ``(images, classes)`` each, on the CPU."""
        found: list[Tensor] = [images] * self.plans

        def leaf(ended: Sequence[int], value: Tensor) -> None:
            logits = executable.head(value)
            for plan in ended:
                found[plan] = logits

        with torch.inference_mode():
            walk(self.root, executable.stem(images), executable.take, leaf)
            return [logits.cpu() for logits in found]  # at the end: a GPU is not waited for in between

    def _exact(self, executable: Executable, images: Tensor, wanted: NDArray[np.bool_]) -> list[Tensor]:
        """The logits of every plan for the images that it wants, ``(wanted, classes)`` each, on the CPU."""
        found: list[Tensor] = [images[:0]] * self.plans
        with torch.inference_mode():
            rows = np.flatnonzero(wanted.any(0))
            if len(rows):
                self._some(executable, self.root, executable.stem(_rows(images, rows)), rows, wanted, found)
            return [logits.cpu() for logits in found]

    def _some(
        self,
        executable: Executable,
        node: Node,
        value: Tensor,
        rows: NDArray[np.intp],
        wanted: NDArray[np.bool_],
        found: list[Tensor],
    ) -> None:
        """As :func:`walk`, with of every node only the images that its plans want."""
        while True:
            needed = rows[wanted[_plans(node)][:, rows].any(0)]
            if not len(needed):
                return
            if len(needed) < len(rows):
                value, rows = _rows(value, np.searchsorted(rows, needed)), needed
            for step in node.steps:
                value = executable.take(step, value)
            for plan in node.plans:
                own = rows[wanted[plan][rows]]
                if len(own):
                    found[plan] = executable.head(_rows(value, np.searchsorted(rows, own)))
            if not node.children:
                return
            for child in node.children[:-1]:
                self._some(executable, child, value, rows, wanted, found)
            node = node.children[-1]


def _plans(node: Node) -> list[int]:
    """The plans that end in a node or below."""
    return [plan for each in node for plan in each.plans]


def _rows(value: Tensor, rows: NDArray[np.intp]) -> Tensor:
    return value if len(rows) == len(value) else value[torch.from_numpy(rows).to(value.device)]


def _margins(logits: Tensor) -> Floats:
    """How far the best logit is above the second, ``(images,)``."""
    best = logits.topk(2, dim=1).values
    return np.asarray((best[:, 0] - best[:, 1]).numpy(), dtype=np.float32)


def _changes(fast: Tensor, exact: Tensor) -> Floats:
    """The largest change of the best class's lead over any other, ``(images,)``; infinite where one is not finite."""
    winner = fast.argmax(1, keepdim=True)
    leads = [each.gather(1, winner) - each for each in (fast, exact)]
    change = (leads[0] - leads[1]).abs().amax(1)
    return np.asarray(torch.nan_to_num(change, nan=float("inf")).numpy(), dtype=np.float32)
