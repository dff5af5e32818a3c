"""What a recordable experiment asks of a network is pinned to its version: other lesions need a higher number.

The network is replaced by one whose images are wrong by a hash of the lesion, so that the result tells which lesions
were tried on which images, and nothing of how a network computes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from resbench.experiments import lesion
from resbench.records.versions import VERSIONS
from resbench.targets.images import Images
from resbench.targets.target import UserMember, UserTarget

PINNED = {
    ("single_deletion", 1): "ebec66b6b09f12e8",
    ("multiple_deletion", 2): "bc1b705a40d6814e",
    ("reordering", 2): "33cc5817ae36510d",
    ("duplication", 2): "0c5a91fc4093a3fa",
}
"""Raise the number in VERSIONS, and add a line here, where one of these changes."""

IMAGES = 2100


ORDINARY = [i for i in range(24) if i % 12]


class Hashed:
    """Two stages of twelve units; only the first of each is no ordinary one."""

    count = 24
    tested = tuple(range(24))
    ordinary = repeatable = ORDINARY
    pairs = tuple((a, b) for a in ORDINARY for b in ORDINARY if a < b and a // 12 == b // 12)

    def __init__(self, _target: object):
        pass

    def describe(self) -> dict[str, NDArray[Any]]:
        return {"ordinary": np.isin(self.tested, self.ordinary)}

    def wrong(self, plans: Any, data: Images) -> NDArray[np.bool_]:
        rows = []
        for plan in plans:
            text = repr([tuple(step) for step in plan]) + repr(data.labels.tolist())
            bits = np.unpackbits(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8))
            rows.append(np.resize(bits, len(data)) == 1)
        return np.array(rows)


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> UserMember:
    monkeypatch.setattr(lesion, "TargetBody", Hashed)
    monkeypatch.setattr(lesion, "tested_images", lambda member: member.test)
    data = Images.of_tensors(torch.zeros(IMAGES, 1, 1, 1), torch.arange(IMAGES))
    return UserMember(UserTarget("t", torch.nn.Identity(), torch.zeros(2, 1), [], None, data, True, 0, thorough=True))


@pytest.mark.parametrize("experiment", ["single_deletion", "multiple_deletion", "reordering", "duplication"])
def test_a_version_stands_for_its_lesions(experiment: str, member: UserMember) -> None:
    digest = hashlib.sha256()
    for name, array in sorted(getattr(lesion, experiment)(member).items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    found = digest.hexdigest()[:16]
    assert found == PINNED[experiment, VERSIONS[experiment]], "other lesions, or on other images: raise its version"
