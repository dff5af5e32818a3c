"""What a user's network with stochastic depth draws, drops and computes in training (Huang 2016, section 3).

What counts is what the model's own code did in each training pass, not what it says: a unit is dropped for an image
where its addition was not executed, or its branch's contribution is exactly zero.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import ResidualUnit, Seen, observe, output_of
from resbench.errors import NotMeasured
from resbench.experiments.threads import one_thread
from resbench.experiments.unit_probes import enliven, per_image, relative, seeded, working_copy
from resbench.experiments.unit_shortcuts import difference_in_words
from resbench.targets.target import UserMember, UserTarget

__all__ = ["last_layers", "need_survival", "unit_draws"]

_LEAST, _MOST, _SECONDS = 100, 3000, 15.0
"""Training passes: as many as fit into the time, within these limits."""

_SIDE = 32
"""Images are averaged down to this side where the model takes them: the draws do not depend on their size."""

_LOOKED_AT = 4
"""How many drops of each unit are compared with its shortcut."""

_CLOSE = 1e-5
"""Relative; a shortcut with weights is computed a second time in float32."""


def need_survival(target: UserTarget) -> tuple[float, ...]:
    """The survival probabilities ``p_l``, one a unit.  Raises: NotMeasured where none are declared."""
    if target.survival is None:
        raise NotMeasured("no survival probabilities: give --survival or set model.survival_probabilities")
    return target.survival


def unit_draws(member: UserMember) -> dict[str, Any]:
    """Training passes of the model in float32, with two images each.

    Returns one entry a unit: ``names``, ``p``; ``used`` of ``trials`` draws; ``per_image`` (in how many passes the
    images of the mini-batch were treated differently); ``drops`` (passes with any), ``computed`` (of those, the ones in
    which the branch was computed all the same), ``changed`` (how many of the drops looked at changed the signal),
    ``changed_words`` and ``silent`` (its branch is zero in test mode: nothing can be seen).  ``depth``: units used, one
    entry a trial.  ``passes``: how many training passes there were.
    """
    target = member.target
    p = need_survival(target)
    with working_copy(target.model, torch.float32), seeded(target), one_thread(), torch.no_grad():
        enliven(target.model)
        images = _images(target)
        counter = _Counter(target, _silent(target, images))
        target.model.train()
        with last_layers(target.model, target.units) as ran:
            started = time.perf_counter()
            while counter.passes < _LEAST or (counter.passes < _MOST and time.perf_counter() - started < _SECONDS):
                ran.clear()
                counter.add(observe(target.model, target.units, images), {index for index, _ in ran})
    return counter.result(p)


def _images(target: UserTarget) -> Tensor:
    """Two images of the example, made small where the model takes small ones."""
    images = target.example[:2]
    side = min(images.shape[-2:]) if images.ndim == 4 else 0
    if side <= _SIDE:
        return images
    small = F.adaptive_avg_pool2d(images, _SIDE)
    try:
        # On a copy: models that fit themselves to a size (transformers' Swin shrinks its windows) keep their own.
        trial = copy.deepcopy(target.model).eval()
        before = output_of(trial(images))
        trial(small)
        unmarked = torch.equal(output_of(trial(images)), before)
        trial.train()(small)
    except Exception:  # whatever the user's code raises: it is made for images of its own size
        return images
    return small if unmarked else images


def _silent(target: UserTarget, images: Tensor) -> list[bool]:
    """Units whose branch is zero for an image although nothing is dropped: drops cannot be told."""
    target.model.eval()
    seen = observe(target.model, target.units, images)
    return [one is None or one.branch is None or not bool(per_image(one.branch).all()) for one in seen]


@contextmanager
def last_layers(model: nn.Module, units: Sequence[ResidualUnit]) -> Iterator[list[tuple[int, Tensor]]]:
    """Inside, a list that grows by (unit's index, output) whenever the last weight layer of a unit's branch runs.

    Only where that layer is a module of its own within the branch.
    """
    ran: list[tuple[int, Tensor]] = []

    def recording(index: int) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                ran.append((index, output))

        return hook

    handles = []
    for unit in units:
        owners = {name.rpartition(".")[0] for name, _ in unit.branch_end}
        if len(owners) == 1 and (owner := owners.pop()) and model.get_submodule(owner) is not unit.place.module:
            handles.append(model.get_submodule(owner).register_forward_hook(recording(unit.index)))
    try:
        yield ran
    finally:
        for handle in handles:
            handle.remove()


class _Counter:
    """Counts what the passes show."""

    def __init__(self, target: UserTarget, silent: list[bool]):
        self._units, self._silent, self.passes = target.units, silent, 0
        n = len(target.units)
        self._kept: list[NDArray[np.bool_]] = []
        self._computed, self._drops, self._changed = ([0] * n for _ in range(3))
        self._words = [""] * n

    def add(self, seen: Sequence[Seen | None], ran: set[int]) -> None:
        """One pass; ``ran``: the units whose branch's last layer was executed."""
        self.passes += 1
        kept = np.ones((len(self._units), 2), dtype=bool)
        for unit, one in zip(self._units, seen, strict=True):
            i = unit.index
            if one is None or one.branch is None:
                kept[i] = False
            elif not self._silent[i]:
                kept[i] = (per_image(one.branch) > 0).cpu().numpy()
            if not kept[i].all():
                self._drops[i] += 1
                self._computed[i] += i in ran or (one is not None and one.branch is not None)
                if one is not None and self._drops[i] <= _LOOKED_AT:
                    self._compare(unit, one, ~kept[i])
        self._kept.append(kept)

    def _compare(self, unit: ResidualUnit, one: Seen, dropped: NDArray[np.bool_]) -> None:
        """Whether a dropped unit passes on its input, or where the shape changes its shortcut."""
        rows = torch.from_numpy(dropped).to(one.output.device)
        expected = self._shortcut(unit, one)
        if expected is None:
            return
        measured, expected = one.output[rows], expected[rows]
        exact = not unit.changes_shape and unit.after_kind != "other"
        if (not torch.equal(measured, expected)) if exact else relative(measured, expected) > _CLOSE:
            self._changed[unit.index] += 1
            wanted = "its shortcut's output" if unit.changes_shape else "its input"
            self._words[unit.index] = difference_in_words("when dropped its output is", measured, expected, wanted)

    @staticmethod
    def _shortcut(unit: ResidualUnit, one: Seen) -> Tensor | None:
        if unit.changes_shape or unit.after_kind == "other":
            if unit.opaque:
                return None
            kept = one.shortcut if one.shortcut is not None else None if one.x is None else unit.shortcut(one.x)
            return None if kept is None else unit.after(kept)
        return one.x

    def result(self, p: tuple[float, ...]) -> dict[str, Any]:
        """Where the images of a mini-batch are treated differently each is a trial, else each mini-batch is."""
        kept = np.stack(self._kept)
        differing = kept[:, :, 0] != kept[:, :, 1]
        alone = differing.any(0)
        used = np.where(alone, kept.sum((0, 2)), kept[:, :, 0].sum(0))
        depth = kept.sum(1).ravel() if alone.any() else kept[:, :, 0].sum(1)
        return {
            "names": np.array([unit.name for unit in self._units]),
            "p": np.array(p),
            "used": used,
            "trials": np.where(alone, 2 * self.passes, self.passes),
            "per_image": differing.sum(0),
            "drops": np.array(self._drops),
            "computed": np.array(self._computed),
            "changed": np.array(self._changed),
            "changed_words": np.array(self._words),
            "silent": np.array(self._silent),
            "depth": depth,
            "passes": np.array(self.passes),
        }
