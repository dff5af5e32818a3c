"""Faults of what training leaves: the state of an interrupted run, the network that counts, what is loaded of it."""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import Tensor

from resbench.data import cifar10
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, together, wrapped
from resbench.networks import sampling
from resbench.training import checkpoints, loop, papers, trainer

__all__ = ["FAULTS"]


# --- the state of a run ---------------------------------------------------------------------------------------------


def momentum_lost_at_resume() -> Injected:
    """A continued run begins with empty momentum buffers."""

    def faulty(original: Function) -> Function:
        def restore(self: trainer.Trainer, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
            original(self, {k: v for k, v in tensors.items() if not k.startswith("momentum.")}, values)

        return restore

    return wrapped(trainer.Trainer, "restore", faulty)


def draws_restart_at_resume() -> Injected:
    """A continued run draws the units of its first steps again."""
    return replaced(sampling._Seeded, "restore", lambda self, states: None)


def last_for_best() -> Injected:
    """The last epoch's network is tested where the recipe says that of the best validation error."""

    def faulty(original: Function) -> Function:
        def trained(self: Any) -> Any:
            self.best = papers._Best()
            return original(self)

        return trained

    return wrapped(papers._Run, "_trained", faulty)


def held_out_trained_on() -> Injected:
    """The images held out for validation are among those trained on."""

    def faulty(original: Function) -> Function:
        def split(data: Any, validation: int, *arguments: Any) -> tuple[Tensor, Tensor]:
            train, held_out = original(data, validation, *arguments)
            return torch.cat([train, held_out]), held_out

        return split

    return wrapped(cifar10, "split", faulty)


# --- the network that is tested -------------------------------------------------------------------------------------


def statistics_not_measured_again() -> Injected:
    """Batch statistics stay those of networks with dropped units, where the recipe has them measured again."""
    return replaced(loop, "reestimate_statistics", lambda network, images, batch=256: None)


def scaled_whatever_the_recipe() -> Injected:
    """Branches are multiplied by their probability at test time also where the recipe says that they are not."""

    def faulty(original: Function) -> Function:
        return lambda network, recipe: original(network, msgspec.structs.replace(recipe, test_scaling=True))

    return wrapped(loop, "apply_test_scaling", faulty)


def curves_exchanged() -> Injected:
    """The columns of the recorded curves are read in another order than they were written in."""

    def faulty(original: Function) -> Function:
        def member(*arguments: Any) -> Any:
            found = original(*arguments)
            curves = found.curves
            object.__setattr__(
                found, "curves", loop.Curves(curves.loss, curves.stem_gradient, curves.depth, curves.training_error)
            )
            return found

        return member

    return wrapped(checkpoints, "_member", faulty)


_EXCHANGED = (
    ("original", "scale-05-1"),
    ("post-54", "post-54-stochastic"),
)


def checkpoint_of_another_network() -> Injected:
    """Files of networks with the same tensors are exchanged, and nothing checks whose they are."""

    def faulty(original: Function) -> Function:
        def read_index(folder: Any) -> dict[str, dict[str, Any]]:
            index = dict(original(folder))
            for one, other in _EXCHANGED:
                if one in index and other in index:
                    index[one], index[other] = index[other], index[one]
            return index

        return read_index

    def unverified(path: Any, *_: Any, **__: Any) -> Any:
        from resbench.training.packed import unpacked

        content = path.read_bytes()
        return content, unpacked(content)[1]

    return together(wrapped(checkpoints, "read_index", faulty), replaced(checkpoints, "_verified", unverified))


FAULTS: tuple[Fault, ...] = (
    described(
        "training",
        momentum_lost_at_resume,
        tests=("tests/training/test_papers.py::test_a_continued_run_is_the_uninterrupted_one[5-all]",),
    ),
    described(
        "training",
        draws_restart_at_resume,
        tests=("tests/training/test_papers.py::test_a_continued_run_is_the_uninterrupted_one[5-stochastic]",),
    ),
    described(
        "training",
        last_for_best,
        tests=("tests/training/test_papers.py::test_the_network_of_the_best_validation_error_is_tested",),
    ),
    described(
        "training",
        held_out_trained_on,
        tests=("tests/data/test_cifar10.py::test_the_split_has_equal_classes_and_is_the_same_for_everybody",),
    ),
    described(
        "training",
        statistics_not_measured_again,
        tests=("tests/training/test_loop.py::test_reestimated_statistics_are_those_of_the_tested_network",),
    ),
    described("training", scaled_whatever_the_recipe, "veit-23-modules-error@digits"),
    described("training", curves_exchanged, "huang-expected-depth@digits", "huang-grad-fig7@digits"),
    described(
        "training",
        checkpoint_of_another_network,
        "he-t1-scale05-worse@digits",
        "he-t2-relu-only-preact@digits",
    ),
)
