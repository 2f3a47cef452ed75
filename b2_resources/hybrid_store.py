"""A folder and a bucket as one store: writes go to both, and an outage of the bucket is bridged.

The far side may refuse, so it goes first; the journal (hybrid_journal.py) is written before it, so
that a crash anywhere leaves a note of what may be amiss. Reads ask the far side and take the near
copy only when it cannot be reached, never when it says no. Every put carries a generation, by which
the later of two copies is told; without one it is the time of the object.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from b2_resources.hybrid_journal import Deed, Journal, Owed
from b2_resources.hybrid_reconcile import (
    Reconciled,
    differ,
    generation_of,
    head_or_none,
    reconcile,
    unmarked,
)
from b2_resources.keys import PRIVATE_FOLDER, check_key, check_prefix
from b2_resources.local_store import LocalStore
from b2_resources.object_store import (
    GENERATION,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreUnreachableError,
    check_metadata,
)
from b2_resources.s3_store import S3Store

OUTAGE_SECONDS = 15
"""After the far side could not be reached it is left alone for so long."""
logger = logging.getLogger(__name__)


T = TypeVar("T")


class HybridStore(ObjectStore):
    """Both stores as one. `reconcile` brings the far side up to date after an outage."""

    def __init__(
        self, *, near: LocalStore, far: S3Store, outage_seconds: float = OUTAGE_SECONDS
    ) -> None:
        self.near, self.far, self.meter = near, far, far.meter
        self._journal = Journal(near.root / PRIVATE_FOLDER / "owed")
        self._outage_seconds = outage_seconds
        self._down_until = 0.0

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        sha256: str | None = None,
    ) -> StoredObject:
        def put(store: ObjectStore, marked: Mapping[str, str]) -> StoredObject:
            return store.put_file(
                key, path, content_type=content_type, metadata=marked, sha256=sha256
            )

        return self._put(key, metadata, put)

    def put_bytes(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        def put(store: ObjectStore, marked: Mapping[str, str]) -> StoredObject:
            return store.put_bytes(key, body, content_type=content_type, metadata=marked)

        return self._put(key, metadata, put)

    def get_file(self, key: str, path: Path) -> StoredObject:
        with self._journal.locked(check_key(key)):
            side, known = self._side(key)
            if side is self.near:
                return unmarked(self.near.get_file(key, path))
            try:
                got = self._reach(lambda: self.far.get_file(key, path))
            except StoreUnreachableError as error:
                self._near_copy(key, error)
                return unmarked(self.near.get_file(key, path))
            if known is not None and differ(known, got):
                # Somebody else has put it: in an outage the older copy must not be read.
                self.near.put_file(key, path, content_type=got.content_type, metadata=got.metadata)
            return unmarked(got)

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        side, _ = self._side(check_key(key))
        if side is self.far:
            blocks = self.far.stream(key, start=start, end=end)
            try:
                first = self._reach(lambda: next(blocks, b""))
            except StoreUnreachableError as error:
                self._near_copy(key, error)
            else:
                if first:
                    yield first
                    yield from blocks
                return
        yield from self.near.stream(key, start=start, end=end)

    def head(self, key: str) -> StoredObject:
        side, known = self._side(check_key(key))
        if side is self.near:
            return unmarked(self.near.head(key))
        try:
            found = self._reach(lambda: self.far.head(key))
        except StoreUnreachableError as error:
            return unmarked(self._near_copy(key, error))
        if known is not None and differ(known, found):
            self.near.delete(key)  # somebody else has put it: see get_file
        return unmarked(found)

    def list_objects(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        owed = {entry.key: entry for entry in self._journal.entries(prefix)}
        listed = self.far.list_objects(prefix)
        try:
            first = self._reach(lambda: next(listed, None))
        except StoreUnreachableError as error:
            logger.warning("listing the folder instead, which may lack what others put: %s", error)
            yield from self.near.list_objects(prefix)
            return
        waiting = iter(sorted(owed, key=str.encode))
        next_owed = next(waiting, None)
        for found in chain([first] if first else [], listed):
            while next_owed is not None and next_owed.encode() < found.key.encode():
                yield from self._owed_object(next_owed)
                next_owed = next(waiting, None)
            if found.key == next_owed:
                yield from self._owed_object(found.key)
                next_owed = next(waiting, None)
            else:
                yield found
        while next_owed is not None:
            yield from self._owed_object(next_owed)
            next_owed = next(waiting, None)

    def delete(self, key: str) -> None:
        owed = Owed(key=check_key(key), deed=Deed.DELETE, generation=time.time_ns())
        with self._journal.locked(key):
            if self._far_side(owed, lambda: self.far.delete(key)):
                self.near.delete(key)
                self._journal.settle(owed)
            else:
                self.near.delete(key)

    def copy(self, source: str, destination: str) -> None:
        """By putting it again: a copy made by the server would carry the old generation."""
        check_key(destination)
        found = self.head(source)
        if source == destination:
            return
        near = head_or_none(self.near, source)
        if near is not None and near.sha256 == found.sha256:
            self._put_copy(self.near.path_of(source), destination, found)
            return
        with self.near.temporary_file() as part:
            self.get_file(source, part)
            self._put_copy(part, destination, found)

    def place_of(self, key: str) -> str:
        return self.far.place_of(key)

    def owed(self) -> list[Owed]:
        """What the far side has not seen yet."""
        return list(self._journal.entries())

    def reconcile(self) -> Reconciled:
        """Do on the far side what it has not seen. Stops when it cannot be reached."""
        return reconcile(self.near, self.far, self._journal)

    def _put(
        self,
        key: str,
        metadata: Mapping[str, str] | None,
        put: Callable[[ObjectStore, Mapping[str, str]], StoredObject],
    ) -> StoredObject:
        checked = check_metadata(metadata)
        owed = Owed(key=check_key(key), deed=Deed.PUT, generation=time.time_ns())
        marked = {**checked, GENERATION: str(owed.generation)}
        with self._journal.locked(key):
            is_far = self._far_side(owed, lambda: put(self.far, marked))
            stored = put(self.near, marked)
            if is_far:
                self._journal.settle(owed)
        return unmarked(stored)

    def _put_copy(self, path: Path, destination: str, found: StoredObject) -> None:
        self.put_file(
            destination,
            path,
            content_type=found.content_type,
            metadata=found.metadata,
            sha256=found.sha256,
        )

    def _far_side(self, owed: Owed, deed: Callable[[], object]) -> bool:
        """Note the deed, then do it there; False when it stays owed."""
        before = self._journal.read(owed.key)
        self._journal.write(owed)
        try:
            self._reach(deed)
        except StoreUnreachableError as error:
            logger.warning("kept in the folder and owed to the bucket: %s", error)
            return False
        except BaseException:
            self._journal.settle(owed)
            if before is not None:
                self._journal.write(before)
            raise
        return True

    def _side(self, key: str) -> tuple[ObjectStore, StoredObject | None]:
        """Where to read, and the near copy to compare with. Raises ObjectMissingError."""
        near, owed = head_or_none(self.near, key), self._journal.read(key)
        if owed is None:
            return self.far, near
        has_near = near is not None and generation_of(near) == owed.generation
        try:
            far = self._reach(lambda: head_or_none(self.far, key))
        except StoreUnreachableError:
            if owed.deed is Deed.PUT and not has_near:
                raise
        else:
            if far is not None and generation_of(far) > owed.generation:
                return self.far, near
            if owed.deed is Deed.PUT and not has_near:
                return self.far, None
        if owed.deed is Deed.DELETE:
            raise ObjectMissingError(f"there is no object at {self.place_of(key)}: it was deleted")
        return self.near, near

    def _near_copy(self, key: str, error: StoreUnreachableError) -> StoredObject:
        """Instead of the far one. That it is not here does not say that it is nowhere."""
        near = head_or_none(self.near, key)
        if near is None:
            raise error
        logger.warning("reading the folder's copy instead: %s", error)
        return near

    def _owed_object(self, key: str) -> Iterator[StoredObject]:
        with suppress(ObjectMissingError):
            yield replace(self.head(key), sha256=None, content_type=None, metadata={}, version=None)

    def _reach(self, call: Callable[[], T]) -> T:
        """Ask the far side, unless it could not be reached a moment ago."""
        if time.monotonic() < self._down_until:
            raise StoreUnreachableError(f"{self.far.place} could not be reached a moment ago")
        try:
            return call()
        except StoreUnreachableError:
            self._down_until = time.monotonic() + self._outage_seconds
            raise
