"""The sweep: batches outside, lesions inside, and what lesions have in common computed once.

A batch is moved and normalised once; memory holds a few batches' activations however many lesions there are (see
:mod:`resbench.lesions.trie`), and of every lesion and image the predicted class.  On a CPU every thread has batches of
its own: thin layers do not fill several cores.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.lesions.executable import Executable
from resbench.lesions.plans import Plan
from resbench.lesions.trie import Node, build, steps_of, walk

if TYPE_CHECKING:
    from resbench.targets.images import Images

__all__ = ["NOT_FINITE", "batch_size", "filled", "placed", "predict", "predicted_classes", "shared_out"]

Worker = TypeVar("Worker")

NOT_FINITE = -1
"""In the place of a class, where the logits are not finite: wrong whatever the label is."""

_WORKING_SET = 4 << 20
"""Bytes of the largest activation of a batch.  ResNet-56 at 32x32 (64 KiB an image) took the same time an image with
16, 32 and 64 images on a core with 1 MiB of cache, 10 % more with 256."""

_LEAST, _MOST = 8, 1024


def batch_size(images: int, bytes_each: int, workers: int = 1, *, working_set: int = _WORKING_SET) -> int:
    """Images in a batch: as many as the working set holds, every worker gets some, and the last batch is full."""
    most = min(_MOST, max(_LEAST, working_set // max(bytes_each, 1)), math.ceil(images / workers))
    return math.ceil(images / math.ceil(images / most))


def predict(
    workers: Sequence[Executable],
    plans: Sequence[Plan],
    images: Images,
    size: int,
    *,
    device: torch.device | str = "cpu",
    finished: Callable[[int], None] = lambda images: None,
) -> NDArray[np.int32]:
    """The class that each plan predicts for each image, ``(plans, images)``; :data:`NOT_FINITE` for none.

    Args:
        workers: one for each thread; their batches have ``size`` images.
        finished: told the number of images after every batch, from the thread that computed it.
    """
    root = build([steps_of(plan, workers[0].between) for plan in plans])
    found = np.empty((len(plans), len(images)), dtype=np.int32)

    def work(executable: Executable, start: int, batch: Tensor) -> None:
        count = len(batch)
        found[:, start : start + count] = _batch(executable, root, len(plans), filled(batch, size))[:, :count]
        finished(count)

    shared_out(workers, placed(images.batches(size, device)), work)
    return found


def placed(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[int, Tensor]]:
    """Batches of images, each with the position of its first."""
    start = 0
    for images, _ in batches:
        yield start, images
        start += len(images)


def filled(batch: Tensor, size: int) -> Tensor:
    """A last, short batch filled up to ``size`` images by repeating its own."""
    if len(batch) == size:
        return batch
    return batch.repeat(math.ceil(size / len(batch)), *(1,) * (batch.dim() - 1))[:size]


def _batch(executable: Executable, root: Node, plans: int, images: Tensor) -> NDArray[np.int32]:
    classes = torch.empty(plans, len(images), dtype=torch.int32, device=images.device)

    def leaf(ended: Sequence[int], value: Tensor) -> None:
        classes[list(ended)] = predicted_classes(executable.head(value))

    with torch.inference_mode():
        walk(root, executable.stem(images), executable.take, leaf)
    # One transfer a batch: before that a GPU runs ahead of this thread.
    return np.asarray(classes.cpu().numpy())


def predicted_classes(logits: Tensor) -> Tensor:
    """Logits ``(N, classes)`` to classes ``(N,)``, int32."""
    classes = logits.argmax(1).to(torch.int32)
    return torch.where(torch.isfinite(logits).all(1), classes, NOT_FINITE)


@dataclass
class _Failed:
    """The first exception of a thread, for the caller's."""

    error: BaseException | None = None


def shared_out(
    workers: Sequence[Worker],
    batches: Iterable[tuple[int, Tensor]],
    work: Callable[[Worker, int, Tensor], None],
) -> None:
    """``work`` on every batch: here where there is one worker, else each in a thread of its own, with one core.

    Few batches wait, so that reading does not run ahead of computing.
    """
    if len(workers) == 1:
        for start, batch in batches:
            work(workers[0], start, batch)
        return
    waiting: queue.Queue[tuple[int, Tensor] | None] = queue.Queue(maxsize=len(workers))
    failed = _Failed()

    def run(worker: Worker) -> None:
        torch.set_num_threads(1)  # of this thread's operators
        while (item := waiting.get()) is not None:
            if failed.error is not None:
                continue  # the queue is emptied, so that the reader is not held up
            try:
                work(worker, *item)
            except BaseException as error:
                failed.error = error

    before = torch.get_num_threads()
    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in workers]
    for thread in threads:
        thread.start()
    try:
        for item in batches:
            if failed.error is not None:
                break
            waiting.put(item)
    finally:
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join()
        torch.set_num_threads(before)
    if failed.error is not None:
        raise failed.error
