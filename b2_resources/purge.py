"""Objects out of a store for good: also the versions that a bucket keeps hidden and bills.

Which objects may go is for the caller to know; nothing here asks twice.
"""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from b2_resources.hybrid_store import HybridStore
from b2_resources.object_store import ObjectStore, StoreRefusedError
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
