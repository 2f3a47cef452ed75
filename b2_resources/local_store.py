"""A folder as an object store: a key is a plain file that people and DuckDB can read.

What belongs to the bytes (sha256, content type, metadata) lies in `.outreach-store/about/`, in a
file named for the key and for the modification time and size of the bytes it describes. It is
written before the bytes get their name, so a crash in between leaves the old pair or the new one,
never a mixture; and a file that somebody changed by hand is seen as such and hashed again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from b2_resources.files import file_blocks, read_blocks, sha256_of, write_whole
from b2_resources.keys import PRIVATE_FOLDER, KeyRefusedError, check_key, check_prefix
from b2_resources.local_files import disk_errors, old_path, part_name, renamed, sweep_parts, written
from b2_resources.meter import Meter, metered
from b2_resources.object_store import (
    BLOCK_BYTES,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    check_metadata,
    content_type_of,
)
from b2_resources.proof import check_said, proven


@dataclass(frozen=True, kw_only=True)
class About:
    """What is kept beside an object's bytes."""

    sha256: str
    content_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the caller of a put asked for, waiting for the hash of its bytes."""

    content_type: str
    metadata: Mapping[str, str]
    said: str | None = None


class LocalStore(ObjectStore):
    """An object store in a folder, which is made when the first object is put."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self._private = self._root / PRIVATE_FOLDER
        self._is_swept = False
        self.meter = Meter()

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> StoredObject:
        return self._put(key, read_blocks(path), _wanted(key, content_type, metadata, sha256))

    def put_bytes(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        return self._put(key, [body], _wanted(key, content_type, metadata, None))

    def put_blocks(self, key: str, blocks: Iterable[bytes], *, content_type: str) -> StoredObject:
        """The same for bytes that come one block after the other."""
        return self._put(key, blocks, _wanted(key, content_type, None, None))

    def get_file(self, key: str, path: Path) -> StoredObject:
        with self._opened(key) as file, disk_errors(key):
            stored = self._described(key, file)
            blocks = metered(file_blocks(file), self.meter.received)
            write_whole(path, proven(stored, file.name, blocks))
            return stored

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with self._opened(key) as file, disk_errors(key):
            if start == 0 and end is None:
                blocks = metered(file_blocks(file), self.meter.received)
                yield from proven(self._described(key, file), file.name, blocks)
                return
            file.seek(start)
            left = max(0, os.fstat(file.fileno()).st_size if end is None else end - start)
            while block := file.read(min(BLOCK_BYTES, left)):
                left -= len(block)
                yield block

    def head(self, key: str) -> StoredObject:
        with self._opened(key) as file, disk_errors(key):
            return self._described(key, file)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        with disk_errors(prefix):
            yield from self._below(f"{folder}/" if folder else "", prefix)

    def delete(self, key: str) -> None:
        target = self._path(key)
        with disk_errors(key):
            try:
                about = self._about_path(key, target.stat(follow_symlinks=False))
                target.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            about.unlink(missing_ok=True)
            # A bucket has no empty folders, and `a` may be put where `a/b` was.
            with suppress(OSError):
                for folder in target.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    def copy(self, source: str, destination: str) -> None:
        with self._opened(source) as file, disk_errors(source):
            about = self._described(source, file)
            wanted = _wanted(destination, about.content_type, about.metadata, about.sha256)
            self._put(destination, file_blocks(file), wanted)

    def place_of(self, key: str) -> str:
        return str(self._path(key))

    def _sweep_once(self) -> None:
        if not self._is_swept:
            self._is_swept = True
            for folder in (self._private, self._private / "about"):
                sweep_parts(folder)

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return self._root

    @property
    def uploads_folder(self) -> Path:
        """Where uploads in parts wait for the rest of them; local_parts.py's alone."""
        return self._private / "uploads"

    def path_of(self, key: str) -> Path:
        """The file of a key, there or not; to be read and never written."""
        return self._path(key)

    @contextmanager
    def temporary_file(self) -> Iterator[Path]:
        """A path on the store's own disk for whoever needs one, gone afterwards."""
        path = self._private / part_name()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        """The file of a key. Raises KeyRefusedError where a symlink would lead out of the root."""
        path = self._root / check_key(key)
        if path.is_symlink() or not path.parent.resolve().is_relative_to(self._root):
            raise KeyRefusedError(
                f"key {key!r}: a symbolic link lies in its way below {self._root}"
            )
        return path

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with disk_errors(key):
            try:
                file = path.open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectMissingError(f"there is no object {key!r} in {self._root}") from None
        with file:
            yield file

    def _put(self, key: str, blocks: Iterable[bytes], wanted: _Wanted) -> StoredObject:
        target = self._path(key)
        with disk_errors(key):
            self._private.joinpath("about").mkdir(parents=True, exist_ok=True)
            self._sweep_once()
            part = self._private / part_name()
            try:
                sha256 = written(part, metered(blocks, self.meter.sent))
                check_said(key, wanted.said, sha256)
                about = About(
                    sha256=sha256, content_type=wanted.content_type, metadata=wanted.metadata
                )
                return self._named(key, part, target, about)
            finally:
                part.unlink(missing_ok=True)

    def _named(self, key: str, part: Path, target: Path, about: About) -> StoredObject:
        """Give finished bytes their name, with what belongs to them in place before it."""
        found = part.stat()
        beside = self._about_path(key, found)
        self._write_about(beside, about)
        before = old_path(target, lambda stat: self._about_path(key, stat))
        try:
            renamed(part, target)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        if before and before != beside:
            before.unlink(missing_ok=True)
        return _stored(key, found, about)

    def _described(self, key: str, file: BinaryIO) -> StoredObject:
        """What is known of the open file; hashed again when nothing is, or it is out of date."""
        found = os.fstat(file.fileno())
        try:
            kept = json.loads(self._about_path(key, found).read_bytes())
            about = About(**kept)
        except (FileNotFoundError, ValueError, TypeError):
            about = About(
                sha256=sha256_of(file_blocks(file)),
                content_type=content_type_of(key),
                metadata={},
            )
            file.seek(0)
            with suppress(OSError):  # a folder that may only be read is no reason to fail
                self._write_about(self._about_path(key, found), about)
        return _stored(key, found, about)

    def _about_path(self, key: str, found: os.stat_result) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()[:40]
        return self._private / "about" / f"{name}-{found.st_mtime_ns:x}-{found.st_size:x}.json"

    def _write_about(self, path: Path, about: About) -> None:
        part = path.with_name(part_name())
        part.write_text(json.dumps(vars(about)))
        part.replace(path)

    def _below(self, folder: str, prefix: str) -> Iterator[StoredObject]:
        """Objects under a folder (`""` or ending in /) that begin with the prefix, in key order."""
        try:
            with os.scandir(self._root / folder) as entries:
                # With its / a folder sorts where its keys do: `a-b` before `a/b`.
                names = {
                    e.name + ("/" if e.is_dir(follow_symlinks=False) else ""): e for e in entries
                }
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in sorted(names):
            key = folder + name
            if key == f"{PRIVATE_FOLDER}/" or not (
                key.startswith(prefix) or (key.endswith("/") and prefix.startswith(key))
            ):
                continue
            if name.endswith("/"):
                yield from self._below(key, prefix)
            elif names[name].is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # deleted since the folder was read
                    yield _stored(key, names[name].stat(follow_symlinks=False), None)


def _wanted(
    key: str, content_type: str | None, metadata: Mapping[str, str] | None, said: str | None
) -> _Wanted:
    return _Wanted(
        content_type=content_type or content_type_of(key),
        metadata=check_metadata(metadata),
        said=said,
    )


def _stored(key: str, found: os.stat_result, about: About | None) -> StoredObject:
    return StoredObject(
        key=key,
        size_bytes=found.st_size,
        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
        sha256=about.sha256 if about else None,
        content_type=about.content_type if about else None,
        metadata=about.metadata if about else {},
    )
