"""Snapshots from the store back to this machine: the newest, for good; any, for a while.

For a machine that has not made them itself, or after the store was moved. The way up is upload.py.
"""

import hashlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import ObjectStore, get_bytes
from outreach_assets.steps.changes import SnapshotFiles
from outreach_assets.steps.export import write_whole
from outreach_assets.steps.manifest import (
    Manifest,
    StoredFacts,
    latest_manifest,
    manifest_versions,
    read_manifest,
)
from outreach_assets.steps.private_duckdb import disk_errors
from outreach_assets.steps.published import WORKERS
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

    receipts: int
    """How many of older versions, which the workbench shows, had to be downloaded."""


def fetch_newest(store: ObjectStore, exports: Path, state: str) -> Fetched | None:
    """Bring a state's newest snapshot under exports/, proven file by file; None without one.

    And the receipts of all versions, a few KB each, which are never rewritten: only those that are
    not here yet are downloaded. Raises FetchDiffersError, ManifestUnreadableError, DiskFullError
    and what the store raises; what was fetched before stays, so that calling it again goes on.
    """
    versions = frozenset(manifest_versions(store, state))
    found = latest_manifest(store, state, versions)
    if found is None:
        return None
    manifest, _ = found
    count = fetch_files(store, exports, manifest)
    with disk_errors(exports):
        receipts = _fetch_receipts(store, exports, state, versions - {manifest.version})
    settle_exports(
        exports,
        Published(
            outcome=Outcome.UNCHANGED, manifest=manifest, uploaded_bytes=0, versions=versions
        ),
    )
    return Fetched(manifest=manifest, files=count, receipts=receipts)


def fetch_files(store: ObjectStore, exports: Path, manifest: Manifest) -> int:
    """Bring the files of a snapshot that are not here already under exports/; how many that were.

    Raises FetchDiffersError, DiskFullError and what the store raises.
    """
    with disk_errors(exports):
        return sum(fetch_file(store, exports / file.key, file) for file in manifest.files)


def borrow(store: ObjectStore, exports: Path, folder: Path, manifest: Manifest) -> SnapshotFiles:
    """Any snapshot's files below `folder`: from exports/ what is there, the others downloaded.

    Each is proven against the manifest. Links, so that a run that settles exports/ meanwhile takes
    nothing away. Raises FetchDiffersError, DiskFullError and what the store raises.
    """
    with disk_errors(folder):
        for file in manifest.files:
            path = folder / file.key
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # not there, or on another disk
                path.hardlink_to(exports / file.key)
            fetch_file(store, path, file)
    return SnapshotFiles(manifest=manifest, place=lambda key: folder / key)


def _fetch_receipts(
    store: ObjectStore, exports: Path, state: str, versions: Collection[str]
) -> int:
    """How many had to be downloaded."""
    missing = [
        key
        for key in (keys.manifest_key(state, version) for version in versions)
        if not (exports / key).exists()
    ]

    def one(key: str) -> None:
        body = get_bytes(store, key)
        read_manifest(body, store.place_of(key))
        write_whole(exports / key, body)

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return sum(1 for _ in pool.map(one, missing))
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


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
