"""The newest snapshots from the store back to this machine, for the workbench and for b2-only runs.

For a machine that has not made them itself, or after the store was moved. The way up is upload.py.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from b2_resources.object_store import ObjectStore
from outreach_assets.steps.manifest import Manifest, StoredFacts, latest_manifest, manifest_versions
from outreach_assets.steps.private_duckdb import disk_errors
from outreach_assets.steps.upload import Outcome, Published, settle_exports
from outreach_core.errors import PermanentError


class FetchDiffersError(PermanentError):
    """What the store handed over is not what the manifest says."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A state's newest snapshot, now under exports/."""

    manifest: Manifest
    files: int
    """How many had to be downloaded; the others were here already."""


def fetch_newest(
    store: ObjectStore,
    exports: Path,
    states: Iterable[str],
    *,
    fetched: Callable[[Fetched], None] = lambda _: None,
) -> list[Fetched]:
    """Bring each state's newest snapshot under exports/, proven file by file against its manifest.

    States without one are left out. Raises FetchDiffersError, DiskFullError and what the store
    raises; what was fetched before stays, so that calling it again goes on.
    """
    done = []
    for state in states:
        versions = frozenset(manifest_versions(store, state))
        found = latest_manifest(store, state, versions)
        if found is None:
            continue
        manifest, _ = found
        count = fetch_files(store, exports, manifest)
        settle_exports(
            exports,
            Published(
                outcome=Outcome.UNCHANGED, manifest=manifest, uploaded_bytes=0, versions=versions
            ),
        )
        done.append(Fetched(manifest=manifest, files=count))
        fetched(done[-1])
    return done


def fetch_files(store: ObjectStore, exports: Path, manifest: Manifest) -> int:
    """Bring the files of a snapshot that are not here already under exports/; how many that were.

    Raises FetchDiffersError, DiskFullError and what the store raises.
    """
    with disk_errors(exports):
        return sum(fetch_file(store, exports / file.key, file) for file in manifest.files)


def fetch_file(store: ObjectStore, path: Path, file: StoredFacts) -> bool:
    """The file at the path, proven against its manifest; whether it had to be downloaded.

    Raises FetchDiffersError and what the store raises.
    """
    if path.exists() and _sha256(path) == file.sha256:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    store.get_file(file.key, path)
    if _sha256(path) != file.sha256:
        path.unlink()
        raise FetchDiffersError(
            f"{store.place_of(file.key)} does not have the bytes its manifest names: "
            "run the state again, or restore an older version"
        )
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()
