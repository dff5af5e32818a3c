"""Bytes with their digest behind them: a file of the cache that was damaged is known, whatever was in it."""

from __future__ import annotations

import hashlib

__all__ = ["sealed", "unsealed"]

_LENGTH = hashlib.sha256().digest_size


def sealed(content: bytes) -> bytes:
    """``content``, followed by its SHA-256 (32 bytes)."""
    return content + hashlib.sha256(content).digest()


def unsealed(content: bytes) -> bytes:
    """What was sealed.

    Raises:
        ValueError: it is not that any more.
    """
    inner = content[:-_LENGTH]
    if content[len(inner) :] != hashlib.sha256(inner).digest():
        raise ValueError("damaged: its digest is another one")
    return inner
