"""An exported snapshot into the object store, whole or not at all.

The order is: the four versioned files, the manifest, and only then the four newest files that
readers open. The manifest is the moment of publishing: before it the snapshot does not exist, and
what readers find under a newest key always belongs to some manifest. A run that was killed in
between is mended by `repair`, which the next run of that state calls first (record.py).
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    StoreRefusedError,
    StoreUnreachableError,
    Upload,
    put_files,
)
from outreach_assets.steps.export import write_whole
from outreach_assets.steps.manifest import (
    FileFacts,
    Manifest,
    exported_manifest,
    latest_manifest,
    manifest_versions,
)
from outreach_core.errors import OutreachError, PermanentError

WORKERS = 8


class Outcome(StrEnum):
    """What publishing did."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    """Rows, rules and engine are those of the last manifest, so nothing was uploaded."""


class NothingExportedError(PermanentError):
    """There is no exported snapshot of a state to upload."""


class ClockBehindError(PermanentError):
    """The version of this run would come before one that is already published."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the store holds for a state after publishing."""

    outcome: Outcome
    manifest: Manifest
    uploaded_bytes: int


def publish(
    store: ObjectStore,
    exports: Path,
    manifests: Sequence[Manifest],
    *,
    published: Callable[[str], None] = lambda _: None,
) -> dict[str, Published | OutreachError]:
    """Publish the exported snapshots, several states at once: what came of each, by state.

    One state's error does not stop the others, except that nothing more is tried once the store
    has refused or cannot be reached. `published` hears of each state.
    """
    gone: list[OutreachError] = []

    def one(manifest: Manifest) -> Published | OutreachError:
        if gone:
            return gone[0]
        try:
            outcome = _publish_state(store, exports, manifest)
        except OutreachError as error:
            if isinstance(error, StoreRefusedError | StoreUnreachableError):
                gone.append(error)
            return error
        published(manifest.state)
        return outcome

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return dict(zip((m.state for m in manifests), pool.map(one, manifests), strict=True))
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def settle_exports(exports: Path, published: Published) -> None:
    """Let exports/ show what the store holds of this state, and nothing older or unpublished."""
    manifest = published.manifest
    for file in manifest.files:
        newest = exports / keys.newest_key(manifest.state, file.table, file.verdict)
        versions = sorted(newest.parent.glob(f"{newest.stem}_*.parquet"))
        ours = exports / file.key
        if versions:
            # An unchanged snapshot may have been exported by another machine: the same rows then.
            # A link, not a copy: the version is never rewritten, and readers see all of it or none.
            part = newest.with_name(f".{newest.name}.part")
            part.unlink(missing_ok=True)
            part.hardlink_to(ours if ours in versions else versions[-1])
            part.replace(newest)
        for version in versions:
            if version != ours:
                version.unlink()
        for left in newest.parent.glob(".*.part"):  # by a run that was killed
            left.unlink()
    if published.outcome is Outcome.UNCHANGED:
        for draft in (exports / keys.manifests_prefix(manifest.state)).glob("*.json"):
            if draft.stem > manifest.version:
                draft.unlink()
    write_whole(exports / manifest.key, manifest.body)


def exported_snapshots(exports: Path, states: Iterable[str]) -> list[Manifest]:
    """The newest exported snapshot of each state. Raises NothingExportedError."""
    found = {state: exported_manifest(exports, state) for state in states}
    missing = [state for state, manifest in found.items() if manifest is None]
    if missing:
        raise NothingExportedError(
            f"nothing has been exported on this machine for {', '.join(missing)}: "
            "materialize the parquet/ assets too, or `outreach run --state`"
        )
    return [manifest for manifest in found.values() if manifest is not None]


def differing_objects(store: ObjectStore, manifests: Sequence[Manifest]) -> dict[str, str]:
    """What in the store is not what the manifests say, by key; asks the store itself, by HEAD."""

    def differs(file: FileFacts) -> str | None:
        try:
            found = store.head(file.key)
        except ObjectMissingError:
            return "is missing"
        same = (found.sha256, found.size_bytes) == (file.sha256, file.size_bytes)
        return None if same else "has other bytes"

    files = [file for manifest in manifests for file in manifest.files]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = zip(files, pool.map(differs, files), strict=True)
        return {file.key: problem for file, problem in found if problem is not None}


def repair(store: ObjectStore, state: str, version: str) -> None:
    """Take back what a killed run left half published: no file without its manifest stays."""
    if version not in set(manifest_versions(store, state)):
        prefix = keys.state_prefix(state)
        for found in list(store.list_objects(prefix)):
            place = keys.snapshot_place(found.key)
            if place is not None and place.version == version:
                store.delete(found.key)
    last = latest_manifest(store, state)
    if last is not None:
        _make_newest(store, last[0])


def _publish_state(store: ObjectStore, exports: Path, manifest: Manifest) -> Published:
    last = latest_manifest(store, manifest.state)
    if last is not None:
        newest, previous = last
        if newest.says_the_same_as(manifest):
            _make_newest(store, newest)
            # An earlier attempt of this very run may have published it.
            ours = newest.run_id == manifest.run_id
            outcome = Outcome.PUBLISHED if ours else Outcome.UNCHANGED
            return Published(outcome=outcome, manifest=newest, uploaded_bytes=0)
        if newest.version >= manifest.version:
            raise ClockBehindError(
                f"{manifest.state}: version {manifest.version} is not after the published "
                f"{newest.version}: is this machine's clock behind?"
            )
        manifest = manifest.model_copy(update={"previous": previous})
    uploaded = _upload(store, exports, manifest)
    _make_newest(store, manifest)
    return Published(outcome=Outcome.PUBLISHED, manifest=manifest, uploaded_bytes=uploaded)


def _upload(store: ObjectStore, exports: Path, manifest: Manifest) -> int:
    """The files, then the manifest. Returns the bytes that went up."""
    marks = {"state": manifest.state, "version": manifest.version, "run-id": manifest.run_id}
    uploads = [
        Upload(
            key=file.key,
            path=exports / file.key,
            metadata={**marks, "rows": str(file.rows)},
            sha256=file.sha256,
        )
        for file in manifest.files
    ]
    stored = put_files(store, uploads, workers=len(uploads))
    for put, file in zip(stored, manifest.files, strict=True):
        if (put.sha256, put.size_bytes) != (file.sha256, file.size_bytes):
            raise ObjectCorruptError(
                f"{store.place_of(file.key)} is not the file that was exported"
            )
    store.put_bytes(manifest.key, manifest.body, metadata=marks)
    return sum(file.size_bytes for file in manifest.files) + len(manifest.body)


def _make_newest(store: ObjectStore, manifest: Manifest) -> None:
    """Let the newest keys of a state show this manifest's files; those that do are left alone."""
    for file in manifest.files:
        newest = keys.newest_key(manifest.state, file.table, file.verdict)
        if _sha256_of(store, newest) != file.sha256:
            store.copy(file.key, newest)


def _sha256_of(store: ObjectStore, key: str) -> str | None:
    try:
        return store.head(key).sha256
    except ObjectMissingError:
        return None
