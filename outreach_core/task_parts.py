"""Which upload in parts brings a task's file: a row for each, as long as one may be open.

The row is there before the store is asked, so that whatever a kill leaves open is found. What a
store does with parts is in b2_resources/part_uploads.py.
"""

from dataclasses import dataclass

from outreach_core.postgres import Connection
from outreach_core.tasks import TaskMissingError


@dataclass(frozen=True, kw_only=True)
class PartUpload:
    """The upload of one input."""

    part_bytes: int
    upload_id: str | None
    """The store's; None when none is open."""


@dataclass(frozen=True, kw_only=True)
class LeftUpload:
    """An input whose task does not wait for it any more."""

    user_id: str
    task_id: str
    name: str


def note_upload(connection: Connection, task_id: str, name: str, *, part_bytes: int) -> PartUpload:
    """The upload that is under way, or a new note of one; the parts' size stays what it was."""
    connection.execute(
        "INSERT INTO shq.task_part_uploads (task_id, name, part_bytes) VALUES (%s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        [task_id, name, part_bytes],
    )
    return _there(upload_of(connection, task_id, name))


def upload_of(connection: Connection, task_id: str, name: str) -> PartUpload | None:
    """The upload of that input; None when nobody ever began one. Whose task it is was asked."""
    row = connection.execute(
        "SELECT part_bytes, upload_id FROM shq.task_part_uploads WHERE task_id = %s AND name = %s",
        [task_id, name],
    ).fetchone()
    return PartUpload(part_bytes=row[0], upload_id=row[1]) if row else None


def take_upload(connection: Connection, task_id: str, name: str, upload_id: str) -> PartUpload:
    """The upload that counts: of two that were begun at once the first to come here."""
    connection.execute(
        "UPDATE shq.task_part_uploads SET upload_id = coalesce(upload_id, %s) "
        "WHERE task_id = %s AND name = %s",
        [upload_id, task_id, name],
    )
    return _there(upload_of(connection, task_id, name))


def drop_upload(connection: Connection, task_id: str, name: str, upload_id: str) -> None:
    """It is open no more: completed, aborted or lost. The note stays."""
    connection.execute(
        "UPDATE shq.task_part_uploads SET upload_id = NULL "
        "WHERE task_id = %s AND name = %s AND upload_id = %s",
        [task_id, name, upload_id],
    )


def left_uploads(connection: Connection, *, limit: int) -> list[LeftUpload]:
    """Of tasks that wait for no upload any more: what may be open is to be aborted."""
    rows = connection.execute(
        "SELECT tasks.user_id, tasks.id::text, uploads.name "
        "FROM shq.task_part_uploads AS uploads JOIN shq.tasks AS tasks ON tasks.id = task_id "
        "WHERE tasks.status NOT IN ('CREATED', 'UPLOADING') ORDER BY 2, 3 LIMIT %s",
        [limit],
    ).fetchall()
    return [LeftUpload(user_id=user, task_id=task, name=name) for user, task, name in rows]


def forget_upload(connection: Connection, left: LeftUpload) -> None:
    """Nothing of it is open; say so after it is."""
    connection.execute(
        "DELETE FROM shq.task_part_uploads WHERE task_id = %s AND name = %s",
        [left.task_id, left.name],
    )


def _there(found: PartUpload | None) -> PartUpload:
    """Raises TaskMissingError when a sweep took the note in this moment: its task has ended."""
    if found is None:
        raise TaskMissingError("there is no such task any more")
    return found
