"""What becomes of tasks that nobody goes on with, and whose files have been kept long enough.

Called by a schedule; any number may run at once. The files themselves are the caller's to remove.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outreach_core.postgres import Connection
from outreach_core.task_changes import AGAIN, Change, changed_tasks
from outreach_core.task_rows import COLUMNS, task_of
from outreach_core.tasks import (
    HEARTBEAT_TIME,
    INPUTS_KEPT,
    MOST_LOST_CLAIMS,
    OUTPUTS_KEPT,
    Task,
    TaskStatus,
)

ANSWERS_KEPT = INPUTS_KEPT
WORKER_LOST = "WORKER_LOST"

# Rows that somebody is just changing are left for the next time, so that no two sweeps wait for
# each other.
ONLY = "id IN (SELECT id FROM shq.tasks WHERE {} ORDER BY id FOR UPDATE SKIP LOCKED)"
SILENT = "status = 'PROCESSING' AND heartbeat_at < %(heard_since)s"

EXPIRE = Change(
    to=TaskStatus.EXPIRED,
    sets="ended_at = %(now)s",
    guard=ONLY.format("status IN ('CREATED', 'UPLOADING') AND uploads_until <= %(now)s"),
    reason="no upload in time",
)
QUEUE_AGAIN = Change(
    to=TaskStatus.QUEUED,
    sets=f"lost_claims = lost_claims + 1, {AGAIN}",
    guard=ONLY.format(f"{SILENT} AND lost_claims < %(most_lost)s"),
    reason="its worker was silent for too long",
)
GIVE_UP = Change(
    to=TaskStatus.FAILED,
    sets="error_code = %(code)s, error_detail = %(detail)s, ended_at = %(now)s",
    guard=ONLY.format(f"{SILENT} AND lost_claims >= %(most_lost)s"),
    reason="its worker was silent for too long, again",
)

DUE = f"""
    SELECT {COLUMNS} FROM shq.tasks
    WHERE ended_at IS NOT NULL AND uploads_until <= %(now)s AND {{part}}_removed_at IS NULL
      AND (ended_at <= %(ended_before)s OR status = 'EXPIRED' OR deleted_at IS NOT NULL)
    ORDER BY ended_at LIMIT %(limit)s"""  # noqa: S608 our own columns


class TaskFiles(StrEnum):
    """Which files of a task."""

    INPUTS = "inputs"
    OUTPUTS = "outputs"


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What `expire_tasks` has changed."""

    expired: Sequence[Task]
    queued_again: Sequence[Task]
    failed: Sequence[Task]


def expire_tasks(connection: Connection, *, now: datetime) -> Swept:
    """Without their files in time: EXPIRED. Without a heartbeat: QUEUED once, then FAILED."""
    values = {
        "heard_since": now - HEARTBEAT_TIME,
        "most_lost": MOST_LOST_CLAIMS,
        "code": WORKER_LOST,
        "detail": "the program that worked on it ended twice without a word: "
        "try a smaller file, or tell whoever runs this service",
    }
    return Swept(
        expired=changed_tasks(connection, EXPIRE, values, now=now),
        queued_again=changed_tasks(connection, QUEUE_AGAIN, values, now=now),
        failed=changed_tasks(connection, GIVE_UP, values, now=now),
    )


def due_removals(
    connection: Connection, files: TaskFiles, *, now: datetime, limit: int
) -> list[Task]:
    """Tasks whose files of this kind have been kept long enough and are to be removed.

    Not while a signed URL could still put one there.
    """
    kept = INPUTS_KEPT if files is TaskFiles.INPUTS else OUTPUTS_KEPT
    rows = connection.execute(
        DUE.format(part=files.value).encode(),
        {"now": now, "ended_before": now - kept, "limit": limit},
    )
    return [task_of(row) for row in rows.fetchall()]


def note_removal(connection: Connection, task_id: str, files: TaskFiles, *, now: datetime) -> None:
    """These files of the task are gone; say so after they are."""
    connection.execute(
        f"UPDATE shq.tasks SET {files.value}_removed_at = %s WHERE id = %s".encode(),  # noqa: S608
        [now, task_id],
    )


def forget_answers(connection: Connection, *, now: datetime) -> int:
    """What POSTs were answered long ago is not repeated any more; how many were forgotten."""
    done = connection.execute(
        "DELETE FROM shq.given_answers WHERE given_at <= %s", [now - ANSWERS_KEPT]
    )
    return done.rowcount
