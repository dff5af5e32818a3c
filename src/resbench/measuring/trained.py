"""The networks of a setting that resbench trains: found where they were saved, else trained; and what is tested."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resbench.distributed import Ranks
from resbench.errors import Damaged, Stale, UserError
from resbench.experiments.recorded import TRAINED
from resbench.measuring.course import Course, Stopped, duration
from resbench.measuring.pace import Pace, device_name, probed, read_pace
from resbench.measuring.work import step_work
from resbench.records.aside import set_aside
from resbench.records.locking import held, locked
from resbench.records.places import baselines, partial_measurements, write_atomically

if TYPE_CHECKING:
    from resbench.data.cifar10 import ImageSet
    from resbench.targets.images import Images
    from resbench.training.checkpoints import Saved
    from resbench.training.papers import Trained
    from resbench.training.recipes import Recipe
    from resbench.training.target import Target

__all__ = [
    "COMMITTED_BYTES",
    "Places",
    "Shelf",
    "Tested",
    "check_training",
    "known_pace",
    "memory_errors",
    "provenance",
]

COMMITTED_BYTES = 8_000_000
"""A larger file stays in the user's cache; the hash in the records says which it was."""
_SAY_EVERY = 30.0


def check_training(setting: str, precision: str = "float32", data: str | None = None) -> None:
    """Reject what cannot be trained, before anything is loaded; ``data``: None where they are not known yet.

    Raises:
        UserError: no setting of the papers, no such precision, or no data.
    """
    from resbench.training.papers import PRECISIONS

    if setting not in TRAINED:
        raise UserError(f"--setting: no setting {setting!r} of the papers; there are {' and '.join(TRAINED)}")
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision}: one of {', '.join(PRECISIONS)}")
    if data == "":
        raise UserError("no data: give --data cifar10:ROOT (--download fetches it) or npz:FOLDER")


@dataclass(frozen=True)
class Places:
    """Where files of ``setting`` are.  ``chosen``: the user's folder of checkpoints, None for resbench's own."""

    setting: str
    chosen: Path | None = None

    def checkpoints(self, network: str, run: int) -> list[Path]:
        """Where a checkpoint may be; the first is for files that are committed, the last for large ones."""
        name = f"{network}.safetensors" if run == 1 else f"seed-{run}/{network}.safetensors"
        if self.chosen is not None:
            return [self.chosen / name]
        return [root / "checkpoints" / self.setting / name for root in (baselines(), partial_measurements())]

    def unfinished(self, network: str, run: int, *identity: str) -> Path:
        """The state of a training that is under way; ``identity``: what must be the same for it to go on."""
        what = "-".join((network, f"seed-{run}", *(part.replace(":", "") for part in identity))) + ".state"
        return partial_measurements() / "training" / self.setting / what

    def lock(self, network: str, run: int) -> Path:
        """Held by the process that trains or measures the network.

        Raises:
            UserError: the folder cannot be made.
        """
        folder = partial_measurements() / "training" / self.setting
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot write {folder}: {reason}; set RESBENCH_CACHE to another folder") from error
        return folder / f"{network}-seed-{run}.lock"

    def alone(self, network: str, run: int) -> AbstractContextManager[None]:
        """Holds :meth:`lock`.

        Raises:
            Held: another process does.
            UserError: the folder cannot be made.
        """
        return locked(self.lock(network, run), self.checkpoints(network, run)[0], "training or measuring")


@dataclass(frozen=True)
class Shelf:
    """The trained networks of one setting, on one data set, for one device."""

    places: Places
    recipes: Mapping[str, Recipe]
    data: ImageSet
    device: str
    precision: str

    @property
    def device_name(self) -> str:
        """Of the device and the precision, as paces are kept."""
        return device_name(self.device, self.precision)

    def pace(self, file: Path, networks: Collection[str]) -> Pace:
        """What is known of the device; where that is nothing, the smallest of ``networks`` is tried.

        Raises:
            UserError: the file cannot be read, or there is no memory.
        """
        pace = known_pace(file)
        if pace.devices.get(self.device_name):
            return pace
        smallest = min(networks, key=lambda name: (step_work(self.recipes[name]), name))
        recipe = self.recipes[smallest]
        with memory_errors(smallest, recipe, self.device):
            seconds = probed(recipe, self.device)
        return pace.noted(self.device_name, smallest, seconds, step_work(recipe))

    def has(self, network: str, run: int) -> bool:
        """Whether there is a checkpoint; it may turn out to be of another recipe."""
        return any(path.exists() for path in self.places.checkpoints(network, run))

    def find(self, network: str, run: int) -> Saved | None:
        """The saved network; None where there is none of the present recipe, data and code.

        A damaged file, or one of another network, is set aside.

        Raises:
            UserError: a file cannot be read; or one in the user's own folder is of another recipe.
        """
        from resbench.training.checkpoints import load_network

        recipe = self.recipes[network]
        for path in self.places.checkpoints(network, run):
            if not path.exists():
                continue
            try:
                saved = load_network(path, network, recipe, self.data.fingerprint, device=self.device)
                if saved.seed != run:
                    raise Stale(f"network {network} was trained with seed {saved.seed}, not {run}; remove the file")
                with suppress(OSError):  # of a run that was killed when it had just saved the network
                    self._state(network, run).unlink(missing_ok=True)
                return saved
            except Damaged as damage:
                set_aside(damage, "trained again")
            except Stale as reason:
                if self.places.chosen is not None:
                    raise UserError(f"checkpoint {path}: {reason}") from reason
                said = str(reason).partition(";")[0]
                print(f"resbench: {said}; trained and measured again", file=sys.stderr)
        return None

    def train(
        self, network: str, run: int, course: Course, expected: float, ranks: Ranks | None = None
    ) -> tuple[Saved, Trained]:
        """Train and save ``network``; what was begun by an earlier run goes on.  ``expected``: seconds, estimated.

        ``ranks``: processes that do it together; the first saves.

        Raises:
            Stopped: the time given has passed; the training goes on from its state when it is started again.
            Held: another process trains it, to be saved at the same place.
            UserError: the state or the checkpoint cannot be written.
        """
        course.check()
        among = ranks or Ranks()
        # Where other machines save as well, with caches of their own.
        place = self.places.checkpoints(network, run)[0]
        with held(place, f"training {network}") if among.world == 1 else nullcontext():
            return self._train(network, run, course, expected, among)

    def _train(self, network: str, run: int, course: Course, expected: float, among: Ranks) -> tuple[Saved, Trained]:
        from resbench.training.papers import train_network

        recipe, keep = self.recipes[network], self._state(network, run)
        begun = " (goes on)" if keep.exists() else ""
        own, all_ahead = (duration(seconds * course.pace) for seconds in (expected, course.ahead))
        course.say(network, f": training{begun}, about {own}; all that is planned: {all_ahead}")
        started = time.monotonic()
        trained = train_network(
            network,
            recipe,
            self.data,
            seed=run,
            device=self.device,
            precision=self.precision,
            keep=keep,
            until=course.until,
            report=_told(course, network),
            ranks=among,
        )
        if trained is None:
            raise Stopped
        if not begun:
            course.account(expected, time.monotonic() - started)
        if among.rank == 0:
            self._save(network, run, trained)
        among.meet()
        saved = self.find(network, run)
        assert saved is not None
        return saved, trained

    def _state(self, network: str, run: int) -> Path:
        """Where its training is kept while it is under way."""
        recipe = self.recipes[network].fingerprint
        return self.places.unfinished(network, run, recipe, self.data.fingerprint, self.precision, self.device)

    def _save(self, network: str, run: int, trained: Trained) -> None:
        from resbench.training.checkpoints import save
        from resbench.training.loop import Copy, TrainedCopy

        paths = self.places.checkpoints(network, run)
        copy = TrainedCopy(Copy(run, 0), trained.state, trained.curves, trained.seconds_per_step, 1)
        facts = {
            "device": trained.device,
            "precision": trained.precision,
            "images_per_second": float(f"{trained.images_per_second:.4g}"),
            "diverged": trained.diverged,
        }
        save(paths[-1], network, self.places.setting, self.recipes[network], self.data, [copy], facts)
        if len(paths) > 1 and paths[-1].stat().st_size <= COMMITTED_BYTES:
            write_atomically(paths[0], paths[-1].read_bytes())
            paths[-1].unlink()
        elif len(paths) > 1:
            paths[0].unlink(missing_ok=True)  # of another recipe, else it would have been found


def known_pace(file: Path) -> Pace:
    """What is known of devices; nothing where the file was damaged, which is then set aside.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return read_pace(file)
    except Damaged as damage:
        set_aside(damage, "begun anew")
        return Pace()


class Tested:
    """Trained networks with the images that they were trained on and are tested on, as experiments take them."""

    def __init__(self, data: ImageSet):
        import hashlib

        self.data = data
        self._train = _images(data, data.train, data.train_labels)
        self._test = _images(data, data.test, data.test_labels)
        self._parts: dict[int, Images] = {0: self._train}
        self.labels = hashlib.sha256(self._test.labels.numpy().tobytes()).hexdigest()

    def target(self, network: str, recipe: Recipe, saved: Saved) -> Target:
        """One member: the networks of a paper are tested on the test set, not on halves."""
        from resbench.training.target import Member, Target

        member = Member(saved.network, 0, self._trained_on(recipe.validation), self._test, saved.curves, thorough=True)
        return Target(network, recipe, saved.seed, (member,))

    def _trained_on(self, validation: int) -> Images:
        if validation not in self._parts:
            from resbench.data.cifar10 import split

            kept, _ = split(self.data, validation)
            self._parts[validation] = self._train.subset(kept)
        return self._parts[validation]


def provenance(saved: Saved, data: ImageSet) -> dict[str, Any]:
    """How a network was trained and on what, for its records; its curves are records of their own."""
    return {**saved.training, "images": data.name, "known_images": round(data.known, 6)}


@contextmanager
def memory_errors(network: str, recipe: Recipe, device: str) -> Iterator[None]:
    """A batch that does not fit is the user's to know of: a smaller one would be another recipe."""
    import torch

    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            f"{network}: out of memory on {device} with batches of {recipe.batch} images; free memory or use another "
            "--device (the batch belongs to the recipe and is not changed)"
        ) from error


def _images(data: ImageSet, pixels: Any, labels: Any) -> Images:
    from resbench.targets.images import Images

    return Images.of_pixels(pixels, labels, mean=data.mean, std=data.std)


def _told(course: Course, network: str) -> Callable[[int, int], None]:
    """Says now and then how far a training is, and how long it will take, by the steps since the first word of it."""
    first: list[tuple[int, float]] = []
    said = [time.monotonic()]

    def told(done: int, total: int) -> None:
        now = time.monotonic()
        if not first:
            first.append((done, now))
        steps, seconds = done - first[0][0], now - first[0][1]
        if now - said[0] < _SAY_EVERY or steps <= 0:
            return
        said[0] = now
        left = seconds / steps * (total - done)
        course.say(network, f": training, {100 * done / total:.0f} %, {duration(left)} left")

    return told
