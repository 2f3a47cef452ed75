"""An exported snapshot into the object store, whole or not at all.

The order is: the four versioned files, the manifest, and only then the four newest files that
readers open. The manifest is the moment of publishing: before it the snapshot does not exist, and
what readers find under a newest key always belongs to some manifest. A run that was killed in
between is mended by `repair`, which the next run of that state calls first (at_work.py).
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
from outreach_assets.steps.hold import let_go
from outreach_assets.steps.manifest import Manifest, StoredFacts, exported_manifest
from outreach_assets.steps.private_duckdb import disk_errors
from outreach_assets.steps.published import WORKERS, InStore, look, make_newest, take_back
from outreach_assets.steps.record import ClaimLostError
from outreach_core.errors import OutreachError, PermanentError


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
    versions: frozenset[str] = frozenset()
    """Every version of the state that the store holds."""


def publish(  # noqa: PLR0913 three facts and two listeners of the run; a class would hide them
    store: ObjectStore,
    exports: Path,
    manifests: Sequence[Manifest],
    *,
    run_id: str = "",
    hold: Callable[[], None] = lambda: None,
    published: Callable[[str, Published], None] = lambda _state, _published: None,
    found: Mapping[str, InStore | OutreachError] | None = None,
) -> dict[str, Published | OutreachError]:
    """Publish the exported snapshots, several states at once: what came of each, by state.

    `found` is what the store holds of each, where the caller has looked since it claimed them.
    One state's error does not stop the others, except that nothing more is tried once the store
    has refused or cannot be reached, or `hold` has said that the states are not ours any more:
    it is asked before each manifest. What `run_id` has published before, in an attempt that failed
    later, counts as published again, not as unchanged. `published` hears of each state at once,
    from any thread.
    """
    gone: list[OutreachError] = []

    def one(manifest: Manifest) -> Published | OutreachError:
        if gone:
            return gone[0]
        try:
            there = look(store, manifest.state) if found is None else found[manifest.state]
            if isinstance(there, OutreachError):
                raise there
            outcome = _publish_state(store, exports, manifest, there, run_id, hold)
        except OutreachError as error:
            if isinstance(error, StoreRefusedError | StoreUnreachableError | ClaimLostError):
                gone.append(error)
            return error
        published(manifest.state, outcome)
        return outcome

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return dict(zip((m.state for m in manifests), pool.map(one, manifests), strict=True))
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def settle_exports(exports: Path, published: Published) -> None:
    """Let exports/ show what the store holds of this state, and nothing older or unpublished.

    Raises DiskFullError.
    """
    manifest = published.manifest
    with disk_errors(exports):
        for file in manifest.files:
            newest = exports / keys.newest_key(manifest.state, file.table, file.verdict)
            versions = sorted(newest.parent.glob(f"{newest.stem}_*.parquet"))
            ours = exports / file.key
            if versions:
                _link(ours if ours in versions else versions[-1], newest)
            for version in versions:
                if version != ours:
                    version.unlink()
            for left in newest.parent.glob(".*.part"):  # by a run that was killed
                left.unlink()
        drop_unpublished(exports, manifest.state, {manifest.version, *published.versions})
        write_whole(exports / manifest.key, manifest.body)


def drop_unpublished(exports: Path, state: str, published: Collection[str]) -> None:
    """Remove from exports/ what was held, or exported by a run that died: history counts receipts.

    `published` are the versions that stay. Raises OSError.
    """
    for path in (exports / keys.state_prefix(state)).rglob("*.*"):
        key = path.relative_to(exports).as_posix()
        place = keys.manifest_place(key) or keys.changes_place(key) or keys.snapshot_place(key)
        if place is not None and place.version is not None and place.version not in published:
            path.unlink()


def _link(version: Path, newest: Path) -> None:
    """A link, not a copy: a version is never rewritten, and readers see all of it or none."""
    part = newest.with_name(f".{newest.name}.part")
    part.unlink(missing_ok=True)
    part.hardlink_to(version)
    part.replace(newest)
    part.unlink(missing_ok=True)  # a rename onto the same file, linked before, does nothing


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
    """What in the store is not what the manifests say, by key; asks the store itself.

    By HEAD, and by reading what has come without our sha256, such as through another program.
    """

    def differs(file: StoredFacts) -> str | None:
        try:
            found = store.head(file.key)
        except ObjectMissingError:
            return "is missing"
        sha256 = found.sha256 or _read_sha256(store, file.key)
        same = (sha256, found.size_bytes) == (file.sha256, file.size_bytes)
        return None if same else "has other bytes"

    files = [file for manifest in manifests for file in manifest.objects]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = zip(files, pool.map(differs, files), strict=True)
        return {file.key: problem for file, problem in found if problem is not None}


def _read_sha256(store: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    for block in store.stream(key):
        digest.update(block)
    return digest.hexdigest()


def _publish_state(
    store: ObjectStore,
    exports: Path,
    manifest: Manifest,
    found: InStore,
    run_id: str,
    hold: Callable[[], None],
) -> Published:
    take_back(store, found)
    newest = found.newest
    if newest is not None:
        if newest.says_the_same_as(manifest):
            make_newest(store, newest)
            let_go(store, found.held)
            ours = newest.run_id == run_id
            outcome = Outcome.PUBLISHED if ours else Outcome.UNCHANGED
            return Published(
                outcome=outcome, manifest=newest, uploaded_bytes=0, versions=found.versions
            )
        if newest.version >= manifest.version:
            raise ClockBehindError(
                f"{manifest.state}: version {manifest.version} is not after the published "
                f"{newest.version}: is this machine's clock behind?"
            )
        manifest = manifest.model_copy(update={"previous": found.previous})
    try:
        uploaded = _upload(store, exports, manifest, hold)
    except (StoreUnreachableError, ClaimLostError):
        raise  # the state's next run does it
    except OutreachError:
        with suppress(OutreachError):
            take_back(store, look(store, manifest.state))
        raise
    make_newest(store, manifest)
    let_go(store, found.held)
    return Published(
        outcome=Outcome.PUBLISHED,
        manifest=manifest,
        uploaded_bytes=uploaded,
        versions=found.versions,
    )


def _upload(store: ObjectStore, exports: Path, manifest: Manifest, hold: Callable[[], None]) -> int:
    """The files, then the manifest. Returns the bytes that went up."""
    marks = {"state": manifest.state, "version": manifest.version, "run-id": manifest.run_id}
    uploads = [
        Upload(
            key=file.key,
            path=exports / file.key,
            metadata={**marks, "rows": str(file.rows)},
            sha256=file.sha256,
        )
        for file in manifest.objects
    ]
    stored = put_files(store, uploads, workers=len(uploads))
    for put, file in zip(stored, manifest.objects, strict=True):
        if (put.sha256, put.size_bytes) != (file.sha256, file.size_bytes):
            raise ObjectCorruptError(
                f"{store.place_of(file.key)} is not the file that was exported"
            )
    hold()  # whoever took the state from us has taken our files back, too
    store.put_bytes(manifest.key, manifest.body, metadata=marks)
    return sum(file.size_bytes for file in manifest.objects) + len(manifest.body)
