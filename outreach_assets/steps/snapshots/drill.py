"""A restore drill: any snapshot, back from the store and compared, as if it were needed today."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from b2_resources.object_store import ObjectStore
from outreach_assets.steps.manifest import manifest_versions
from outreach_assets.steps.private_duckdb import Duck, own_folder
from outreach_assets.steps.snapshots.judge_again import rows_problems
from outreach_assets.steps.snapshots.restore import (
    find_manifest,
    paths_in,
    restore_to_duckdb,
    restore_to_folder,
)
from outreach_assets.tables.catalogue import TABLES, tables_judged_by
from outreach_core.errors import PermanentError


@dataclass(frozen=True, kw_only=True)
class Drilled:
    """How a drill went."""

    state: str
    version: str
    seconds: float
    """For both restores and the comparison."""

    size_bytes: int
    """Of the snapshot; it came from the store twice."""

    rows: int
    problem: str = ""
    """Why it cannot be restored, or what came back other than it was; empty when all is well."""


def choose_snapshot(store: ObjectStore, states: Sequence[str], seed: int) -> tuple[str, str] | None:
    """Any state that has snapshots and any version of it; the same for the same seed and store."""
    dice = random.Random(seed)  # noqa: S311 dice, and the same ones again
    for state in dice.sample(states, len(states)):
        versions = list(manifest_versions(store, state))
        if versions:
            return state, dice.choice(versions)
    return None


def drill(
    store: ObjectStore,
    chosen: tuple[str, str],
    *,
    folder: Path,
    memory_mb: int,
    open_duck: Callable[[], AbstractContextManager[Duck]],
) -> Drilled:
    """Restore it into an empty folder and a DuckDB file, and judge its rows again.

    `folder` is left as it was. Raises only what may pass: a store that cannot be reached.
    """
    state, version = chosen
    began = time.monotonic()
    size_bytes = rows = 0
    problem = ""
    try:
        manifest = find_manifest(store, state, version)
        size_bytes = sum(stored.size_bytes for stored in manifest.objects)
        rows = sum(file.rows for file in manifest.files)
        with own_folder(folder) as spill:
            restored = spill / "folder"
            restore_to_folder(store, manifest, restored)
            restore_to_duckdb(store, manifest, spill / "drill.duckdb", memory_mb=memory_mb)
            with open_duck() as duck:
                tables = tables_judged_by(manifest.rules) or TABLES
                problem = "; ".join(
                    rows_problems(duck, manifest, paths_in(restored, manifest), tables)
                )
    except PermanentError as error:
        problem = str(error)
    return Drilled(
        state=state,
        version=version,
        seconds=time.monotonic() - began,
        size_bytes=size_bytes,
        rows=rows,
        problem=problem,
    )
