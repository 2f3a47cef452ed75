"""Everything of one store into another: again and again until nothing is left to move.

Comparing two stores afterwards is in verify.py.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path

from b2_resources import keys
from b2_resources.files import read_blocks, sha256_of
from b2_resources.object_store import (
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreRefusedError,
    StoreUnreachableError,
)
from outreach_core.errors import OutreachError

WORKERS = 8
WINDOW_KEYS = 256
"""How many keys are under way before the listing is read on."""


class Outcome(StrEnum):
    """What became of one object."""

    MOVED = "moved"
    SKIPPED = "skipped"
    """The same bytes with the same metadata were there already."""
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """The report. `failed` has the reason of each key; run it again after mending them."""

    moved: int
    moved_bytes: int
    skipped: int
    failed: Mapping[str, str] = field(default_factory=dict)
    stopped_by: str = ""
    """Why the rest was not tried: a store refused, or could not be reached."""


@dataclass(frozen=True, kw_only=True)
class _One:
    key: str
    outcome: Outcome
    size_bytes: int
    reason: str = ""


def migrate(
    source: ObjectStore,
    destination: ObjectStore,
    *,
    prefix: str = "",
    workers: int = WORKERS,
    heard: Callable[[str, Outcome], None] = lambda _key, _outcome: None,
) -> Migrated:
    """Copy every object that the destination does not hold alike; nothing is deleted anywhere.

    Several at once, each proven by its sha256 on the way out and on the way in. Snapshot files go
    first, then their manifests, then the newest files, so that whoever reads the destination
    meanwhile sees whole snapshots. Breaking it off is harmless. `heard` hears of each key.
    """
    gone: list[OutreachError] = []
    counts, moved_bytes, failed = dict.fromkeys(Outcome, 0), 0, dict[str, str]()

    def one(found: StoredObject) -> _One:
        try:
            if gone:
                raise gone[0]
            outcome = _moved(source, destination, found.key)
        except OutreachError as error:
            if isinstance(error, StoreRefusedError | StoreUnreachableError):
                gone.append(error)
            return _One(key=found.key, outcome=Outcome.FAILED, size_bytes=0, reason=str(error))
        return _One(key=found.key, outcome=outcome, size_bytes=found.size_bytes)

    with ThreadPoolExecutor(workers, thread_name_prefix="migrate") as pool:
        try:
            listed = _files_before_manifests(source.list_objects(prefix))
            while not gone and (window := list(islice(listed, WINDOW_KEYS))):
                for done in pool.map(one, window):
                    counts[done.outcome] += 1
                    heard(done.key, done.outcome)
                    if done.outcome is Outcome.MOVED:
                        moved_bytes += done.size_bytes
                    if done.reason:
                        failed[done.key] = done.reason
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)
    return Migrated(
        moved=counts[Outcome.MOVED],
        moved_bytes=moved_bytes,
        skipped=counts[Outcome.SKIPPED],
        failed=failed,
        stopped_by=str(gone[0]) if gone else "",
    )


def _files_before_manifests(listed: Iterable[StoredObject]) -> Iterator[StoredObject]:
    manifests: list[StoredObject] = []
    newest: list[StoredObject] = []
    for found in listed:
        place = keys.snapshot_place(found.key)
        if keys.manifest_place(found.key):
            manifests.append(found)
        elif place and place.version is None:
            newest.append(found)
        else:
            yield found
    yield from manifests
    yield from newest


def _moved(source: ObjectStore, destination: ObjectStore, key: str) -> Outcome:
    wanted = source.head(key)
    try:
        there = destination.head(key)
    except ObjectMissingError:
        there = None
    if there is not None and _is_same(wanted, there):
        return Outcome.SKIPPED
    with tempfile.TemporaryDirectory(prefix="outreach-migrate-") as folder:
        path = Path(folder) / "object"
        got = source.get_file(key, path)
        destination.put_file(
            key,
            path,
            content_type=got.content_type,
            metadata=got.metadata,
            sha256=got.sha256 or sha256_of(read_blocks(path)),
        )
    return Outcome.MOVED


def _is_same(wanted: StoredObject, there: StoredObject) -> bool:
    return wanted.sha256 is not None and (
        (wanted.size_bytes, wanted.sha256, wanted.content_type, dict(wanted.metadata))
        == (there.size_bytes, there.sha256, there.content_type, dict(there.metadata))
    )
