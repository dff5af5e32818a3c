"""What differs between two records, in words and numbers for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from resbench.records.evidence import Evidence, Made, Subject, restored
from resbench.records.seeds import SeedRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resbench.timing.record import TimingRun

__all__ = ["differences", "provenance"]


def differences(first: Evidence | SeedRecord | TimingRun, second: Evidence | SeedRecord | TimingRun) -> list[str]:
    """What differs in what was measured and on what, a line each; empty where that is the same.

    Where and when it was made is :func:`provenance`.
    """
    if type(first) is not type(second):
        return [f"{type(first).__name__} against {type(second).__name__}"]
    if isinstance(first, Evidence) and isinstance(second, Evidence):
        return list(_of_evidence(first, second))
    if isinstance(first, SeedRecord) and isinstance(second, SeedRecord):
        return list(_of_seeds(first, second))
    return list(_of_timing(first, second))  # type: ignore[arg-type]


def provenance(first: Evidence | SeedRecord | TimingRun, second: Evidence | SeedRecord | TimingRun) -> list[str]:
    """What differs in where, when and how long, a line each."""
    return list(_fields("made", _made(first), _made(second)))


def _made(record: Evidence | SeedRecord | TimingRun) -> Mapping[str, Any]:
    if isinstance(record, Evidence):
        return _plain(record.made)
    at = record.at if isinstance(record, SeedRecord) else record.created
    return {"at": at, "environment": record.environment}


def _of_evidence(first: Evidence, second: Evidence) -> Iterator[str]:
    for name in ("setting", "network", "experiment"):
        yield from _fields("", {name: getattr(first, name)}, {name: getattr(second, name)})
    if first.version != second.version:
        yield f"version of the experiment {first.version} -> {second.version}"
    yield from _fields("", _plain(first.subject), _plain(second.subject))
    if first.members == second.members:
        return
    ours, theirs = restored(first), restored(second)
    if len(ours) != len(theirs):
        yield f"members {len(ours)} -> {len(theirs)}"
        return
    for index, (mine, yours) in enumerate(zip(ours, theirs, strict=True)):
        of = f" of member {index}" if len(ours) > 1 else ""
        for name in sorted({*mine, *yours}):
            if name not in mine or name not in yours:
                yield f"{name}{of}: only in the {'second' if name in yours else 'first'}"
            else:
                yield from _arrays(f"{name}{of}", mine[name], yours[name])


def _arrays(name: str, first: NDArray[Any], second: NDArray[Any]) -> Iterator[str]:
    """``wrong: 12 of 550,000 values differ; true 7.12 % -> 7.13 %``."""
    import numpy as np

    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        yield f"{name}: {_shape(first)} -> {_shape(second)}"
        return
    unlike = first != second
    if first.dtype.kind == "f":
        unlike &= ~(np.isnan(first) & np.isnan(second))
    count = int(np.count_nonzero(unlike))
    if not count:
        return
    text = f"{name}: {count:,} of {first.size:,} values differ"
    if first.dtype.kind == "b":
        text += f"; true {100 * first.mean():.4g} % -> {100 * second.mean():.4g} %"
    elif first.dtype.kind == "U":
        text += f"; the first {str(first[unlike][0])!r} -> {str(second[unlike][0])!r}"
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(first[unlike].astype(float) - second[unlike].astype(float)).max()
            text += f", by {apart:.4g} at most; mean {first.mean():.6g} -> {second.mean():.6g}"
    yield text


def _shape(array: NDArray[Any]) -> str:
    return f"{' x '.join(map(str, array.shape)) or 'one'} {array.dtype.name}"


def _of_seeds(first: SeedRecord, second: SeedRecord) -> Iterator[str]:
    yield from _fields(
        "", {"setting": first.setting, "seed": first.seed}, {"setting": second.setting, "seed": second.seed}
    )
    for id in sorted({*first.claims, *second.claims}):
        mine, yours = first.claims.get(id), second.claims.get(id)
        if mine is None or yours is None:
            yield f"{id}: only in the {'second' if mine is None else 'first'}"
        elif mine != yours:
            yield f"{id}: {', '.join(_of_claim(mine, yours))}"


def _of_claim(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    said = False
    if first["fingerprint"] != second["fingerprint"]:
        said = True
        yield "the claim changed"
    if first["status"] != second["status"]:
        said = True
        yield f"{first['status']} -> {second['status']}"
    values = [[check.get("measured") for check in entry["checks"]] for entry in (first, second)]
    for mine, yours in zip(*values, strict=False):
        if mine != yours:
            said = True
            yield f"measured {_short(mine)} -> {_short(yours)}"
    if not said:
        yield "other raw values"


def _of_timing(first: TimingRun, second: TimingRun) -> Iterator[str]:
    yield from _fields("", {"fingerprint": first.fingerprint}, {"fingerprint": second.fingerprint})
    mine, yours = first.by_key(), second.by_key()
    for key in sorted({*mine, *yours}):
        if key not in mine or key not in yours:
            yield f"{key}: only in the {'second' if key in yours else 'first'}"
        elif mine[key] != yours[key]:
            medians = [
                statistics.median(s for one in record.rounds for s in one.seconds) if record.rounds else None
                for record in (mine[key], yours[key])
            ]
            before, after = medians
            if before is None or after is None:
                yield f"{key}: {'not measured' if before is None else 'measured'} -> {'not ' * (after is None)}measured"
            else:
                yield f"{key}: median {before:.4g} s -> {after:.4g} s ({100 * (after / before - 1):+.1f} %)"


def _fields(of: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """Fields with other values, those of groups under the group's name."""
    for name in [*first, *(key for key in second if key not in first)]:
        mine, yours, path = first.get(name), second.get(name), f"{of}.{name}" if of else name
        if isinstance(mine, Mapping) and isinstance(yours, Mapping):
            yield from _fields(path, mine, yours)
        elif mine != yours:
            yield f"{path} {_short(mine)} -> {_short(yours)}"


def _plain(part: Subject | Made) -> Mapping[str, Any]:
    return msgspec.structs.asdict(part)


def _short(value: object) -> str:
    """A value in a line: numbers in six digits, hashes and long text by their ends."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value) or "''"
    return text if len(text) <= 40 else f"{text[:12]}...{text[-12:]}"
