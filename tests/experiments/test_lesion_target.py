"""Lesions and paths of a user's network: the same network through two engines gives the same images wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import adapt
from resbench.errors import NotMeasured
from resbench.experiments import accuracy, evaluation, lesion, lesions, path_recording, paths
from resbench.experiments.lab import Lab
from resbench.experiments.linearised import linearised
from resbench.experiments.path_gradients import gradient_by_length_exact, sample_paths
from resbench.experiments.path_target import linearised_target
from resbench.records.places import baselines
from resbench.targets.images import Images
from resbench.targets.target import UserMember, UserTarget
from resbench.training.target import Member

Experiment = Callable[[Any], dict[str, Any]]


def as_target(model: nn.Module, images: Tensor, labels: Tensor, **fields: Any) -> UserTarget:
    units = adapt(model, images[:2])
    return UserTarget("mine", model, images[:2], units, None, Images.of_tensors(images, labels), True, 0, **fields)


@pytest.fixture(params=["preact-9", "post-9"])
def own(request: pytest.FixtureRequest) -> Member:
    """A committed network that resbench trained on the digits."""
    lab = Lab("digits", baselines() / "checkpoints" / "digits")
    member: Member = lab._target(request.param).members[0]
    return replace(member, test=member.test.subset(range(300)))


@pytest.fixture
def users(own: Member) -> UserMember:
    """The same network, as if a user had brought it."""
    return as_target(own.network, *own.test.take(range(300))).members[0]


@pytest.mark.parametrize(
    "experiment", [lesion.single_deletion, lesion.multiple_deletion, lesion.reordering, lesion.duplication]
)
def test_both_engines_find_the_same_images_wrong(
    own: Member, users: UserMember, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesion, "DRAWS", 3)
    monkeypatch.setattr(lesion, "ORDERS", 3)
    before = {name: value.clone() for name, value in own.network.state_dict().items()}
    one, other = experiment(own), experiment(users)
    for key in one:
        np.testing.assert_array_equal(other[key], one[key], err_msg=key)
    rates = one["wrong"].mean(axis=1)
    assert rates.max() > rates.min() + 0.05, "lesions that all cost the same would show nothing"
    assert all(torch.equal(value, before[name]) for name, value in own.network.state_dict().items())


def test_quantities_name_the_unit(users: UserMember) -> None:
    single = (lesion.single_deletion(users),)
    measured = lesions.ordinary_median_increase(single, network="target")
    increases = lesions._increases(single)[0]
    worst = max(np.flatnonzero(single[0]["ordinary"]), key=lambda i: increases[i])
    assert f"{users.target.units[worst].name} costs most (+{increases[worst]:.1f} points)" in measured.detail
    assert measured.samples["names"] == [unit.name for unit in users.target.units]
    assert len(measured.replicates or ()) > 100


def test_every_lesion_quantity_works_with_one_member(users: UserMember) -> None:
    multiple, duplicated = (lesion.multiple_deletion(users),), (lesion.duplication(users),)
    assert lesions.largest_step(multiple, network="target").n
    assert lesions.error_after_deletions(multiple, network="target", k=2).n
    assert lesions.duplication_against_deletion(duplicated, multiple, network="target").value
    with pytest.raises(NotMeasured, match="only 6 units beyond the first of a stage"):
        lesions.error_after_deletions(multiple, network="target", k=10)
    evaluated = (evaluation.evaluation(users),)
    assert accuracy.test_error(evaluated, network="target").n == 300


def test_a_unit_that_cannot_be_deleted_is_left_out_not_wrong(users: UserMember) -> None:
    target = users.target
    target.units[4].deletable, target.units[4].reason = False, "its inside is opaque"
    result = lesion.single_deletion(users)
    assert result["units"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert result["wrong"].shape == (9, 300)
    assert not result["wrong"].all(axis=1).any()
    assert "1 units are not deletable" in lesions.ordinary_mean_increase((result,), network="target").detail
    target.units[0].deletable = False
    with pytest.raises(NotMeasured, match="the first unit is not deletable"):
        lesions.first_unit_rank((lesion.single_deletion(users),), network="target")
    for unit in target.units:
        unit.deletable = False
    with pytest.raises(NotMeasured, match="no unit beyond the first of a stage can be deleted"):
        lesion.single_deletion(users)


def test_what_is_missing_is_said(users: UserMember) -> None:
    without = replace(users.target, data=None).members[0]
    assert users.test is not None
    images, labels = users.test.take(range(300))
    noise = Images.of_tensors(torch.randn_like(images), labels)
    guessing = replace(users.target, data=noise).members[0]
    for experiment in (lesion.single_deletion, lesion.reordering, evaluation.evaluation, path_recording.path_gradients):
        with pytest.raises(NotMeasured, match="no data: give --data"):
            experiment(without)
        with pytest.raises(NotMeasured, match=r"at chance on these data \(error \d+\.\d %, n = 300\)"):
            experiment(guessing)
    with pytest.raises(NotMeasured, match="no record of its training"):
        evaluation.training_curves(users)


def test_many_images_are_drawn_for_random_lesions_only(users: UserMember, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesion, "DRAW_IMAGES", 90)
    monkeypatch.setattr(lesion, "DRAWS", 1)
    assert lesion.multiple_deletion(users)["wrong"].shape[1] == 30
    assert lesion.single_deletion(users)["wrong"].shape[1] == 300
    thorough = replace(users.target, thorough=True).members[0]
    assert lesion.multiple_deletion(thorough)["wrong"].shape[1] == 100


def test_thorough_paths_use_every_image_once(users: UserMember, monkeypatch: pytest.MonkeyPatch) -> None:
    assert users.test is not None
    target = replace(users.target, thorough=True, data=users.test.subset(range(26)))
    taken: list[int] = []
    take = Images.take

    def seen(self: Images, indices: Sequence[int], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        taken.extend(int(index) for index in indices)
        return take(self, indices, device)

    monkeypatch.setattr(Images, "take", seen)
    norms = path_recording.path_gradients(target.members[0])["norms"]
    assert norms.shape == (10, 6, 1)
    assert len(set(taken)) == len(taken), "six groups of four, and a rest that does not count"
    assert taken != sorted(taken), "neighbours are often of one class"
    assert len(np.unique(norms[1])) > 1


def test_the_recorded_spectrum_is_that_of_each_image(users: UserMember) -> None:
    assert users.test is not None
    target = replace(users.target, data=users.test.subset(range(5)))
    found = path_recording.path_spectrum(target.members[0])["log_norms"]
    order = torch.randperm(5, generator=torch.Generator().manual_seed(0))
    images, labels = users.test.take(order)
    for column in range(5):
        rows = gradient_by_length_exact(target.model, images[[column]], labels[[column]])
        np.testing.assert_allclose(found[:, column], rows.flatten(1).norm(dim=1).log(), atol=1e-3)


def test_paths_sum_to_the_gradient_and_are_those_of_our_own_network(own: Member, users: UserMember) -> None:
    images, labels = own.test.take(range(4))
    full = linearised_target(users.target, images, labels)
    assert len(full.units) == 9
    expected = linearised(own.network, images, labels)  # type: ignore[arg-type]
    one, other = (sample_paths(each, range(10), 4, torch.Generator().manual_seed(0)) for each in (expected, full))
    torch.testing.assert_close(other, one, rtol=1e-4, atol=0)
    norms = path_recording.path_gradients(users)["norms"]
    assert norms.shape == (10, 1, 32)
    assert paths.decay_fit(({"norms": norms},), network="target").value > 0.5


class Interrupted(nn.Module):
    """Something stands between the second and the third unit."""

    def __init__(self, route: str) -> None:
        super().__init__()
        self.route = route
        self.stem = nn.Conv2d(1, 4, 3, 1, 1)
        self.units = nn.ModuleList([Unit() for _ in range(3)])
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = first = self.stem(x)
        for index, unit in enumerate(self.units):
            x = unit(x)
            if self.route == "between" and index == 1:
                x = torch.tanh(x)
        if self.route == "around":
            x = x * torch.sigmoid(first)
        return self.head(x.mean((2, 3)))


class Unit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.conv(x))


@pytest.mark.parametrize(
    ("route", "message"),
    [("", ""), ("between", "between units.1 and units.2 stands something"), ("around", "on other ways")],
)
def test_paths_are_refused_where_units_do_not_follow_each_other(route: str, message: str) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(4, 1, 8, 8), torch.arange(4)
    target = as_target(Interrupted(route).eval(), images, labels)
    assert len(target.units) == 3
    if not message:
        assert len(linearised_target(target, images, labels).units) == 3
        return
    with pytest.raises(NotMeasured, match=message):
        linearised_target(target, images, labels)


class TwoInside(nn.Module):
    """Two units written out inside one module, as a transformer's block has them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.relu(self.a(x))
        return x + F.relu(self.b(x))


def test_paths_are_refused_where_the_first_unit_lies_within_a_module() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(4, 4, 8, 8), torch.arange(4)
    model = nn.Sequential(TwoInside(), TwoInside(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    with pytest.raises(NotMeasured, match="lies within a module"):
        linearised_target(as_target(model.eval(), images, labels), images, labels)
