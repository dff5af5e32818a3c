"""Faults of records: evidence and unfinished measurements that are not what was written, or not of this code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resbench.experiments import recorded
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.records import evidence, partial, places, schemas
from resbench.records.results import Request, Result
from resbench.training import checkpoints

__all__ = ["FAULTS"]


def other_versions_reused() -> Injected:
    """Records of another version of an experiment, recipe or checkpoint are judged as if they were of this one."""
    return replaced(recorded.RecordedLab, "_stale", lambda self, record: None)


def digest_of_nothing() -> Injected:
    """The digest of a record is the same whatever its arrays are."""
    return replaced(schemas, "digest_of", lambda document: 64 * "0")


def bits_from_the_other_end() -> Injected:
    """Truth values are unpacked from the other end of each byte than they were packed to."""

    def faulty(original: Function) -> Function:
        def unpacked(array: evidence.StoredArray) -> Any:
            found = original(array)
            if array.type != "bool":
                return found
            return (
                np.unpackbits(np.packbits(found.ravel()), count=found.size, bitorder="little")
                .astype(bool)
                .reshape(found.shape)
            )

        return unpacked

    return wrapped(evidence, "_unpacked", faulty)


def floats_always_single() -> Injected:
    """Floats are recorded in 32 bits, whether or not these hold them."""

    def faulty(original: Function) -> Function:
        return lambda array: original(array.astype(np.float32) if array.dtype.kind == "f" else array)

    return wrapped(evidence, "_packed", faulty)


def rows_off_by_one() -> Injected:
    """The rows of recorded lesions are read one too early: the last is taken for the whole network."""

    def faulty(original: Function) -> Function:
        def restored(record: evidence.Evidence) -> Result:
            found: Result = original(record)
            return tuple(
                {**member, "wrong": np.roll(member["wrong"], 1, axis=0)} if "wrong" in member else member
                for member in found
            )

        return restored

    return wrapped(evidence, "restored", faulty)


def runs_in_one_place() -> Injected:
    """Networks trained with other seeds are recorded over the first."""

    def faulty(original: Function) -> Function:
        def path(folder: Path, request: Request, *, run: int = 1) -> Path:
            return Path(original(folder, request))

        return path

    return wrapped(evidence, "evidence_path", faulty)


def median_of_few() -> Injected:
    """The median of the runs is judged however few there are."""
    return replaced(recorded, "RUNS_FOR_A_MEDIAN", 1)


def unfinished_runs_shared() -> Injected:
    """Measurements of an interrupted run are reused by other code, other checkpoints and other devices."""

    def faulty(original: Function) -> Function:
        return lambda self, root, fingerprint: original(self, root, "shared")

    return wrapped(partial.PartialResults, "__init__", faulty)


def written_in_place() -> Injected:
    """Files are written where they are read: half of one is there when the disk is full or the process dies."""

    def faulty(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return replaced(places, "write_atomically", faulty)


def hash_unchecked() -> Injected:
    """The hash of a checkpoint is not compared with the one in the index."""

    def faulty(original: Function) -> Function:
        return lambda path, name, recipe, data, hint, sha256=None: original(path, name, recipe, data, hint)

    return wrapped(checkpoints, "_verified", faulty)


_EVIDENCE = "tests/records/test_evidence.py::"
_RECORDED = "tests/experiments/test_recorded.py::"

FAULTS: tuple[Fault, ...] = (
    described(
        "records",
        rows_off_by_one,
        "veit-single-delete-downsampling@cifar10-public",
        "veit-single-delete-vgg@cifar10-public",
    ),
    described("records", other_versions_reused, tests=(_RECORDED + "test_another_version_of_the_experiment_is_stale",)),
    described(
        "records", median_of_few, tests=(_RECORDED + "test_the_first_of_few_runs_is_judged_and_the_median_of_five",)
    ),
    described("records", bits_from_the_other_end, tests=(_EVIDENCE + "test_what_is_written_is_read",)),
    described("records", digest_of_nothing, tests=(_EVIDENCE + "test_arrays_that_were_changed",)),
    described(
        "records", floats_always_single, tests=(_EVIDENCE + "test_floats_come_back_exactly_however_they_are_stored",)
    ),
    described("records", runs_in_one_place, tests=(_EVIDENCE + "test_further_runs_are_beside_the_first",)),
    described(
        "records",
        unfinished_runs_shared,
        tests=("tests/records/test_partial.py::test_another_fingerprint_shares_nothing",),
    ),
    described(
        "records", written_in_place, tests=("tests/records/test_places.py::test_a_full_disk_leaves_the_old_content",)
    ),
    described("records", hash_unchecked, tests=("tests/training/test_checkpoints.py::test_wrong_hash",)),
)
