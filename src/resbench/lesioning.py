"""What `resbench lesion` and :func:`resbench.lesion` do: the errors of a network whose units are deleted or moved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resbench.distributed import Ranks
from resbench.errors import NotMeasured, UserError
from resbench.lesions.listing import MODES, PRECISIONS, Drawing
from resbench.targets.options import TargetOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from resbench.lesions.plans import Plan
    from resbench.lesions.running import Runner, Store
    from resbench.targets.images import Images
    from resbench.targets.target import UserTarget

__all__ = ["SCHEMA", "LesionOptions", "lesion", "lesions_of"]

SCHEMA = "resbench.lesion/1"


@dataclass(frozen=True)
class LesionOptions:
    """``modes``: of :data:`resbench.lesions.listing.MODES`.  ``exclude``: units that are left alone, by number from 1
    or name; None for the first of every stage, which random lesions leave alone (the paper's protocol).

    ``precision``: ``float32``; ``screened``: float32's predictions, most of them by way of bfloat16 (see
    :mod:`resbench.lesions.screening`); ``bfloat16``, and ``tf32`` on a GPU: their own predictions.  ``compiled``:
    compile units where that makes them faster.  ``fresh``: do not go on with an interrupted run.
    """

    modes: tuple[str, ...] = ("single",)
    drawing: Drawing = field(default_factory=Drawing)
    exclude: tuple[str, ...] | None = None
    precision: str = "float32"
    compiled: bool = False
    fresh: bool = False

    def check(self) -> None:
        """Reject what no network could make good.

        Raises:
            UserError: an unknown mode or precision, or numbers out of range.
        """
        for mode in self.modes:
            if mode not in MODES:
                raise UserError(f"--mode {mode}: choose from {', '.join(MODES)}")
        if not self.modes:
            raise UserError(f"no mode: choose from {', '.join(MODES)}")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision {self.precision}: choose from {', '.join(PRECISIONS)}")
        for name, numbers in (("k", self.drawing.ks), ("swaps", self.drawing.swaps)):
            if not numbers or min(numbers) < 1:
                raise UserError(f"--{name}: numbers from 1, such as 1-20 or 1,2,5")
        if self.drawing.draws < 1 or self.drawing.seed < 0:
            raise UserError("--draws and --seed: at least one draw, and a seed that is not negative")


def lesion(
    model: nn.Module,
    data: Images | tuple[Tensor, Tensor],
    *,
    modes: Sequence[str] = ("single",),
    ks: Sequence[int] = Drawing.ks,
    swaps: Sequence[int] = Drawing.swaps,
    draws: int = Drawing.draws,
    exclude: Sequence[str] | None = None,
    precision: str = "float32",
    compiled: bool = False,
    units: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """The test errors of a live model under lesions (Veit 2016, section 4), in eval mode.

    The model is measured where it is, by a copy of it, and left as it was.  Nothing is kept for a later run.

    Args:
        model: images ``(N, C, H, W)`` to logits ``(N, classes)``.
        data: normalised images ``(N, C, H, W)`` and labels ``(N,)``, or :class:`resbench.targets.images.Images`.
        modes: ``single`` (each unit deleted), ``multi`` (``ks`` random ones), ``reorder`` (``swaps`` random exchanges),
            ``duplicate`` (``ks`` random ones twice), ``pairs`` (every two deleted: how far they interact).
        ks: how many units a random lesion deletes, or duplicates; 1 to 20 where not given.
        swaps: how many exchanges a random order is away; 1 to 10 where not given.
        draws: random lesions of each number; 10 where not given.
        exclude: units that are left alone, by number from 1 or name; None for the first of every stage, which random
            lesions leave alone (the paper's protocol).
        precision: ``float32``; ``screened``: float32's predictions, most of them by way of bfloat16; ``bfloat16``, and
            ``tf32`` on a GPU: their own predictions.
        compiled: compile units where that makes them faster.
        units: globs that choose the units, as for :func:`resbench.adapt`.
        seed: of the random lesions.

    Returns:
        What ``resbench lesion --format json`` prints: ``baseline_error``, ``units``, ``n_images`` and a list for each
        mode; errors in percent, changes in percentage points, intervals 95 %.

    Raises:
        UserError: bad input.
        NotMeasured: a mode of which this network has no lesion.

    Examples:
        >>> found = lesion(model, (images, labels), modes=["single", "pairs"])
        >>> max(found["single"], key=lambda record: record["delta"])["name"]
        'layer2.0'
    """
    from resbench.experiments.probes import modes_kept
    from resbench.targets.load import target_of

    options = LesionOptions(
        tuple(modes),
        Drawing(tuple(ks), tuple(swaps), draws, seed),
        None if exclude is None else tuple(exclude),
        precision,
        compiled,
        fresh=True,
    )
    options.check()
    with modes_kept(model):
        found = _measured(target_of(model, None, units=units, data=data, seed=seed), options, Ranks())
        assert found is not None
        return found


def lesions_of(described: TargetOptions, options: LesionOptions, ranks: Ranks | None = None) -> dict[str, Any] | None:
    """The same of a target that options describe; it is named on standard error, and an interrupted run continued.

    ``ranks``: the processes that share the lesions out; None is returned elsewhere than on rank 0.

    Raises:
        UserError, NotMeasured: as for :func:`lesion`.
    """
    from resbench.checking import check_device, loaded_target

    options.check()
    described.check()
    if not described.data:
        raise UserError("lesions are measured on labelled images: give --data " + _FORMS)
    among = ranks or Ranks()
    described = replace(described, device=among.device(described.device))
    check_device(described.device)
    with among.in_turn() if described.download else nullcontext():
        target = loaded_target(described)
    return _measured(target, options, among)


_FORMS = "(digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE)"


def _measured(target: UserTarget, options: LesionOptions, ranks: Ranks) -> dict[str, Any] | None:
    import warnings

    import numpy as np

    from resbench.lesions.listing import excluded_units, list_lesions
    from resbench.lesions.results import records_of, unit_records
    from resbench.lesions.running import Runner
    from resbench.records.environment import environment

    images = target.data
    if images is None:
        raise NotMeasured("lesions are measured on labelled images")
    excluded = excluded_units(target.units, options.exclude)
    lesions = list_lesions(target.units, options.modes, options.drawing, excluded, chosen=options.exclude is not None)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the model's own affair
        runner = Runner(target, images, options.precision, device=target.device, compiled=options.compiled)
        classes = _classes(runner, target, [each.plan for each in lesions], options, ranks)
    if classes is None:
        return None
    wrong = classes != images.labels.numpy().astype(np.int64)
    return {
        "schema": SCHEMA,
        "target": target.to_json(),
        "modes": list(dict.fromkeys(each.mode for each in lesions[1:])),
        "seed": options.drawing.seed,
        "excluded": list(excluded),
        **records_of(lesions, wrong),
        "units": unit_records(target.units),
        "engine": {**runner.notes, "seconds": time.perf_counter() - began, "lesions": len(lesions)},
        "environment": environment(),
    }


def _classes(
    runner: Runner, target: UserTarget, plans: Sequence[Plan], options: LesionOptions, ranks: Ranks
) -> NDArray[np.int32] | None:
    """What every plan predicts, ``(plans, images)``, of all ranks; None elsewhere than on rank 0."""
    import numpy as np

    from resbench.lesions.running import Store, fingerprint

    images = runner.images
    # Every rank would find the same; that of one holds should their machines differ.
    shared = runner.shares(plans, ranks.world) if ranks.world > 1 and ranks.rank == 0 else [list(range(len(plans)))]
    mine = ranks.share(shared)[0][ranks.rank]
    own = [plans[i] for i in mine]
    key = (
        ""
        if options.fresh
        else fingerprint(target, own, images.fingerprint(), f"{options.precision} on {target.device.type}")
    )
    store = Store(key, whole=ranks.world > 1, guard=ranks.undisturbed) if key and own else None
    if store is not None:
        store.check()
    began = time.perf_counter()
    found = _swept(runner, own, store, ranks)
    reused = store.reused if store is not None else 0
    parts = ranks.gather((mine, found, {"lesions": len(own), "seconds": time.perf_counter() - began, "reused": reused}))
    if store is not None:
        store.clear()
    if parts is None:
        return None
    classes = np.empty((len(plans), len(images)), dtype=np.int32)
    for positions, part, _ in parts:
        classes[positions] = part
    runner.notes["processes"] = ranks.world
    if ranks.world > 1:
        runner.notes["ranks"] = [notes for _, _, notes in parts]
    if key:
        # Of all lesions: where a rank goes on and another begins, the mean.
        runner.notes["reused_images"] = round(sum(n["lesions"] * n["reused"] for _, _, n in parts) / len(plans))
    return classes


def _swept(runner: Runner, plans: Sequence[Plan], store: Store | None, ranks: Ranks) -> NDArray[np.int32]:
    """What this rank's plans predict, with a bar."""
    import numpy as np

    from resbench.progress import CountProgress

    if not plans:
        return np.empty((0, len(runner.images)), dtype=np.int32)
    with CountProgress(len(runner.images)) as progress:

        def finished(images: int) -> None:
            progress.doing(f"{len(plans)} lesions", finished=images)

        return runner.run(plans, None, store, finished)
