"""Where everything lives in a store: every key is built here, and taken apart again.

A key is a path with `/` between its parts, the same in a bucket and in a folder. What lies under
it is no business of this file.
"""

import re
from dataclasses import dataclass

from outreach_core.errors import PermanentError
from outreach_core.states import UNASSIGNED, checked_states

PRIVATE_FOLDER = ".outreach-store"
"""The first part of a key that no caller may use: LocalStore keeps its own files there."""

MAX_KEY_BYTES = 1024  # S3's and B2's limit
MAX_PART_BYTES = 255  # what a file system takes; B2 would take more, a folder would not

# Control characters break listings (XML 1.0 cannot hold them), a backslash is a separator on
# Windows and in some consoles, surrogates and noncharacters have no UTF-8 or no XML form.
REFUSED_CHARACTERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
VERSION = r"\d{14}"
VERDICTS = ("good", "bad")
_STATE = r"outreach/(?P<state>[a-z]{2}|unassigned)/"
_SNAPSHOT = re.compile(
    _STATE + r"(?P<table>[a-z][a-z0-9_]*)/(?P<verdict>good|bad)/"
    rf"(?P=table)_(?P=verdict)(?:_(?P<version>{VERSION}))?\.parquet"
)
_MANIFEST = re.compile(_STATE + rf"manifests/(?P<version>{VERSION})\.json")
_CHANGES = re.compile(_STATE + rf"changes/verdict_changes_(?P<version>{VERSION})\.parquet")
_HELD = re.compile(_STATE + rf"held/(?P<version>{VERSION})/[a-z][a-z0-9_]*\.(?:parquet|json)")


class KeyRefusedError(PermanentError):
    """No store takes this key; the message says which rule it breaks."""


@dataclass(frozen=True, kw_only=True)
class SnapshotPlace:
    """What a snapshot file's key says. `version` is None for the newest."""

    state: str
    table: str
    verdict: str
    version: str | None


@dataclass(frozen=True, kw_only=True)
class VersionPlace:
    """What the key of a manifest, or of another object that a version has one of, says."""

    state: str
    version: str


def snapshot_key(state: str, table: str, verdict: str, version: str) -> str:
    """That version of a state's good or bad rows, never rewritten."""
    return f"{_folder(state, table, verdict)}{table}_{verdict}_{_version(version)}.parquet"


def newest_key(state: str, table: str, verdict: str) -> str:
    """The newest of a state's good or bad rows: where readers look."""
    return f"{_folder(state, table, verdict)}{table}_{verdict}.parquet"


def manifest_key(state: str, version: str) -> str:
    """The receipt of a state's version, written last."""
    return f"{manifests_prefix(state)}{_version(version)}.json"


def changes_key(state: str, version: str) -> str:
    """What that version changed against the one before it, row by row; never rewritten."""
    return f"{changes_prefix(state)}verdict_changes_{_version(version)}.parquet"


def changes_prefix(state: str) -> str:
    """Where what a state's versions changed lies."""
    return f"{state_prefix(state)}changes/"


def held_key(state: str, version: str, table: str, verdict: str) -> str:
    """The good or bad rows of a version that was held: for people to look at, not for readers."""
    name = newest_key(state, table, verdict).rpartition("/")[2]
    return f"{held_prefix(state)}{_version(version)}/{name}"


def held_manifest_key(state: str, version: str) -> str:
    """The receipt of a version that was held, written last."""
    return f"{held_prefix(state)}{_version(version)}/manifest.json"


def held_prefix(state: str) -> str:
    """Where what was held of a state lies."""
    return f"{state_prefix(state)}held/"


def manifests_prefix(state: str) -> str:
    """Where a state's receipts lie, oldest first in a listing."""
    return f"{state_prefix(state)}manifests/"


def state_prefix(state: str) -> str:
    """Where everything of a state lies. Raises UnknownStateError for none of ours."""
    (known,) = checked_states([state])
    return f"outreach/{known.lower()}/"


def snapshot_place(key: str) -> SnapshotPlace | None:
    """The inverse of `snapshot_key` and `newest_key`; None for any other key."""
    found = _SNAPSHOT.fullmatch(key)
    if found is None:
        return None
    return SnapshotPlace(
        state=_state_code(found["state"]),
        table=found["table"],
        verdict=found["verdict"],
        version=found["version"],
    )


def manifest_place(key: str) -> VersionPlace | None:
    """The inverse of `manifest_key`; None for any other key."""
    return _version_place(_MANIFEST, key)


def changes_place(key: str) -> VersionPlace | None:
    """The inverse of `changes_key`; None for any other key."""
    return _version_place(_CHANGES, key)


def held_place(key: str) -> VersionPlace | None:
    """The inverse of `held_key` and `held_manifest_key`; None for any other key."""
    return _version_place(_HELD, key)


def check_key(key: str) -> str:
    """The key itself, when every store can hold it. Raises KeyRefusedError."""
    if not key:
        raise KeyRefusedError("an empty key names no object")
    _check_characters(key)
    parts = key.split("/")
    if "" in parts:
        raise KeyRefusedError(f"key {key!r} starts or ends with / or holds //: an empty part")
    for part in parts:
        if part in (".", ".."):
            raise KeyRefusedError(
                f"key {key!r} holds {part!r}, which would climb out of its folder"
            )
        if len(part.encode()) > MAX_PART_BYTES:
            raise KeyRefusedError(
                f"key {key[:80]!r}… has a part above {MAX_PART_BYTES} bytes: no folder can hold it"
            )
    if parts[0] == PRIVATE_FOLDER:
        raise KeyRefusedError(f"key {key!r}: {PRIVATE_FOLDER}/ is the store's own")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself: empty, or how a key that every store can hold begins."""
    if prefix:
        _check_characters(prefix)
        # Whatever part the prefix stops in goes on in the key, so only whole parts can be wrong.
        whole = prefix.rpartition("/")[0]
        if whole or prefix.startswith("/"):
            check_key(whole)
    return prefix


def _check_characters(key: str) -> None:
    found = REFUSED_CHARACTERS.search(key)
    if found:
        raise KeyRefusedError(f"key {key!r} holds the character U+{ord(found[0]):04X}")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise KeyRefusedError(f"key {key[:80]!r}… is above {MAX_KEY_BYTES} bytes")


def _folder(state: str, table: str, verdict: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]*", table) or verdict not in VERDICTS:
        raise KeyRefusedError(
            f"no snapshot of {table!r} {verdict!r}: expected a table, good or bad"
        )
    return f"{state_prefix(state)}{table}/{verdict}/"


def _version_place(pattern: re.Pattern[str], key: str) -> VersionPlace | None:
    found = pattern.fullmatch(key)
    if found is None:
        return None
    return VersionPlace(state=_state_code(found["state"]), version=found["version"])


def _version(version: str) -> str:
    if not re.fullmatch(VERSION, version, re.ASCII):
        raise KeyRefusedError(f"version {version!r}: expected YYYYMMDDHHMMSS")
    return version


def _state_code(part: str) -> str:
    return part if part == UNASSIGNED else part.upper()
