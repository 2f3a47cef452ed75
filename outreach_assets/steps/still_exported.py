"""Which states need not be exported again: what was published last lies here and is what is there.

A nightly run in which little has changed writes little. Writing files is export.py's; that nothing
is uploaded twice is seen to in upload.py, too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from b2_resources import keys
from outreach_assets.steps.export import Judged, judged_columns, sources_of
from outreach_assets.steps.manifest import FileFacts, Manifest
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.validate import StateVerdict
from outreach_assets.tables.table import Table, fingerprint


def is_published(
    last: Manifest, tables: Sequence[Table], judged: Mapping[str, StateVerdict]
) -> bool:
    """True when `last` holds these very rows, judged by today's rules and engine."""
    sources = sources_of(tables, judged)
    return last.was_made_from(sources, fingerprint(tables), duckdb.__version__)


def still_exported(
    duck: Duck,
    exports: Path,
    tables: Sequence[Table],
    judged: Judged,
    last: Mapping[str, Manifest],
) -> dict[str, Manifest]:
    """The receipts of those last published snapshots that need not be written again, by state.

    They hold these very rows and columns, judged by the same rules and engine, and lie under
    exports/ whole, where nothing was exported after them. Without what set them apart when they
    were published: their changes, and why they had been held.
    """
    columns = [*judged_columns(duck, tables, judged).values()]
    kept: dict[str, Manifest] = {}
    for state, manifest in last.items():
        verdicts = {table: by_state[state] for table, by_state in judged.verdicts.items()}
        if (
            is_published(manifest, tables, verdicts)
            and manifest.columns == columns
            and _newest_receipt(exports, state) == exports / manifest.key
            and all(_is_whole(exports / file.key, file) for file in manifest.files)
        ):
            kept[state] = manifest.model_copy(update={"changes": None, "held": ()})
    return kept


def _newest_receipt(exports: Path, state: str) -> Path | None:
    return max((exports / keys.manifests_prefix(state)).glob("*.json"), default=None)


def _is_whole(path: Path, file: FileFacts) -> bool:
    """One that is not what was published is removed: nobody shall take it for that."""
    if not path.exists():
        return False
    with path.open("rb") as body:
        is_whole = hashlib.file_digest(body, "sha256").hexdigest() == file.sha256
    if not is_whole:
        path.unlink()
    return is_whole
