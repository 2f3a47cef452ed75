"""The snapshots that are exported, against those their states have published last.

How two snapshots are compared is in changes.py.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    StoreRefusedError,
    StoreUnreachableError,
)
from outreach_assets.steps.changes import SnapshotFiles, compare
from outreach_assets.steps.export import WRITERS, write_whole
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.snapshots.fetch import FetchDiffersError, fetch_files
from outreach_assets.tables.table import Table
from outreach_core.errors import OutreachError

UNREADABLE = (
    FetchDiffersError,
    ObjectCorruptError,
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
)
"""What the last snapshot's files may answer when they are read again."""


def compare_with_published(
    duck: Duck,
    store: ObjectStore,
    exports: Path,
    tables: Sequence[Table],
    manifests: Sequence[Manifest],
    last: Callable[[str], Manifest | None],
) -> dict[str, Manifest | OutreachError]:
    """The receipts by state with their changes since the last ones, under exports/ too.

    A receipt stays as it is where `last` knows none of its state or one that says the same; the
    error where the last snapshot's files cannot be read. The lists lie under exports/ like the
    snapshots' files. Raises DiskFullError and what else the store raises.
    """

    def one(manifest: Manifest) -> Manifest | OutreachError:
        with duck.cursor() as cursor:
            try:
                return _compared(cursor, store, exports, tables, manifest, last(manifest.state))
            except UNREADABLE as problem:
                return problem

    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            return dict(zip((m.state for m in manifests), pool.map(one, manifests), strict=True))
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def _compared(
    duck: Duck,
    store: ObjectStore,
    exports: Path,
    tables: Sequence[Table],
    manifest: Manifest,
    last: Manifest | None,
) -> Manifest:
    if last is None or last.says_the_same_as(manifest):
        return manifest
    fetch_files(store, exports, last)
    changes = compare(
        duck,
        tables,
        SnapshotFiles(manifest=last, place=lambda key: exports / key),
        SnapshotFiles(manifest=manifest, place=lambda key: exports / key),
        exports / keys.changes_key(manifest.state, manifest.version),
    )
    compared = manifest.model_copy(update={"changes": changes})
    write_whole(exports / compared.key, compared.body)
    return compared
