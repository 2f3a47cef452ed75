"""A snapshot that is exported, against the one its state has published last.

How two snapshots are compared is in changes.py.
"""

from collections.abc import Sequence
from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import ObjectStore
from outreach_assets.steps.changes import SnapshotFiles, compare
from outreach_assets.steps.export import write_whole
from outreach_assets.steps.fetch import fetch_files
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.table import Table


def compare_with_published(
    duck: Duck,
    store: ObjectStore,
    exports: Path,
    tables: Sequence[Table],
    manifest: Manifest,
    last: Manifest | None,
) -> Manifest:
    """The receipt with its changes since `last`, under exports/ too; as it is when there are none.

    The list lies under exports/ like the snapshot's files. Raises what fetching `last` raises.
    """
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
