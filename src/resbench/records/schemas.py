"""Versions of files: which schema a document is of, the steps from older ones, and the digest of its content.

A kind of record has a name and a number, ``resbench.evidence/2``.  Whoever changes what such a file holds raises the
number and adds the step from the one before; older files are then read as they are (each step in turn), and
``resbench records migrate`` writes them anew.  The digest is over everything else in the file: one changed byte is
damage, wherever it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from resbench.errors import Damaged, UserError

__all__ = ["Document", "Schema", "digest_of", "one_line", "schema_of"]

Document = dict[str, Any]
T = TypeVar("T", bound=msgspec.Struct)


class _Head(msgspec.Struct):
    schema: str


@dataclass(frozen=True)
class Schema(Generic[T]):
    """``type``: what the present number decodes to, with fields ``schema`` and ``digest``.  ``what``: for messages.

    ``steps``: number to the function that takes a document of it to the next; it raises ValueError where the document
    is not what it should be.  Every number from the first of ``steps`` to ``number`` is read.
    """

    name: str
    number: int
    type: type[T]
    steps: Mapping[int, Callable[[Document], Document]]
    what: str

    @property
    def tag(self) -> str:
        return f"{self.name}/{self.number}"

    def encode(self, record: T) -> bytes:
        """The file of a record, with its digest: readable, and ended by a line feed.

        Raises:
            UserError: it could not be read again (it has a number that JSON has not).
        """
        document = msgspec.json.decode(msgspec.json.encode(record))
        try:
            msgspec.convert(document, self.type)
        except ValueError as error:
            raise UserError(f"{self.what} cannot be recorded: {one_line(error)}") from error
        document = {**document, "digest": digest_of(document)}
        return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"

    def decode(self, content: bytes, path: Path, way_out: str) -> T:
        """The record in a file's content, taken to the present number where it is of an older one.

        Raises:
            Damaged: it is none of this schema, or its digest is another one.
            UserError: it is of a newer resbench.
        """
        try:
            document = msgspec.json.decode(content)
            number = self._number(document["schema"])
            if number is not None and number > self.number:
                raise UserError(f"{path}: {self.what} of a newer resbench ({self.name}/{number}); update resbench")
            if number != self.number:
                document = self._upgraded(document, number)
            record = msgspec.convert(document, self.type)
            right = document.get("digest") == digest_of(document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged(path, f"not {self.what} ({one_line(error)})", way_out) from error
        if not right:
            raise Damaged(path, "its content is not what was recorded (another digest)", way_out)
        return record

    def _number(self, tag: Any) -> int | None:
        name, _, number = tag.rpartition("/")
        return int(number) if name == self.name and re.fullmatch("[1-9][0-9]{0,3}", number) else None

    def _upgraded(self, document: Document, number: int | None) -> Document:
        if number is None or number not in self.steps:
            raise ValueError(f"schema {document['schema']!r} instead of {self.tag!r}")
        while number < self.number:
            document = {**self.steps[number](document), "schema": f"{self.name}/{number + 1}"}
            number += 1
        return {**document, "digest": digest_of(document)}


def schema_of(content: bytes) -> str:
    """What a file says that it is, ``resbench.evidence/2``; empty of anything else."""
    try:
        return msgspec.json.decode(content, type=_Head).schema
    except (ValueError, RecursionError):
        return ""


def digest_of(document: Document) -> str:
    """SHA-256 of a document but its ``digest``, whatever the order of its keys.

    Of the document as it is in the file: a field that a later resbench adds with a default changes no digest.
    """
    rest = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(msgspec.json.encode(rest, order="deterministic")).hexdigest()


def one_line(error: BaseException) -> str:
    """What an error says, in a line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]} ..."
