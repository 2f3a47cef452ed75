"""The manifests of a state as a chain: each names the sha256 of the one before it.

What retention has removed is in the chain by its receipt (retention.py); a link that is in neither
place was lost or taken. Whether the files are those that a manifest names is for proof.py.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from b2_resources import keys
from b2_resources.object_store import ObjectCorruptError, ObjectMissingError, ObjectStore, get_bytes
from outreach_assets.steps.manifest import (
    Manifest,
    ManifestUnreadableError,
    Previous,
    read_manifest,
)

WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class Link:
    """One version of a state in its chain."""

    key: str
    version: str
    sha256: str
    """Of the bytes as they lie there."""

    manifest: Manifest | None
    """None when the bytes are no manifest."""

    problem: str = ""
    """Why not."""

    @property
    def is_pruned(self) -> bool:
        """True when only the receipt is left, as retention leaves it."""
        return keys.pruned_place(self.key) is not None


def read_chain(store: ObjectStore, state: str) -> list[Link]:
    """Every version of the state that exists or has been pruned, oldest first."""
    found: dict[str, str] = {}
    for prefix, place_of in (
        (keys.pruned_prefix(state), keys.pruned_place),
        (keys.manifests_prefix(state), keys.manifest_place),  # wins: it was not pruned after all
    ):
        for stored in store.list_objects(prefix):
            place = place_of(stored.key)
            if place is not None:
                found[place.version] = stored.key
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="chain") as pool:
        versions = sorted(found)
        return [
            *pool.map(lambda v: _read(store, state, v, found[v]), versions),
        ]


def _read(store: ObjectStore, state: str, version: str, key: str) -> Link:
    where = store.place_of(key)
    try:
        body = get_bytes(store, key)
        sha256 = hashlib.sha256(body).hexdigest()
    except (ObjectCorruptError, ObjectMissingError) as error:
        return Link(key=key, version=version, sha256="", manifest=None, problem=str(error))
    try:
        manifest = read_manifest(body, where)
    except ManifestUnreadableError as error:
        return Link(key=key, version=version, sha256=sha256, manifest=None, problem=str(error))
    if (manifest.state, manifest.version) != (state, version):
        says = f"{where} is the manifest of {manifest.state} {manifest.version}"
        return Link(key=key, version=version, sha256=sha256, manifest=None, problem=says)
    return Link(key=key, version=version, sha256=sha256, manifest=manifest)


def chain_problems(store: ObjectStore, chain: Sequence[Link]) -> list[str]:
    """What is wrong between the manifests, one sentence each; empty for a whole chain."""
    problems = [link.problem for link in chain if link.problem]
    versions = {link.version for link in chain}
    if chain and chain[0].manifest is not None and chain[0].manifest.previous is not None:
        problems.append(_lost(store, chain[0], chain[0].manifest.previous))
    for before, link in pairwise(chain):
        if link.manifest is None:
            continue
        previous = link.manifest.previous
        if previous is None:
            problems.append(
                f"{store.place_of(link.key)} says that nothing came before it, and "
                f"{store.place_of(before.key)} did: one of them has been changed or put there"
            )
        elif previous.version == before.version:
            if before.sha256 and previous.sha256 != before.sha256:
                problems.append(
                    f"{store.place_of(before.key)} has been changed since {link.version} was "
                    "published: its bytes are not those that the next manifest names"
                )
        elif previous.version in versions:
            problems.append(
                f"{store.place_of(before.key)} is in no chain: {link.version}, which comes after "
                f"it, follows {previous.version}"
            )
        else:
            problems.append(_lost(store, link, previous))
    return problems


def _lost(store: ObjectStore, link: Link, previous: Previous) -> str:
    state, version = link.manifest.state if link.manifest else "", previous.version
    return (
        f"{store.place_of(keys.manifest_key(state, version))} is lost: {link.version} follows it, "
        "and retention has left no receipt of it"
    )
