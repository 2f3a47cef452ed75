"""A file dropped under `users/<user>/inbox/<tool>/` becomes a task, once, and leaves the inbox.

The task's id is made of what the drop is (key, version, time, size), so whoever comes second, or
after a kill, finds the task there. Called by the API and by a run, which know each other not; who
sees drops is in outreach_api/b2_event_routes.py and sensors/inbox.py.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from b2_resources.keys import USERS_PREFIX, InboxPlace, inbox_place, inbox_prefix, task_input_key
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectMissingError, ObjectStore, StoredObject
from b2_resources.purge import remove_seen
from b2_resources.signing import LARGEST_PUT_BYTES
from outreach_core.drops import (
    AnnouncedDrop,
    Standing,
    has_task,
    lock_drop,
    note_refused,
    put_off_drop,
    settle_drop,
    standing_of,
    tell_refused,
)
from outreach_core.errors import RetryableError
from outreach_core.postgres import Connection
from outreach_core.task_changes import claim_task, fail_task, queue_task, start_upload
from outreach_core.task_rows import check_room, create_task
from outreach_core.tasks import NewTask, TaskInput, TooManyOpenTasksError

DROPS = UUID("9c2f3a1e-5d0b-4c55-9a53-2f6d1f1f6c11")
"""What ids made of drops are told from others by; never changed."""

PAUSE = timedelta(minutes=5)
"""Until a drop that had to wait is looked at again."""

QUIET_TIME = timedelta(seconds=10)
"""A file in a folder that changed less than this ago is perhaps still being written; a bucket has
none that is not whole."""

NO_SUCH_USER = "there is no such user"


class Fate(StrEnum):
    """What became of a drop."""

    QUEUED = "QUEUED"
    """A task that waits for its run."""

    FAILED = "FAILED"
    """A task that says why it cannot be worked on."""

    STAYS = "STAYS"
    """It cannot become a task, or the task cannot have its bytes; it is left where it is."""

    GONE = "GONE"
    """It is not there any more, or is no drop."""

    WAITS = "WAITS"
    """Somebody else is at it, it is still being written, or its user has too many open tasks."""


class DropChangedError(RetryableError):
    """Another file came under the key while it was taken in: look again."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A drop, and what became of it."""

    key: str
    fate: Fate
    task_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """What drops are taken in with."""

    store: ObjectStore
    connect: Callable[[], AbstractContextManager[Connection]]
    tool_ids: Collection[str]
    most_open: int
    now: Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    code: str
    detail: str


def listed_drops(
    store: ObjectStore, user_ids: Collection[str], *, now: datetime
) -> Iterator[StoredObject]:
    """What lies in the inboxes of these users; in a folder, where it is free, of anybody."""
    is_folder = isinstance(store, LocalStore)
    for prefix in [USERS_PREFIX] if is_folder else [inbox_prefix(user) for user in user_ids]:
        for one in store.list_objects(prefix):
            if inbox_place(one.key) and not _is_unquiet(store, one, now):
                yield one


def settle(inbox: Inbox, drop: AnnouncedDrop) -> Taken:
    """Take in what was announced; what has to wait is put off."""
    taken = take_in(inbox, drop.key)
    with inbox.connect() as connection:
        if taken.fate is Fate.WAITS:
            put_off_drop(connection, drop.key, due_at=inbox.now() + PAUSE)
        else:
            settle_drop(connection, drop)
    return taken


def take_in(inbox: Inbox, key: str) -> Taken:
    """Make a task of the drop, and remove it from the inbox when there is one.

    Killed anywhere, or called by several at once, it makes one task and loses no file. Raises what
    the store and the database raise; then nothing was done that calling it again would do twice.
    """
    place = inbox_place(key)
    if place is None:
        return Taken(key=key, fate=Fate.GONE)
    try:
        # Before the bytes are copied, which may be many; and again with the task.
        with inbox.connect() as connection:
            check_room(connection, place.user_id, most_open=inbox.most_open)
        with inbox.connect() as connection:
            if not lock_drop(connection, key):
                return Taken(key=key, fate=Fate.WAITS)
            drop = inbox.store.head(key)
            taken = _taken(inbox, connection, place, drop)
    except ObjectMissingError:
        return Taken(key=key, fate=Fate.GONE)
    except (TooManyOpenTasksError, DropChangedError):
        return Taken(key=key, fate=Fate.WAITS)
    if taken.fate in (Fate.QUEUED, Fate.FAILED):
        remove_seen(inbox.store, drop)
        if isinstance(inbox.store, LocalStore):
            # The last file takes its folder with it, where the next would be dropped.
            inbox.store.path_of(key).parent.mkdir(parents=True, exist_ok=True)
    return taken


def _taken(inbox: Inbox, connection: Connection, place: InboxPlace, drop: StoredObject) -> Taken:
    """In the caller's transaction, which holds the drop's lock."""
    key, now = drop.key, inbox.now()
    if _is_unquiet(inbox.store, drop, now):
        return Taken(key=key, fate=Fate.WAITS)
    standing = standing_of(connection, place.user_id)
    if standing is Standing.UNKNOWN:
        if note_refused(connection, key, drop.modified_at, NO_SUCH_USER, now=now):
            tell_refused(connection, key, NO_SUCH_USER)
        return Taken(key=key, fate=Fate.STAYS)
    task_id = str(uuid5(DROPS, _identity(drop)))
    refusal = _refusal(inbox, place, drop, standing)
    if not has_task(connection, task_id):
        _make_task(inbox, connection, task_id, place, drop, refusal)
    if drop.size_bytes > LARGEST_PUT_BYTES and refusal is not None:
        note_refused(connection, key, drop.modified_at, refusal.code, now=now)
        return Taken(key=key, fate=Fate.STAYS, task_id=task_id)
    return Taken(key=key, fate=Fate.FAILED if refusal else Fate.QUEUED, task_id=task_id)


def _make_task(
    inbox: Inbox,
    connection: Connection,
    task_id: str,
    place: InboxPlace,
    drop: StoredObject,
    refusal: _Refusal | None,
) -> None:
    """Through the same statuses as any task: QUEUED with its file pinned, or on to FAILED."""
    now, user = inbox.now(), place.user_id
    file = TaskInput(
        name="primary",
        filename=place.filename,
        content_type=drop.content_type or "application/octet-stream",
        size_bytes=drop.size_bytes,
    )
    if drop.size_bytes <= LARGEST_PUT_BYTES:
        file = _copied(inbox.store, drop, task_input_key(user, task_id, file.name), file)
    new = NewTask(id=task_id, user_id=user, tool_id=place.tool_id, parameters={}, inputs=[file])
    create_task(connection, new, now=now, most_open=inbox.most_open)
    start_upload(connection, user, task_id, now=now)
    queue_task(connection, user, task_id, [file], now=now)
    if refusal is not None:
        claimed = claim_task(connection, task_id, run_id=None, now=now)
        assert claimed is not None  # noqa: S101 nobody else sees it before the commit
        fail_task(connection, claimed, code=refusal.code, detail=refusal.detail, now=now)


def _copied(store: ObjectStore, drop: StoredObject, key: str, file: TaskInput) -> TaskInput:
    """The file pinned where tasks have theirs. Raises DropChangedError."""
    store.copy(drop.key, key)
    found = store.head(key)
    if _identity(store.head(drop.key)) != _identity(drop) or found.size_bytes != drop.size_bytes:
        raise DropChangedError(f"{drop.key} was replaced while it was taken in")
    return replace(file, sha256=found.sha256, version=found.version)


def _refusal(
    inbox: Inbox, place: InboxPlace, drop: StoredObject, standing: Standing
) -> _Refusal | None:
    """Why no tool will have it; None when one may."""
    if standing is Standing.REVOKED:
        return _Refusal(
            code="USER_REVOKED",
            detail="this user has no token any more: whoever runs this service can make one",
        )
    if place.tool_id not in inbox.tool_ids:
        known = ", ".join(inbox.tool_ids)
        return _Refusal(
            code="INVALID_TOOL_ID",
            detail=f"the folder below inbox/ names no tool: there are {known}; put it there again",
        )
    if drop.size_bytes == 0:
        return _Refusal(code="EMPTY_FILE", detail="the file has no bytes: put it there again")
    if drop.size_bytes > LARGEST_PUT_BYTES:
        return _Refusal(
            code="FILE_TOO_LARGE",
            detail=f"the file has more than {LARGEST_PUT_BYTES} bytes: cut it, then remove it here",
        )
    return None


def _is_unquiet(store: ObjectStore, drop: StoredObject, now: datetime) -> bool:
    # A time to come, as a wrong clock or an archive leaves it, must not make a file wait for it.
    return isinstance(store, LocalStore) and abs(now - drop.modified_at) < QUIET_TIME


def _identity(drop: StoredObject) -> str:
    """What tells this file from any other that was or will be under its key."""
    return "\n".join(
        [
            drop.key,
            drop.version or drop.sha256 or "",
            drop.modified_at.isoformat(),
            str(drop.size_bytes),
        ]
    )
