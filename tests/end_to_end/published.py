"""What a store and an audit log hold after runs: the questions that several tests ask."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from b2_resources import keys
from b2_resources.object_store import ObjectMissingError, ObjectStore, get_bytes
from outreach_assets.steps.manifest import Manifest, all_manifests
from outreach_core.audit import events_of_run
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES


def audit_rows(neon: Postgres, run_id: str) -> list[Mapping[str, Any]]:
    """The details of a run's audit rows."""
    with neon.connect() as connection:
        return list(events_of_run(connection, run_id))


def half_published(store: ObjectStore) -> list[str]:
    """What lies in the store without its receipt, or is receipted and not there."""
    problems = []
    for state in ALL_STATES:
        manifests = list(all_manifests(store, state))
        receipted = {file.key for manifest in manifests for file in manifest.files}
        problems += [p for m in manifests for p in wrong_files(store, m)]
        for found in store.list_objects(keys.state_prefix(state)):
            place = keys.snapshot_place(found.key)
            if place is not None and place.version is not None and found.key not in receipted:
                problems.append(f"{found.key} has no manifest")
        problems += list(_wrong_newest(store, state, manifests))
    return problems


def wrong_files(store: ObjectStore, manifest: Manifest) -> list[str]:
    """The files of a manifest whose bytes, read and hashed here, are not what it says."""
    problems = []
    for file in manifest.files:
        try:
            body = get_bytes(store, file.key)
        except ObjectMissingError:
            problems.append(f"{file.key} is missing")
            continue
        if (hashlib.sha256(body).hexdigest(), len(body)) != (file.sha256, file.size_bytes):
            problems.append(f"{file.key} has other bytes")
    return problems


def _wrong_newest(store: ObjectStore, state: str, manifests: list[Manifest]) -> Iterator[str]:
    """The newest keys that do not show the last manifest's files."""
    for file in manifests[-1].files if manifests else ():
        newest = keys.newest_key(state, file.table, file.verdict)
        if hashlib.sha256(get_bytes(store, newest)).hexdigest() != file.sha256:
            yield f"{newest} is not of version {manifests[-1].version}"
