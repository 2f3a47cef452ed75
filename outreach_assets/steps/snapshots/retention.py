"""Old snapshots out of the store: which may go, and taking them out so that it can be proven.

A removed snapshot leaves its manifest, byte for byte, as a receipt under pruned/: the chain of
manifests stays whole, and what was removed can be told from what was lost
(docs/decisions/0005-pruned-snapshots-leave-their-receipt.md). The order is receipt, manifest,
files, audit event. Killed in between, the snapshot exists or its receipt has no event yet; the
next pruning finishes those.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from b2_resources import keys
from b2_resources.object_store import ObjectStore, get_bytes
from b2_resources.purge import Purged, purge
from outreach_assets.steps.manifest import Manifest, ManifestUnreadableError, read_manifest
from outreach_assets.steps.record import Lock, locked
from outreach_core.audit import SNAPSHOT_REMOVED, SOURCE, AuditEvent, open_log, write_events
from outreach_core.errors import OutreachError, PermanentError
from outreach_core.postgres import DatabaseRefusedError, DatabaseUnreachableError, Postgres

LOGGED = (
    "SELECT details ->> 'state', details ->> 'version' FROM shq.audit_log WHERE event_type = %s"
)


class StrangeManifestError(PermanentError):
    """A manifest names objects that are not its own, so nothing is deleted on its word."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What stays in any case: a snapshot goes only when it is beyond both."""

    snapshots: int
    """At least one."""

    days: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one listing says of a state: sizes in bytes by key."""

    state: str
    sizes: Mapping[str, int]

    @property
    def published(self) -> frozenset[str]:
        """The versions that exist."""
        return _versions(self.sizes, keys.manifest_place)

    @property
    def pruned(self) -> frozenset[str]:
        """The versions that have a receipt of their removal."""
        return _versions(self.sizes, keys.pruned_place)

    @property
    def held(self) -> frozenset[str]:
        """The versions that lie aside."""
        return _versions(self.sizes, keys.held_place)

    def size_bytes(self, version: str) -> int:
        """Of that version's files and manifest."""
        return sum(size for key, size in self.sizes.items() if _version_of(key) == version)


@dataclass(frozen=True, kw_only=True)
class StatePlan:
    """What retention means for a state now."""

    state: str
    kept: Mapping[str, str]
    """By version, why."""

    doomed: Mapping[str, int]
    """By version, in bytes; oldest first."""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """One snapshot that is gone. Sizes without what was hidden."""

    state: str
    version: str
    objects: int
    size_bytes: int
    manifest_sha256: str


@dataclass(frozen=True, kw_only=True)
class StatePruned:
    """What came of one state."""

    state: str
    removed: tuple[Removed, ...] = ()
    purged: Purged = field(default_factory=Purged)
    failure: OutreachError | None = None
    """Why nothing, or not all, was done; what was begun is finished next time."""


def kept_versions(
    published: Collection[str], held: Collection[str], keep: Keep, now: datetime
) -> dict[str, str]:
    """The versions that must stay, each with the reason; all others may go.

    Unless the newest was released knowingly: then the last good one stays too (`plan_state`).
    """
    newest_first = sorted(published, reverse=True)
    cut = (now - timedelta(days=keep.days)).strftime("%Y%m%d%H%M%S")
    kept: dict[str, str] = {}
    for place, version in enumerate(newest_first):
        if place == 0:
            kept[version] = "the newest"
        elif place < keep.snapshots:
            kept[version] = f"one of the newest {keep.snapshots}"
        elif version >= cut:
            kept[version] = f"not {keep.days} days old"
    for aside in sorted(held):
        before = max((v for v in published if v < aside), default=None)
        if before is not None:  # who judges a held one compares it with the one it was to follow
            kept.setdefault(before, f"the one that {aside}, which is held, was to follow")
    return kept


def plan_state(store: ObjectStore, state: str, keep: Keep, now: datetime) -> StatePlan:
    """What would go; deletes nothing."""
    return _plan(store, _listing(store, state), keep, now)


def prune(
    store: ObjectStore,
    postgres: Postgres,
    states: Iterable[str],
    keep: Keep,
    *,
    now: datetime,
    by: Mapping[str, str],
) -> Iterator[StatePruned]:
    """Remove what may go, state by state, and finish what was begun before.

    `by` is what the audit events say of who does it: `who`, and a run's `run_id`. A state in which
    a run is at work, or whose manifest cannot be read, says so; the others go on. Raises what
    concerns all of them: a database that cannot be reached or used.
    """
    logged = _logged(postgres)
    for state in states:
        done = logged.get(state, frozenset())
        try:
            listing = _listing(store, state)
            if _plan(store, listing, keep, now).doomed or listing.pruned - done:
                with locked(postgres, state) as lock:
                    pruned = _prune_state(store, lock, state, keep, now, done)
                _log(postgres, pruned.removed, by)
                yield pruned
            else:
                yield StatePruned(state=state)
        except (DatabaseUnreachableError, DatabaseRefusedError):
            raise
        except OutreachError as error:
            yield StatePruned(state=state, failure=error)


def _prune_state(
    store: ObjectStore,
    lock: Lock,
    state: str,
    keep: Keep,
    now: datetime,
    done: Collection[str],
) -> StatePruned:
    """Everything but the audit events. Listed anew: before the lock a run may have been here."""
    listing = _listing(store, state)
    doomed = _plan(store, listing, keep, now).doomed
    begun = listing.pruned.difference(listing.published, done)
    bodies = {
        **{v: get_bytes(store, keys.pruned_key(state, v)) for v in sorted(begun)},
        **{v: get_bytes(store, keys.manifest_key(state, v)) for v in doomed},
    }
    # All of them before the first removal: one that is wrong leaves the state as it is.
    manifests = {v: _own_manifest(store, state, v, body) for v, body in bodies.items()}
    for version in listing.pruned.intersection(listing.published).difference(doomed):
        store.delete(keys.pruned_key(state, version))  # begun once, and kept after all
    for version in doomed:
        lock.hold()
        store.put_bytes(keys.pruned_key(state, version), bodies[version])
        store.delete(keys.manifest_key(state, version))
    lock.hold()
    purged = purge(
        store,
        keys.state_prefix(state),
        keys=[key for m in manifests.values() for key in (m.key, *(o.key for o in m.objects))],
        hidden_of=_hides_nothing_of_its_own,
    )
    removed = (_removed(manifests[version], bodies[version]) for version in sorted(bodies))
    return StatePruned(state=state, removed=tuple(removed), purged=purged)


def _hides_nothing_of_its_own(key: str) -> bool:
    """True of newest keys, each a copy of a version that has its own, and of what was held.

    Under all others a hidden version may be what somebody has overwritten by mistake.
    """
    place = keys.snapshot_place(key)
    return keys.held_place(key) is not None or (place is not None and place.version is None)


def _own_manifest(store: ObjectStore, state: str, version: str, body: bytes) -> Manifest:
    """The manifest, when it names nothing but what belongs to this state and version."""
    where = store.place_of(keys.manifest_key(state, version))
    manifest = read_manifest(body, where)
    strange = [o.key for o in manifest.objects if not _is_of(o.key, state, version)]
    if strange or (manifest.state, manifest.version) != (state, version):
        raise StrangeManifestError(
            f"{where} names {strange[0] if strange else 'another state or version'}: somebody has "
            "changed it, so nothing is deleted on its word; see `outreach snapshots verify`"
        )
    return manifest


def _is_of(key: str, state: str, version: str) -> bool:
    place = keys.snapshot_place(key) or keys.changes_place(key)
    return place is not None and (place.state, place.version) == (state, version)


def _removed(manifest: Manifest, body: bytes) -> Removed:
    return Removed(
        state=manifest.state,
        version=manifest.version,
        objects=len(manifest.objects) + 1,
        size_bytes=sum(o.size_bytes for o in manifest.objects) + len(body),
        manifest_sha256=hashlib.sha256(body).hexdigest(),
    )


def _log(postgres: Postgres, removed: Iterable[Removed], by: Mapping[str, str]) -> None:
    with open_log(postgres) as connection:
        write_events(
            connection,
            (
                AuditEvent(
                    event_type=SNAPSHOT_REMOVED,
                    event_source=SOURCE,
                    details={
                        **by,
                        "state": one.state,
                        "version": one.version,
                        "objects": one.objects,
                        "bytes": one.size_bytes,
                        "manifest_sha256": one.manifest_sha256,
                    },
                )
                for one in removed
            ),
        )


def _logged(postgres: Postgres) -> dict[str, frozenset[str]]:
    """The versions whose removal is complete, by state."""
    found: dict[str, set[str]] = {}
    with open_log(postgres) as connection:
        for state, version in connection.execute(LOGGED, (SNAPSHOT_REMOVED,)):
            found.setdefault(state, set()).add(version)
    return {state: frozenset(versions) for state, versions in found.items()}


def _plan(store: ObjectStore, listing: Listing, keep: Keep, now: datetime) -> StatePlan:
    kept = kept_versions(listing.published, listing.held, keep, now)
    if listing.published.difference(kept):
        good = _newest_good(store, listing)
        if good is not None:
            kept.setdefault(good, "the newest that was not held and released")
    doomed = sorted(listing.published.difference(kept))
    return StatePlan(
        state=listing.state, kept=kept, doomed={v: listing.size_bytes(v) for v in doomed}
    )


def _newest_good(store: ObjectStore, listing: Listing) -> str | None:
    for version in sorted(listing.published, reverse=True):
        key = keys.manifest_key(listing.state, version)
        with suppress(ManifestUnreadableError):  # whatever it was, nobody can say that it is good
            if not read_manifest(get_bytes(store, key), store.place_of(key)).held:
                return version
    return None


def _listing(store: ObjectStore, state: str) -> Listing:
    found = store.list_objects(keys.state_prefix(state))
    return Listing(state=state, sizes={stored.key: stored.size_bytes for stored in found})


def _versions(
    sizes: Iterable[str], place_of: Callable[[str], keys.VersionPlace | None]
) -> frozenset[str]:
    return frozenset(place.version for key in sizes if (place := place_of(key)))


def _version_of(key: str) -> str | None:
    place = keys.snapshot_place(key) or keys.changes_place(key) or keys.manifest_place(key)
    return None if place is None else place.version
