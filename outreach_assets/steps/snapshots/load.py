"""Published rows for people who work in a notebook or a script, with the types they were given.

    from outreach_assets.steps.snapshots.load import load_rows
    people = load_rows("people", "good", states=["WV", "PA"])
    people.to_pandas()

Whoever would rather write SQL opens the workbench (steps/workbench.py).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from b2_resources.build_store import build_store
from b2_resources.object_store import ObjectStore
from outreach_assets.steps.manifest import Manifest, latest_manifest, manifest_at
from outreach_assets.steps.snapshots.fetch import fetch_file
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Verdict
from outreach_core.errors import PermanentError
from outreach_core.settings import load_settings
from outreach_core.states import ALL_STATES, checked_states

STATE_COLUMN = "outreach_state"
"""As in the workbench."""


class NotPublishedError(PermanentError):
    """There are no such rows."""


def load_rows(
    table: str,
    verdict: str = "good",
    *,
    states: Sequence[str] | None = None,
    version: str | None = None,
    store: ObjectStore | None = None,
) -> pa.Table:
    """The rows that are published of a table, and `outreach_state`; all in memory.

    Of all states when none is named; the newest, or that version. Each file is proven by the
    sha256 of its receipt before it is read. `store` is that of the settings when not given.
    Raises NotPublishedError, FetchDiffersError, UnknownStateError and what the store raises.
    """
    known = [t.name for t in TABLES]
    if table not in known or verdict not in list(Verdict):
        wanted = f"{' or '.join(known)}, {' or '.join(Verdict)}"
        raise NotPublishedError(f"there is no {verdict} {table}: expected {wanted}")
    asked = checked_states(states) if states else ALL_STATES
    found = store or build_store(load_settings())
    with TemporaryDirectory() as folder:
        files = [
            _with_state(_rows(found, Path(folder), manifest, table, verdict), manifest.state)
            for manifest in _manifests(found, asked, version)
        ]
    if not files:
        of = f" of version {version}" if version else ""
        raise NotPublishedError(f"nothing{of} is published in {', '.join(asked)}")
    # A column that came along later is missing in states published before.
    return pa.concat_tables(files, promote_options="default")


def _manifests(
    store: ObjectStore, states: Sequence[str], version: str | None
) -> Iterator[Manifest]:
    for state in states:
        if version is not None:
            yield manifest_at(store, state, version)
        elif newest := latest_manifest(store, state):
            yield newest[0]


def _rows(
    store: ObjectStore, folder: Path, manifest: Manifest, table: str, verdict: str
) -> pa.Table:
    path = folder / f"{manifest.state}.parquet"
    fetch_file(store, path, manifest.file(table, verdict))
    return pq.read_table(path, memory_map=False)


def _with_state(rows: pa.Table, state: str) -> pa.Table:
    return rows.append_column(STATE_COLUMN, pa.array([state] * len(rows), pa.string()))
