"""Where everything lives in a store: every key is built here, and taken apart again.

A key is a path with `/` between its parts, the same in a bucket and in a folder. What lies under
it is no business of this file.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, unquote

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
_PRUNED = re.compile(_STATE + rf"pruned/(?P<version>{VERSION})\.json")
_HELD = re.compile(_STATE + rf"held/(?P<version>{VERSION})/[a-z][a-z0-9_]*\.(?:parquet|json)")
_FAILURES = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})/(?P<type>[a-z]+)_failures_(?P<pipeline>[^/]*?)"
    r"(?:-BATCH-(?P<batch>\d{3,}))?(?:-(?P<later>[2-9]|[1-9]\d{1,2}))?\.(?P<extension>[a-z]+)"
)
_NOT_IN_A_NAME = re.compile(f"[%/]|{REFUSED_CHARACTERS.pattern}")
MAX_PIPELINE_BYTES = 180  # of a name's 255, which also says type, batch and extension

TASK_INPUTS = {
    "primary": "primary.csv",
    "baseline": "baseline.csv",
    "parameters": "parameters.json",
}
"""What may be handed in, and what it is called in the store, whatever it holds."""
USERS_PREFIX = "users/"
_INBOX = re.compile(r"users/(?P<user>[^/]+)/inbox/(?:(?P<tool>[^/]+)/)?(?:[^/]+/)*(?P<name>[^/]+)")
_ONE_PART = re.compile(r"[a-z0-9][a-z0-9-]*")

NEWEST_REPORT_KEY = "reports/morning.html"
"""The newest morning page: where people look."""

RUN_LOGS_PREFIX = "run-logs"
"""Below it Dagster names its own keys: what runs have printed."""

AUDIT_PREFIX = "audit/"
_AUDIT = re.compile(r"audit/\d{4}/\d{2}/audit_(?P<day>\d{8})\.parquet")


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


@dataclass(frozen=True, kw_only=True)
class InboxPlace:
    """What the key of a file in an inbox says; nobody has checked that there is such a user."""

    user_id: str
    tool_id: str
    """The first folder below the inbox; empty for a file beside those folders."""

    filename: str


@dataclass(frozen=True, kw_only=True)
class FailuresPlace:
    """What the key of exported failures says, below the prefix."""

    exported_on: date
    """When its rows were claimed, in UTC; not when it was uploaded."""

    failure_type: str
    pipeline_id: str
    extension: str
    batch: int | None = None
    """Of a numbered batch, from 1."""

    later: int = 1
    """2 and more for an export that would else have the name of an earlier one."""


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


def pruned_key(state: str, version: str) -> str:
    """The receipt of a version that retention has removed: what its manifest was, byte for byte."""
    return f"{pruned_prefix(state)}{_version(version)}.json"


def pruned_prefix(state: str) -> str:
    """Where the receipts of a state's removed versions lie."""
    return f"{state_prefix(state)}pruned/"


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


def failures_key(prefix: str, place: FailuresPlace) -> str:
    """Where failures go: `2025-11-18/company_failures_WV-VALIDATION-20251118-BATCH-001.json`.

    The prefix is taken as a folder. Whatever a pipeline is called, there is a key for it: what a
    key cannot hold is written as %XX, and a very long id is cut and told apart by its hash.
    """
    batch = "" if place.batch is None else f"-BATCH-{place.batch:03d}"
    later = "" if place.later == 1 else f"-{place.later}"
    name = f"{place.failure_type}_failures_{_in_a_name(place.pipeline_id)}{batch}{later}"
    return check_key(
        f"{_as_folder(prefix)}{place.exported_on.isoformat()}/{name}.{place.extension}"
    )


def manifests_prefix(state: str) -> str:
    """Where a state's receipts lie, oldest first in a listing."""
    return f"{state_prefix(state)}manifests/"


def state_prefix(state: str) -> str:
    """Where everything of a state lies. Raises UnknownStateError for none of ours."""
    (known,) = checked_states([state])
    return f"outreach/{known.lower()}/"


def audit_key(day: date) -> str:
    """The audit log's rows of one UTC day; never rewritten."""
    return f"{AUDIT_PREFIX}{day:%Y/%m}/audit_{day:%Y%m%d}.parquet"


def audit_day(key: str) -> date | None:
    """The inverse of `audit_key`; None for any other key."""
    found = _AUDIT.fullmatch(key)
    if found is None:
        return None
    try:
        day = date.fromisoformat(found["day"])
    except ValueError:
        return None
    return day if audit_key(day) == key else None


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


def pruned_place(key: str) -> VersionPlace | None:
    """The inverse of `pruned_key`; None for any other key."""
    return _version_place(_PRUNED, key)


def held_place(key: str) -> VersionPlace | None:
    """The inverse of `held_key` and `held_manifest_key`; None for any other key."""
    return _version_place(_HELD, key)


def failures_prefix(key: str) -> str:
    """The prefix that a key was built with by `failures_key`."""
    *folders, _date, _name = key.split("/")
    return "/".join(folders)


def failures_place(prefix: str, key: str) -> FailuresPlace | None:
    """The inverse of `failures_key`; None for any other key.

    A pipeline whose id itself ends in `-2` reads as the second export of a shorter id: the
    object's metadata `pipeline-id` tells.
    """
    folder = _as_folder(prefix)
    found = _FAILURES.fullmatch(key.removeprefix(folder)) if key.startswith(folder) else None
    if found is None:
        return None
    try:
        exported_on = date.fromisoformat(found["date"])
    except ValueError:
        return None
    return FailuresPlace(
        exported_on=exported_on,
        failure_type=found["type"],
        pipeline_id=unquote(found["pipeline"], errors="surrogatepass"),
        extension=found["extension"],
        batch=int(found["batch"]) if found["batch"] else None,
        later=int(found["later"] or 1),
    )


def task_input_key(user_id: str, task_id: str, name: str) -> str:
    """Where a file that a user hands in goes; its name is ours, whatever the user calls it."""
    return check_key(f"{_task_folder(user_id, task_id)}inputs/{TASK_INPUTS[name]}")


def task_output_key(user_id: str, task_id: str, name: str) -> str:
    """Where a result of that name lies."""
    return check_key(f"{task_outputs_prefix(user_id, task_id)}{name}")


def task_outputs_prefix(user_id: str, task_id: str) -> str:
    """How the keys of all results of a task begin."""
    return f"{_task_folder(user_id, task_id)}outputs/"


def inbox_prefix(user_id: str) -> str:
    """Where a user may drop files, each in a folder called for a tool."""
    return f"{USERS_PREFIX}{user_id}/inbox/"


def inbox_place(key: str) -> InboxPlace | None:
    """What a key in an inbox says; None for any other.

    Names that begin with a dot are none: B2's console and copying programs put such files beside.
    """
    found = _INBOX.fullmatch(key)
    if found is None or found["name"].startswith("."):
        return None
    try:
        check_key(key)
    except KeyRefusedError:
        return None
    return InboxPlace(user_id=found["user"], tool_id=found["tool"] or "", filename=found["name"])


def _task_folder(user_id: str, task_id: str) -> str:
    if not _ONE_PART.fullmatch(user_id) or not _ONE_PART.fullmatch(task_id):
        raise KeyRefusedError(f"no task {task_id!r} of {user_id!r}: expected ids of ours")
    return f"users/{user_id}/tasks/{task_id}/"


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


def _as_folder(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def _in_a_name(pipeline_id: str) -> str:
    name = _NOT_IN_A_NAME.sub(
        lambda found: quote(found[0], safe="", errors="surrogatepass"), pipeline_id
    )
    encoded = name.encode()
    if len(encoded) <= MAX_PIPELINE_BYTES:
        return name
    told_apart = hashlib.sha256(encoded).hexdigest()[:16]
    cut = encoded[: MAX_PIPELINE_BYTES - len(told_apart) - 1].decode(errors="ignore")
    return f"{cut}~{told_apart}"


def _state_code(part: str) -> str:
    return part if part == UNASSIGNED else part.upper()
