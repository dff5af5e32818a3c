"""What can happen to a file: flipped bits, lost and doubled pieces, other digits, values of other types."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["EDITS", "edited"]

Edit = Callable[[bytes, random.Random], bytes]

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "0", "a",
    "\x00", "../../../../etc/passwd", "<script>", "\ud800", "9" * 5000, [], {}, [[]], [None], {"": None},
    [1, "a", None], [[1, 2], [3]],
)  # fmt: skip
"""What a field is given instead of its value."""


def _flipped(content: bytes, generator: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 8))):
        changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _flipped_at_the_start(content: bytes, generator: random.Random) -> bytes:
    """Headers are short and say most."""
    first = content[:256]
    return _flipped(first, generator) + content[len(first) :]


def _flipped_at_the_end(content: bytes, generator: random.Random) -> bytes:
    """Archives have their table of contents there."""
    cut = max(0, len(content) - 256)
    return content[:cut] + _flipped(content[cut:], generator)


def _truncated(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(len(content))]


def _piece_lost(content: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(len(content))
    return content[:start] + content[start + generator.choice((1, 2, 16, 512)) :]


def _piece_doubled(content: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(len(content))
    stop = start + generator.choice((1, 2, 16, 512))
    return content[:stop] + content[start:stop] + content[stop:]


def _block_of_zeros(content: bytes, generator: random.Random) -> bytes:
    """What a crash leaves of a file that was not synchronised."""
    start = generator.randrange(len(content))
    length = min(generator.choice((1, 16, 4096)), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def _something_else(content: bytes, generator: random.Random) -> bytes:
    return generator.choice(
        (
            b"",
            b"\x00",
            b"{}",
            b"[]",
            b"null",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"\xff\xfe\x00",
            b"<html></html>",
            generator.randbytes(200),
            (2**62).to_bytes(8, "little") + content,
        )
    )


def _other_digit(content: bytes, generator: random.Random) -> bytes:
    """The nastiest: all is well but one number."""
    places = [index for index, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return _flipped(content, generator)
    chosen = generator.choice(places)
    other = generator.choice([digit for digit in b"0123456789" if digit != content[chosen]])
    return content[:chosen] + bytes((other,)) + content[chosen + 1 :]


def _line_moved(content: bytes, generator: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    line = lines.pop(generator.randrange(len(lines)))
    if generator.random() < 0.5:
        lines.insert(generator.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _other_field(content: bytes, generator: random.Random) -> bytes:
    """One node of a JSON document, or of the JSON header of a safetensors file, is another, missing or renamed."""
    if content[8:9] == b"{":
        length = int.from_bytes(content[:8], "little")
        header = _other_field(content[8 : 8 + length], generator)
        return len(header).to_bytes(8, "little") + header + content[8 + length :]
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return _other_digit(content, generator)
    holder, key = generator.choice(_places(document) or [({"": 0}, "")])
    action = generator.random()
    if action < 0.15:
        del holder[key]
    elif action < 0.25 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = generator.choice(_ODD)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every value of a document, as what holds it and where: shallow ones as often as all below them."""
    found: list[tuple[Any, Any]] = []
    entries: Sequence[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        entries = list(node.items())
    elif isinstance(node, list):
        entries = list(enumerate(node[:20]))
    for key, value in entries:
        below = _places(value)
        found += [(node, key)] * max(1, min(len(below), 5)) + below
    return found


EDITS: tuple[Edit, ...] = (
    *(_flipped, _flipped, _flipped_at_the_start, _flipped_at_the_end, _truncated, _piece_lost, _piece_doubled),
    *(
        _block_of_zeros,
        _something_else,
        _other_digit,
        _other_digit,
        _line_moved,
        _other_field,
        _other_field,
        _other_field,
    ),
)
"""The likelier ones stand there several times."""


def edited(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    """``content`` with one thing wrong, and what: never the same bytes."""
    while True:
        edit = generator.choice(EDITS)
        found = edit(content, generator)
        if found != content:
            return edit.__name__.removeprefix("_").replace("_", " "), found
