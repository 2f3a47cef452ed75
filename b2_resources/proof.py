"""Proof that bytes which came are the bytes that were put, taken while they pass by.

Where they come from and go to is in the stores.
"""

import hashlib
from collections.abc import Iterable, Iterator

from b2_resources.object_store import ObjectCorruptError, StoredObject


def proven(stored: StoredObject, place: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks again; raises ObjectCorruptError behind the last when size or sha256 differ."""
    digest, size_bytes = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size_bytes += len(block)
        yield block
    if size_bytes != stored.size_bytes or stored.sha256 not in (None, digest.hexdigest()):
        raise ObjectCorruptError(f"{place}: the bytes that came are not the ones that were put")


def check_said(key: str, said: str | None, sha256: str) -> None:
    """Raises ObjectCorruptError when the caller of a put had promised another sha256."""
    if said not in (None, sha256):
        raise ObjectCorruptError(f"{key!r}: the bytes to put have another sha256 than said")


def cut(blocks: Iterable[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """The bytes from `start` up to, not including, `end` out of a whole."""
    position = 0
    for block in blocks:
        piece = block[max(0, start - position) : None if end is None else max(0, end - position)]
        position += len(block)
        if piece:
            yield piece
        if end is not None and position >= end:
            return
