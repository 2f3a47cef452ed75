"""The receipt of a snapshot: what it holds, what it was made from and what came before it.

A snapshot without a manifest does not exist. Writing one is for export.py (here) and upload.py
(in the store).
"""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from b2_resources import keys
from b2_resources.object_store import ObjectStore, get_bytes
from outreach_core.errors import PermanentError

FORMAT = 2
"""1 knew no changes, no fingerprints by rule and no warnings; it is read all the same."""


class ManifestUnreadableError(PermanentError):
    """A manifest that is not JSON of the shape below."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceFacts(_Facts):
    """What one source table held of this state."""

    table: str
    rows: int
    key_hash: str
    row_hash: str


class StoredFacts(_Facts):
    """One Parquet file that belongs to a snapshot."""

    key: str
    rows: int
    size_bytes: int
    sha256: str


class FileFacts(StoredFacts):
    """The good or the bad rows of one table."""

    table: str
    verdict: str
    columns: tuple[tuple[str, str], ...]
    """Name and DuckDB type, in order."""


class ChangesFacts(StoredFacts):
    """The rows that differ from the previous snapshot's."""

    since: str
    """The version of the previous snapshot."""

    counts: dict[str, dict[str, int]]
    """By table, then by kind of change and cause, such as `broken by rule`."""


class Previous(_Facts):
    """The snapshot this one follows: its version, and the sha256 of its manifest's bytes."""

    version: str
    sha256: str


class Manifest(_Facts):
    """The receipt. Row and key hashes are hex, and comparable within one DuckDB version."""

    format: int = FORMAT
    state: str
    version: str
    run_id: str
    rules: str
    duckdb: str
    sources: tuple[SourceFacts, ...]
    files: tuple[FileFacts, ...]
    reasons: dict[str, int]
    """Broken rules of severity error, by name; a row with two is counted in both."""

    warnings: dict[str, int] = {}
    """Broken rules of severity warn, by name."""

    rule_fingerprints: dict[str, str] = {}
    """By rule name; empty in a manifest of format 1."""

    changes: ChangesFacts | None = None
    """None for a state's first snapshot."""

    held: tuple[str, ...] = ()
    """Why it must not be published, as sentences; it may have been all the same, knowingly."""

    previous: Previous | None = None

    @property
    def key(self) -> str:
        """Where it lies, in the store and under exports/."""
        return keys.manifest_key(self.state, self.version)

    @property
    def body(self) -> bytes:
        """Its bytes: what lies in the store and what the next one names the hash of."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def sha256(self) -> str:
        """Of its bytes, in hex."""
        return hashlib.sha256(self.body).hexdigest()

    def says_the_same_as(self, other: "Manifest") -> bool:
        """True when rows, columns, rules and engine are equal: nothing new would be published."""
        # Columns too: a hash of rows knows neither their names nor an integer from a bigint.
        made_alike = self.was_made_from(other.sources, other.rules, other.duckdb)
        return made_alike and self.columns == other.columns

    def was_made_from(self, sources: tuple[SourceFacts, ...], rules: str, engine: str) -> bool:
        """True when rows with these hashes, judged by these rules and this DuckDB, are in it."""
        return (self.sources, self.rules, self.duckdb) == (sources, rules, engine)

    @property
    def columns(self) -> list[tuple[tuple[str, str], ...]]:
        """Each file's columns, in the order of the files."""
        return [file.columns for file in self.files]

    @property
    def objects(self) -> list[StoredFacts]:
        """Every object that exists because this manifest names it, beside the manifest itself."""
        return [*self.files, *([self.changes] if self.changes else [])]

    def rows(self, table: str, verdict: str) -> int:
        """How many rows that file holds."""
        return self.file(table, verdict).rows

    def file(self, table: str, verdict: str) -> FileFacts:
        """That file's entry."""
        return next(f for f in self.files if (f.table, f.verdict) == (table, verdict))


def read_manifest(body: bytes, where: str) -> Manifest:
    """The manifest in these bytes. Raises ManifestUnreadableError naming where they came from."""
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors()[0]
        at = ".".join(str(part) for part in problem["loc"])
        wrong = f"{at}: {problem['msg']}" if at else problem["msg"]
        raise ManifestUnreadableError(
            f"{where} is no manifest ({wrong}): recover its earlier version in the bucket, or "
            "`outreach store rm` it when no run wrote it"
        ) from None


def latest_manifest(
    store: ObjectStore, state: str, versions: Collection[str] | None = None
) -> tuple[Manifest, Previous] | None:
    """The newest receipt of a state and how the next one refers to it; None when there is none.

    `versions`, where the caller has listed them already, saves a listing: B2 bills those.
    """
    if versions is None:
        versions = list(manifest_versions(store, state))
    if not versions:
        return None
    key = keys.manifest_key(state, max(versions))
    body = get_bytes(store, key)
    manifest = read_manifest(body, store.place_of(key))
    return manifest, Previous(version=manifest.version, sha256=hashlib.sha256(body).hexdigest())


def all_manifests(store: ObjectStore, state: str) -> Iterator[Manifest]:
    """Every receipt of a state, oldest first."""
    for version in manifest_versions(store, state):
        yield manifest_at(store, state, version)


def manifest_at(store: ObjectStore, state: str, version: str) -> Manifest:
    """One receipt. Raises ObjectMissingError, ManifestUnreadableError."""
    key = keys.manifest_key(state, version)
    return read_manifest(get_bytes(store, key), store.place_of(key))


def manifest_versions(store: ObjectStore, state: str) -> Iterator[str]:
    """The versions of a state that exist, oldest first."""
    for found in store.list_objects(keys.manifests_prefix(state)):
        place = keys.manifest_place(found.key)
        if place is not None:
            yield place.version


def exported_manifest(exports: Path, state: str) -> Manifest | None:
    """The newest receipt under exports/, whether it has been published or not; None without one."""
    folder = exports / keys.manifests_prefix(state)
    newest = max((path for path in folder.glob("*.json")), default=None)
    return None if newest is None else read_manifest(newest.read_bytes(), str(newest))
