"""Whether what lies in the store is what was validated and published, read to the last byte.

Bytes against manifests, manifests against their chain (manifest_chain.py), what readers find
against the newest manifest, and the rows judged again (judge_again.py). Nothing is changed.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from b2_resources import keys
from b2_resources.files import sha256_of
from b2_resources.object_store import ObjectCorruptError, ObjectMissingError, ObjectStore
from outreach_assets.steps.hold import held_manifest
from outreach_assets.steps.manifest import Manifest, ManifestUnreadableError, StoredFacts
from outreach_assets.steps.private_duckdb import Duck, disk_errors, own_folder
from outreach_assets.steps.snapshots.fetch import FetchDiffersError, fetch_file
from outreach_assets.steps.snapshots.judge_again import Files, rows_problems
from outreach_assets.steps.snapshots.manifest_chain import Link, chain_problems, read_chain
from outreach_assets.tables.catalogue import TABLES, tables_judged_by
from outreach_core.errors import RetryableError

STATES_AT_ONCE = 4
"""Each has one snapshot on disk; their rows are judged one after the other."""

OBJECTS_AT_ONCE = 5


class Which(StrEnum):
    """Which snapshots are read."""

    NEWEST = "newest"
    ALL = "all"


class StateMovesError(RetryableError):
    """A state is published again and again while it is being read."""


@dataclass(frozen=True, kw_only=True)
class StateVerified:
    """What was found in one state."""

    state: str
    versions: tuple[str, ...]
    """Whose bytes and rows were read; what is kept aside as well."""

    links: int
    """Manifests and receipts in its chain."""

    objects: int
    size_bytes: int
    problems: tuple[str, ...]
    """One sentence each, naming the object."""

    notes: tuple[str, ...]
    """What could not be asked, and why, and what is no fault."""


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """What verifying needs, whatever the state."""

    store: ObjectStore
    folder: Path
    """Where snapshots lie while they are read: OUTREACH_HOME/spill; left as it was."""

    open_duck: Callable[[], AbstractContextManager[Duck]]
    which: Which = Which.NEWEST
    audited: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By state and version, the sha256 that the audit log has of its manifest."""

    judging: Lock = field(default_factory=Lock)
    """So that one DuckDB is open at a time, and its limit that of all."""


def verify_states(verifier: Verifier, states: Sequence[str]) -> Iterator[StateVerified]:
    """Each state as soon as it is done, in order. Raises what the store raises."""
    with (
        own_folder(verifier.folder) as folder,
        disk_errors(verifier.folder),
        ThreadPoolExecutor(STATES_AT_ONCE, thread_name_prefix="verify") as pool,
    ):
        ours = replace(verifier, folder=folder)
        try:
            yield from pool.map(lambda state: _verify_state(ours, state), states)
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def _verify_state(verifier: Verifier, state: str) -> StateVerified:
    """One state. What was published or pruned meanwhile is no problem: then it is read again."""
    for _ in range(3):
        listed = _listed(verifier.store, state)
        found = _verify(verifier, state, listed)
        if not found.problems or _listed(verifier.store, state) == listed:
            return found
    raise StateMovesError(f"{state} is changed all the time: verify it when no run is at work")


def _listed(store: ObjectStore, state: str) -> list[tuple[str, object]]:
    found = store.list_objects(keys.state_prefix(state))
    return [(stored.key, stored.modified_at) for stored in found]


def _verify(verifier: Verifier, state: str, listed: Sequence[tuple[str, object]]) -> StateVerified:
    store = verifier.store
    chain = read_chain(store, state)
    problems = [*chain_problems(store, chain), *_audit_problems(verifier, state, chain)]
    existing = [link for link in chain if not link.is_pruned]
    objects = [key for key, _ in listed]
    problems += _newest_problems(store, state, existing[-1:], objects)
    notes = list(_left_over(chain, objects))
    read = existing if verifier.which is Which.ALL else existing[-1:]
    manifests = [link.manifest for link in read if link.manifest is not None]
    try:
        held = held_manifest(store, state)
    except ManifestUnreadableError as error:
        problems.append(str(error))
    else:
        manifests += [held] if held else []
    for manifest in manifests:
        problems += _snapshot_problems(verifier, manifest)
        if tables_judged_by(manifest.rules) is None:
            notes.append(f"{state} {manifest.version}: other rules than today's, not judged again")
    return StateVerified(
        state=state,
        versions=tuple(manifest.version for manifest in manifests),
        links=len(chain),
        objects=sum(len(manifest.objects) for manifest in manifests),
        size_bytes=sum(o.size_bytes for manifest in manifests for o in manifest.objects),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _audit_problems(verifier: Verifier, state: str, chain: Sequence[Link]) -> Iterator[str]:
    """Manifests that are not those the audit log tells of: the newest has nothing after it."""
    for link in chain:
        told = verifier.audited.get((state, link.version))
        if told and link.sha256 and told != link.sha256:
            yield (
                f"{verifier.store.place_of(link.key)} has been changed since it was published: "
                "its bytes are not those that the audit log names"
            )


def _snapshot_problems(verifier: Verifier, manifest: Manifest) -> list[str]:
    """Of its bytes; and of its rows, when the bytes are the right ones."""
    with TemporaryDirectory(dir=verifier.folder, prefix=f"{manifest.state}-") as name:
        files = {
            stored.key: Path(name) / stored.key.rpartition("/")[2] for stored in manifest.objects
        }
        problems = _byte_problems(verifier.store, manifest, files)
        if not problems:
            with verifier.judging, verifier.open_duck() as duck:
                tables = tables_judged_by(manifest.rules) or TABLES
                problems = rows_problems(duck, manifest, files, tables)
    return problems


def _byte_problems(store: ObjectStore, manifest: Manifest, files: Files) -> list[str]:
    def problem(stored: StoredFacts) -> str | None:
        where = store.place_of(stored.key)
        try:
            fetch_file(store, files[stored.key], stored)
        except ObjectMissingError:
            return f"{where} is missing, and {manifest.version} names it"
        except (FetchDiffersError, ObjectCorruptError):
            return f"{where} has other bytes than {manifest.version} names"
        return None

    with ThreadPoolExecutor(OBJECTS_AT_ONCE, thread_name_prefix="verify") as pool:
        return [found for found in pool.map(problem, manifest.objects) if found]


def _newest_problems(
    store: ObjectStore, state: str, newest: Sequence[Link], listed: Collection[str]
) -> list[str]:
    """What readers find must be what the newest manifest names."""
    if not newest:
        places = [(key, keys.snapshot_place(key)) for key in listed]
        return [
            f"{store.place_of(key)} is there, and {state} has no manifest that names it"
            for key, place in places
            if place is not None and place.version is None
        ]
    manifest = newest[0].manifest
    problems = []
    for file in manifest.files if manifest else ():
        key = keys.newest_key(state, file.table, file.verdict)
        try:
            same = sha256_of(store.stream(key)) == file.sha256
        except ObjectMissingError:
            problems.append(f"{store.place_of(key)}, where readers look, is missing")
            continue
        except ObjectCorruptError:
            same = False
        if not same:
            problems.append(
                f"{store.place_of(key)}, where readers look, is not the file of {newest[0].version}"
            )
    return problems


def _left_over(chain: Sequence[Link], listed: Collection[str]) -> Iterator[str]:
    """Files that no manifest names: not published, and no fault."""
    existing = {link.version for link in chain if not link.is_pruned}
    pruned = {link.version for link in chain if link.is_pruned}
    left: dict[str, int] = {}
    for key in listed:
        place = keys.snapshot_place(key) or keys.changes_place(key)
        if place is not None and place.version is not None and place.version not in existing:
            left[place.version] = left.get(place.version, 0) + 1
    for version, count in left.items():
        why = (
            "was pruned; the next pruning removes them"
            if version in pruned
            else "has no manifest; a run is at work, or the next one removes them"
        )
        yield f"{count} files of {version} are there, which {why}"
