"""A user's network under lesions, for the claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resbench.errors import NotMeasured
from resbench.lesions.plans import Plan
from resbench.lesions.running import Runner
from resbench.targets.chance import below_chance
from resbench.targets.images import Images
from resbench.targets.target import UserMember, UserTarget

__all__ = ["TargetBody", "tested_images"]


class TargetBody:
    """The units of a target as lesions see them; a unit that cannot be deleted is left out, and counted.

    Raises:
        NotMeasured: no unit is both deletable and not the first of its stage.
    """

    def __init__(self, target: UserTarget):
        self._target, self._units = target, target.units
        self._runner: Runner | None = None
        firsts = {i for i, unit in enumerate(self._units) if i == 0 or unit.stage != self._units[i - 1].stage}
        self.ordinary = [i for i in self.tested if i not in firsts]
        if not self.ordinary:
            fixed = next((unit for unit in self._units if not unit.deletable), None)
            reason = "each is the first of its stage" if fixed is None else f"{fixed.name}: {fixed.reason}"
            raise NotMeasured(f"no unit beyond the first of a stage can be deleted ({reason})")

    @property
    def count(self) -> int:
        return len(self._units)

    @property
    def tested(self) -> list[int]:
        return [unit.index for unit in self._units if unit.deletable]

    @property
    def repeatable(self) -> list[int]:
        return [i for i in self.ordinary if self._units[i].group is not None]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Two ordinary units that may take each other's place."""
        pool = self.repeatable
        return [(a, b) for a in pool for b in pool if a < b and self._units[a].group == self._units[b].group]

    def describe(self) -> dict[str, NDArray[np.generic]]:
        tested = self.tested
        return {
            "deletable": np.ones(len(tested), dtype=bool),
            "ordinary": np.isin(tested, self.ordinary),
            "changes_shape": np.array([self._units[i].changes_shape for i in tested]),
            "units": np.array(tested),
            "names": np.array([self._units[i].name for i in tested]),
            "left_out": np.array(len(self._units) - len(tested)),
        }

    def wrong(self, plans: Sequence[Plan], data: Images) -> NDArray[np.bool_]:
        """Whether each image is misclassified under each plan, ``(plans, images)``; each image is read once."""
        if self._runner is None:
            self._runner = Runner(self._target, data, device=self._target.device)
        return np.asarray(self._runner.run(plans, data) != data.labels.numpy())


def tested_images(member: UserMember) -> Images:
    """The images of a target that can be measured on them.

    Raises:
        NotMeasured: there are none, or the target's errors cannot be told from guessing.
    """
    if member.test is None:
        raise NotMeasured("no data: give --data (digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE)")
    wrong = int(member.target.misclassified.sum())
    if not below_chance(wrong, member.test.labels):
        error = f"error {100 * wrong / len(member.test):.1f} %, n = {len(member.test)}"
        raise NotMeasured(f"the target is at chance on these data ({error}): give --checkpoint, --mean and --std")
    return member.test
