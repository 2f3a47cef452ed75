"""Files on this machine, on their way into a store or out of one.

What a store does with the bytes is in the stores.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from b2_resources.object_store import BLOCK_BYTES, ObjectCorruptError
from outreach_core.errors import PermanentError

Identity = tuple[int, int, int]
"""Inode, size and time of change: another one is another file."""


def read_blocks(
    path: Path, block_bytes: int = BLOCK_BYTES, *, hashed: Identity | None = None
) -> Iterator[bytes]:
    """The file's bytes in blocks of that size.

    Raises PermanentError at the first block when it cannot be opened, and instead of the last when
    the file was changed meanwhile, or since it was `hashed`, so that nobody gives a name to half
    of each.
    """
    held = b""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            for block in file_blocks(file, block_bytes):
                if held:
                    yield held
                held = block
        after = path.stat()
    except OSError as error:
        raise PermanentError(f"cannot read {path}: {error.strerror}") from error
    if identity_of(before) != identity_of(after) or hashed not in (None, identity_of(after)):
        raise PermanentError(f"{path} was changed while it was being read; put it again")
    if held:
        yield held


def identity_of(found: os.stat_result) -> Identity:
    """What tells a file from what it was before it was changed."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def file_blocks(file: BinaryIO, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The rest of the file, in blocks of that size."""
    while block := file.read(block_bytes):
        yield block


def proven_blocks(path: Path, block_bytes: int, sha256: str) -> Iterator[bytes]:
    """`read_blocks`, and ObjectCorruptError instead of the last one when the sha256 is another.

    Whoever sends the blocks away then has nothing whole to give a name to.
    """
    digest, held = hashlib.sha256(), b""
    for block in read_blocks(path, block_bytes):
        digest.update(block)
        if held:
            yield held
        held = block
    if digest.hexdigest() != sha256:
        raise ObjectCorruptError(f"{path} has another sha256 than said")
    if held:
        yield held


def sha256_of(blocks: Iterable[bytes]) -> str:
    """The sha256 of the blocks one after the other, as lower-case hex."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def file_size(path: Path) -> int:
    """The file's size in bytes. Raises PermanentError when it is not there."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise PermanentError(f"cannot read {path}: {error.strerror}") from error


def write_whole(path: Path, blocks: Iterable[bytes]) -> None:
    """Write the blocks under the path, all or none.

    When the blocks raise, what was at the path is still there, and their error passes through.
    Raises PermanentError when the path cannot be written.
    """
    part = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno is None:  # not this machine's: the library says "no such object" so
            raise
        raise PermanentError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()
