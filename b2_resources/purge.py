"""Objects out of a store for good: also the versions that a bucket keeps hidden and bills.

Which objects may go is for the caller to know; nothing here asks twice.
"""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from b2_resources.hybrid_store import HybridStore
from b2_resources.object_store import (
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreRefusedError,
)
from b2_resources.s3_store import S3Store
from b2_resources.s3_versions import delete_version, listed_versions

WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class Purged:
    """What was removed beyond what readers saw."""

    hidden_versions: int | None = None
    """None where the store keeps none, or does not tell."""

    hidden_bytes: int = 0


def purge(
    store: ObjectStore,
    prefix: str,
    *,
    keys: Collection[str],
    hidden_of: Callable[[str], bool] = lambda _key: False,
) -> Purged:
    """Delete these keys and every version of them; of others only what lies hidden under them.

    All keys begin with the prefix; `hidden_of` says which of the others. Killed in between, it may
    be called again. Whoever puts one of the keys meanwhile loses what they put.
    """
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="purge") as pool:
        # First: from here on nobody reads them, whatever becomes of the versions.
        list(pool.map(store.delete, keys))
    match store:
        case S3Store():
            return _purge_bucket(store, prefix, set(keys), hidden_of)
        case HybridStore(far=far):
            return _purge_bucket(far, prefix, set(keys), hidden_of)
        case _:
            return Purged()


def remove_seen(store: ObjectStore, seen: StoredObject) -> None:
    """The object as `head` found it, for good, and what it hides; what came since stays."""
    if isinstance(store, S3Store) and _remove_versions(store, seen):
        return
    try:
        found = store.head(seen.key)
    except ObjectMissingError:
        return
    if (found.version, found.sha256, found.modified_at) == (
        seen.version,
        seen.sha256,
        seen.modified_at,
    ):
        store.delete(seen.key)


def _remove_versions(store: S3Store, seen: StoredObject) -> bool:
    """False where the bucket keeps no versions, or does not tell."""
    try:
        listed = [v for v in listed_versions(store.client, seen.key) if v.key == seen.key]
    except StoreRefusedError:
        return False
    ids = [version.version_id for version in listed if not version.is_marker]
    if seen.version not in ids:
        return False
    kept = set(ids[: ids.index(seen.version)])  # the newest are listed first
    # The oldest first: an older one must not come to light when what hides it is gone.
    for version in reversed(listed):
        if not version.is_marker and version.version_id not in kept:
            delete_version(store.client, version)
    return True


def _purge_bucket(
    store: S3Store, prefix: str, gone: set[str], hidden_of: Callable[[str], bool]
) -> Purged:
    try:
        listed = list(listed_versions(store.client, prefix))
    except StoreRefusedError:
        return Purged()
    if not listed:
        return Purged()
    doomed = [v for v in listed if v.key in gone or (not v.is_latest and hidden_of(v.key))]
    # Markers last: without its marker, what it hides would be there again.
    for is_marker in (False, True):
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="purge") as pool:
            chosen = [v for v in doomed if v.is_marker is is_marker]
            list(pool.map(lambda version: delete_version(store.client, version), chosen))
    return Purged(
        hidden_versions=sum(not v.is_marker for v in doomed),
        hidden_bytes=sum(v.size_bytes for v in doomed),
    )
