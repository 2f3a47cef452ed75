"""What the store holds of a state: its versions, the newest receipt, what dead runs left behind.

Putting a new version there is upload.py's, keeping a held one aside hold.py's.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from b2_resources import keys
from b2_resources.object_store import ObjectMissingError, ObjectStore, StoreUnreachableError
from outreach_assets.steps.manifest import Manifest, Previous, latest_manifest
from outreach_core.errors import OutreachError

WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class InStore:
    """One state as a listing and its newest receipt show it."""

    versions: frozenset[str]
    """Every version that exists."""

    orphans: tuple[str, ...]
    """Files of versions that no manifest names: of runs that died, or were cut off."""

    held: tuple[str, ...]
    """What is kept aside of versions that were held."""

    newest: Manifest | None = None
    previous: Previous | None = None
    """How the next manifest refers to the newest."""


def look(store: ObjectStore, state: str) -> InStore:
    """The state as it is now: one listing, and one object read where there is a version."""
    found = [stored.key for stored in store.list_objects(keys.state_prefix(state))]
    versions = frozenset(place.version for key in found if (place := keys.manifest_place(key)))
    last = latest_manifest(store, state, versions)
    return InStore(
        versions=versions,
        orphans=tuple(key for key in found if _version_of(key) not in {None, *versions}),
        held=tuple(key for key in found if keys.held_place(key)),
        newest=last[0] if last else None,
        previous=last[1] if last else None,
    )


def look_at(store: ObjectStore, states: Sequence[str]) -> dict[str, InStore | OutreachError]:
    """Several states at once; one's error does not hide the others.

    Except that nothing more is asked once the store cannot be reached: each state would wait for
    it a minute anew.
    """
    gone: list[OutreachError] = []

    def one(state: str) -> InStore | OutreachError:
        if gone:
            return gone[0]
        try:
            return look(store, state)
        except OutreachError as error:
            if isinstance(error, StoreUnreachableError):
                gone.append(error)
            return error

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return dict(zip(states, pool.map(one, states), strict=True))
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def repair(store: ObjectStore, state: str) -> None:
    """Mend what a dead run left half published. Only for who has claimed the state."""
    found = look(store, state)
    take_back(store, found)
    if found.newest is not None:
        make_newest(store, found.newest)


def take_back(store: ObjectStore, found: InStore) -> None:
    """Delete the files of a state that no manifest names.

    Also those of earlier runs, which could not do so themselves while the store was away.
    """
    for key in found.orphans:
        store.delete(key)


def make_newest(store: ObjectStore, manifest: Manifest) -> None:
    """Let the newest keys of a state show this manifest's files; those that do are left alone."""
    for file in manifest.files:
        newest = keys.newest_key(manifest.state, file.table, file.verdict)
        if _sha256_of(store, newest) != file.sha256:
            store.copy(file.key, newest)


def _version_of(key: str) -> str | None:
    """The version that a file of a snapshot belongs to; None for anything else."""
    place = keys.snapshot_place(key) or keys.changes_place(key)
    return place.version if place else None


def _sha256_of(store: ObjectStore, key: str) -> str | None:
    try:
        return store.head(key).sha256
    except (ObjectMissingError, StoreUnreachableError):
        # Not knowing is no reason not to copy: in an outage a hybrid store can still do that.
        return None
