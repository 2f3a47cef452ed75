"""Uploads in parts into a folder: each part a file, beside the store's own, until all are there.

`.outreach-store/uploads/<upload>/` holds `00001-<md5>` and so on, and the content type. A part gets
its name when it is whole, so a restart or a kill loses only what was just being sent.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from b2_resources.files import file_blocks
from b2_resources.keys import check_key
from b2_resources.local_files import disk_errors
from b2_resources.local_store import LocalStore
from b2_resources.part_uploads import MOST_PARTS, ArrivedPart, PartsGoneError, PartUploads

PART = re.compile(r"(?P<number>\d{5})-(?P<etag>[0-9a-f]{32})")
UPLOAD_ID = re.compile(r"[0-9a-f]{40}-[0-9a-f]{32}")
CONTENT_TYPE = "content-type"


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A part's file, and what its name and time say."""

    path: Path
    number: int
    etag: str
    size_bytes: int
    order: tuple[int, str]
    """Of two with one number the later counts, as in a bucket."""


class LocalParts(PartUploads):
    """See PartUploads."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    @property
    def max_parts(self) -> int:
        """See PartUploads."""
        return MOST_PARTS

    def begin(self, key: str, *, content_type: str) -> str:
        """See PartUploads."""
        upload_id = f"{_hash_of(key)}-{secrets.token_hex(16)}"
        folder = self._store.uploads_folder / upload_id
        with disk_errors(key):
            folder.mkdir(parents=True)
            (folder / CONTENT_TYPE).write_text(content_type)
        return upload_id

    def put_part(self, key: str, upload_id: str, number: int, path: Path, *, md5: str) -> None:
        """The file, which is moved away, is that part. Raises PartsGoneError."""
        folder = self._folder(key, upload_id)
        with disk_errors(key), path.open("rb") as file:
            os.fsync(file.fileno())
            now = time.time_ns()
            os.utime(path, ns=(now, now))
            name = f"{number:05}-{md5}"
            try:
                path.rename(folder / name)
            except FileNotFoundError:
                raise _gone(key) from None
        with suppress(PartsGoneError):  # aborted in this moment
            for other in self._kept(key, upload_id):
                if other.number == number and other.order < (now, name):
                    other.path.unlink(missing_ok=True)

    def arrived(self, key: str, upload_id: str) -> list[ArrivedPart]:
        """See PartUploads."""
        return [
            ArrivedPart(number=one.number, size_bytes=one.size_bytes, etag=one.etag)
            for one in self._counting(key, upload_id)
        ]

    def complete(self, key: str, upload_id: str, parts: Sequence[ArrivedPart]) -> None:
        """See PartUploads."""
        folder = self._folder(key, upload_id)
        with disk_errors(key):
            try:
                content_type = (folder / CONTENT_TYPE).read_text()
                paths = [folder / f"{part.number:05}-{part.etag}" for part in parts]
                self._store.put_blocks(key, _blocks_of(paths), content_type=content_type)
            except FileNotFoundError:
                raise _gone(key) from None
            _remove(folder)

    def abort_all(self, key: str) -> int:
        """See PartUploads."""
        with disk_errors(key):
            folders = list(self._store.uploads_folder.glob(f"{_hash_of(key)}-*"))
            for folder in folders:
                _remove(folder)
        return len(folders)

    def _counting(self, key: str, upload_id: str) -> list[_Kept]:
        newest: dict[int, _Kept] = {}
        for one in sorted(self._kept(key, upload_id), key=lambda one: one.order):
            newest[one.number] = one
        return [newest[number] for number in sorted(newest)]

    def _kept(self, key: str, upload_id: str) -> list[_Kept]:
        folder = self._folder(key, upload_id)
        found = []
        with disk_errors(key):
            try:
                paths = list(folder.iterdir())
            except FileNotFoundError:
                raise _gone(key) from None
            for path in paths:
                part = PART.fullmatch(path.name)
                with suppress(FileNotFoundError):  # replaced by a later one in this moment
                    if part is not None:
                        found.append(_kept_as(path, part))
        return found

    def _folder(self, key: str, upload_id: str) -> Path:
        if not UPLOAD_ID.fullmatch(upload_id) or not upload_id.startswith(_hash_of(key)):
            raise _gone(key)
        return self._store.uploads_folder / upload_id


def _kept_as(path: Path, part: re.Match[str]) -> _Kept:
    found = path.stat()
    return _Kept(
        path=path,
        number=int(part["number"]),
        etag=part["etag"],
        size_bytes=found.st_size,
        order=(found.st_mtime_ns, path.name),
    )


def _blocks_of(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            yield from file_blocks(file)


def _remove(folder: Path) -> None:
    """Under another name first, so that no part can come while its folder is emptied."""
    gone = folder.with_suffix(".gone")
    with suppress(FileNotFoundError):  # somebody else is at it
        if folder != gone:
            folder.rename(gone)
        shutil.rmtree(gone)


def _hash_of(key: str) -> str:
    return hashlib.sha256(check_key(key).encode()).hexdigest()[:40]


def _gone(key: str) -> PartsGoneError:
    return PartsGoneError(f"{key!r}: no such upload is open")
