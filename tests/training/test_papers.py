"""Training one network: interrupted and continued as if it had never stopped, divergence, precision, what is tested."""

from __future__ import annotations

import json
import math
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from tests.training.shared_images import small_images

from resbench.claims.model import AtLeast, Ratio
from resbench.data.cifar10 import ImageSet
from resbench.errors import Damaged, UserError
from resbench.experiments import accuracy
from resbench.experiments.evaluation import evaluation
from resbench.judge import Status, compare
from resbench.measuring import trained as measuring
from resbench.networks.residual import NetworkSpec, PlainSpec, ResidualNetwork
from resbench.networks.units import UnitSpec
from resbench.records.aside import noticing
from resbench.training import papers
from resbench.training.checkpoints import Saved
from resbench.training.packed import unpacked
from resbench.training.papers import Trained, train_network
from resbench.training.recipes import Recipe
from resbench.training.sharing import Share
from resbench.training.state import read_state
from resbench.training.trainer import Trainer

SMALL = Recipe(
    residual=NetworkSpec(units=(1, 1, 1), widths=(4, 8, 16)),
    epochs=3,
    lr=0.05,
    batch=16,
    shift=2,
    flip=True,
    schedule="drops",
    drops=(2,),
    halves=(0,),
)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return small_images()


def changed(**fields: Any) -> Recipe:
    return msgspec.structs.replace(SMALL, **fields)


def trained(recipe: Recipe, images: ImageSet, **options: Any) -> Trained:
    found = train_network("small", recipe, images, seed=1, **options)
    assert found is not None
    return found


def stopped_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The run's time is over after so many steps of this process."""
    step, done = Trainer.step, [0]

    def counted(self: Trainer, *batch: torch.Tensor) -> None:
        step(self, *batch)
        done[0] += 1

    monkeypatch.setattr(Trainer, "step", counted)
    monkeypatch.setattr(papers.time, "monotonic", lambda: 1e9 if done[0] >= steps else 0.0)


RECIPES = {
    "all": SMALL,
    "stochastic": changed(sampling="linear", sampling_value=0.5, test_scaling=True),
    "exactly": changed(sampling="exactly", sampling_value=2, reestimate=True),
    "dropout": changed(
        residual=NetworkSpec(units=(1, 1, 1), widths=(4, 8, 16), unit=UnitSpec(order="original", shortcut="dropout"))
    ),
    "validation": changed(validation=50, tested="best-validation"),
    "plain": changed(residual=None, plain=PlainSpec(layers=3, width=8, pools=(2,))),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("steps", [5, 12, 20])
def test_a_continued_run_is_the_uninterrupted_one(
    name: str, steps: int, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch (of 12 steps, or 9), and between two; the pieces of a network, and everything that it showed."""
    whole = trained(RECIPES[name], images)
    with monkeypatch.context() as patch:
        stopped_after(patch, steps)
        kept = tmp_path / "run"
        assert train_network("small", RECIPES[name], images, seed=1, keep=kept, until=1.0) is None
    again = trained(RECIPES[name], images, keep=kept)
    assert asdict(again.curves) == asdict(whole.curves)
    assert all(torch.equal(again.state[key], value) for key, value in whole.state.items())


def test_it_learns_and_shows_how(images: ImageSet) -> None:
    reports: list[tuple[int, int]] = []
    longer = changed(epochs=8, drops=(7,))
    found = trained(longer, images, report=lambda done, of: reports.append((done, of)))
    assert found.curves.test_error[-1] < 20.0
    assert found.curves.loss[-1] < found.curves.loss[0] / 2
    assert found.curves.training_error[0] > found.curves.training_error[-1]
    assert len(found.curves.stem_gradient) == len(found.curves.test_error) == 8
    assert found.curves.validation_error == ()
    assert reports[:2] == [(12, 96), (24, 96)]
    assert found.diverged is None
    assert found.seconds_per_step > 0


def test_iterations_end_within_an_epoch(images: ImageSet) -> None:
    found = trained(changed(iterations=17, epochs=60, drops=(10,)), images)
    assert len(found.curves.loss) == 2


def test_the_network_of_the_best_validation_error_is_tested(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter([30.0, 10.0, 20.0, 50.0, 10.0, 60.0])  # validation and test, epoch by epoch
    states: list[torch.Tensor] = []

    def error(run: Any, _images: object) -> float:
        states.append(run.network.classifier.weight.detach().clone())
        return next(errors)

    monkeypatch.setattr(papers._Run, "_error", error)
    found = trained(changed(validation=50, tested="best-validation"), images)
    assert found.curves.validation_error == (30.0, 20.0, 10.0)
    assert torch.equal(found.state["classifier.weight"], states[4])
    errors = iter([10.0, 10.0, 20.0, 50.0, 10.0, 60.0])
    states.clear()
    first = trained(changed(validation=50, tested="best-validation"), images)
    assert torch.equal(first.state["classifier.weight"], states[0]), "of equals the first"


def test_divergence_is_a_result(images: ImageSet) -> None:
    found = trained(changed(lr=1e30), images)
    assert found.diverged == 1
    assert not math.isfinite(found.curves.loss[0])
    assert len(found.curves.loss) == 1
    assert found.curves.test_error == (100.0,), "an output that is not finite is wrong"


def test_what_diverged_is_measured_and_judged(images: ImageSet) -> None:
    """ "fail" in He's table 1: at least 20 % error, and a training loss above that of any network that learned."""
    results = {}
    for name, recipe in {"diverged": changed(lr=1e30), "learned": SMALL}.items():
        assert recipe.residual is not None
        network, found = ResidualNetwork(recipe.residual), trained(recipe, images)
        network.load_state_dict(found.state)
        saved = Saved(network.eval(), 1, found.curves, "0" * 64, "float32", {})
        (member,) = measuring.Tested(images).target(name, recipe, saved).members
        results[name] = evaluation(member)
    error = accuracy.test_error((results["diverged"],), network="diverged")
    assert compare(AtLeast(bound=20.0), error).status is Status.HOLDS
    losses = accuracy.training_losses([(one,) for one in results.values()], networks=list(results))
    assert losses.value["diverged"] == pytest.approx(math.log(10)), "as if it guessed"
    above = Ratio(over="diverged", under="learned", at_least=1.0)
    assert compare(above, losses).status is Status.HOLDS
    below = Ratio(over="diverged", under="learned", at_most=1.0)
    assert compare(below, losses).status is Status.VIOLATED


def test_bf16_learns_the_same_with_weights_in_float32(images: ImageSet) -> None:
    found, exact = trained(SMALL, images, precision="bf16"), trained(SMALL, images)
    assert found.state["classifier.weight"].dtype == torch.float32
    assert found.curves.loss != exact.curves.loss
    assert found.curves.loss == pytest.approx(exact.curves.loss, rel=0.1)


def test_a_state_belongs_to_its_run(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopped_after(patch, 2)
        train_network("small", SMALL, images, seed=1, keep=kept, until=1.0)
    before = kept.read_bytes()
    with pytest.raises(UserError, match=r"run: the state of another run \(seed 1, not 2\); remove it to begin anew"):
        train_network("small", SMALL, images, seed=2, keep=kept)
    with pytest.raises(UserError, match=r"the state of another run \(recipe"):
        train_network("small", changed(lr=0.2), images, seed=1, keep=kept)
    assert kept.read_bytes() == before
    identity = json.loads(unpacked(before)[1]["identity"])
    changed_byte = bytearray(before)
    changed_byte[-1] ^= 1
    for damaged in (before[:1000], b"", b"{}" * 50, before[:-1], bytes(changed_byte)):
        kept.write_bytes(damaged)
        with pytest.raises(Damaged, match=r"not the state of a training run .*; remove it to begin anew"):
            read_state(kept, identity)
    with pytest.raises(UserError, match="--precision fp8: one of float32, tf32, bf16"):
        train_network("small", SMALL, images, seed=1, precision="fp8")


def test_a_damaged_state_is_set_aside_and_the_training_begun_anew(images: ImageSet, tmp_path: Path) -> None:
    kept = tmp_path / "run"
    kept.write_bytes(b"torn")
    with noticing() as aside:
        found = train_network("small", SMALL, images, seed=1, keep=kept)
    assert found is not None
    assert aside == [str(tmp_path / "run.damaged-1")]
    assert (tmp_path / "run.damaged-1").read_bytes() == b"torn"
    assert found.curves == trained(SMALL, images).curves


def test_the_state_is_kept_every_while(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed run finds: here every step is a while."""
    kept = tmp_path / "run"
    clock = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(papers.time, "monotonic", lambda: float(next(clock)))
    seen = []

    def killed(self: Trainer, *_batch: torch.Tensor) -> None:
        if self.done == 3:
            raise KeyboardInterrupt
        self.done += 1
        seen.append(time.perf_counter())

    monkeypatch.setattr(Trainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_network("small", SMALL, images, seed=1, keep=kept)
    state = read_state(kept, papers._Run("small", SMALL, images, 1, "cpu", "float32", None, Share()).identity)
    assert state is not None
    assert state.values["done"] == 3


def test_ctrl_c_keeps_the_state_of_the_step_under_way(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, kept = trained(SMALL, images), tmp_path / "run"
    step, before = Trainer.step, signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(self: Trainer, *batch: torch.Tensor) -> None:
        if self.done == 17:
            signal.raise_signal(signal.SIGINT)
        step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(SMALL, images, keep=kept)
    state = read_state(kept, papers._Run("small", SMALL, images, 1, "cpu", "float32", None, Share()).identity)
    assert state is not None
    assert state.values["done"] == 18
    again = trained(SMALL, images, keep=kept)
    assert asdict(again.curves) == asdict(whole.curves)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
