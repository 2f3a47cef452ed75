"""Tasks in Postgres: made, and read by the user they belong to.

A user's id is part of every query, so a task of somebody else is as missing as one that never was.
What changes a task is in task_changes.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from outreach_core.postgres import Connection, execute_together
from outreach_core.tasks import (
    UPLOAD_TIME,
    HistoryEntry,
    NewTask,
    Task,
    TaskInput,
    TaskMissingError,
    TaskOutput,
    TaskStatus,
    TooManyOpenTasksError,
)

COLUMNS = (
    "id::text, user_id, tool_id, status, parameters, inputs, outputs, stage, progress, error_code, "
    "error_detail, run_id, claims, created_at, changed_at, uploads_until, ended_at"
)

# NO KEY: whoever has just written a row that names the user holds a share of its key.
LOCK_USER = "SELECT FROM shq.users WHERE id = %(user_id)s FOR NO KEY UPDATE"
COUNT_OPEN = """
    SELECT count(*) FROM shq.tasks WHERE user_id = %(user_id)s
      AND status IN ('CREATED', 'UPLOADING', 'QUEUED', 'PROCESSING')"""  # as the index says it

CREATE = f"""
    WITH created AS (
      INSERT INTO shq.tasks
        (id, user_id, tool_id, status, parameters, inputs, created_at, changed_at, uploads_until)
      SELECT %(id)s::uuid, %(user_id)s, %(tool_id)s, 'CREATED', %(parameters)s::jsonb,
        %(inputs)s::jsonb, %(now)s, %(now)s, %(uploads_until)s
      WHERE ({COUNT_OPEN}) < %(most_open)s
      RETURNING *
    ), told AS (
      INSERT INTO shq.task_history (task_id, status, changed_at, reason)
      SELECT id, status, changed_at, 'asked for' FROM created
    )
    SELECT {COLUMNS} FROM created"""  # noqa: S608 our own columns

GET = f"""
    SELECT {COLUMNS} FROM shq.tasks
    WHERE user_id = %s AND id = %s AND deleted_at IS NULL"""  # noqa: S608 our own columns

LIST = f"""
    SELECT {COLUMNS} FROM shq.tasks
    WHERE user_id = %(user_id)s AND deleted_at IS NULL
      AND (%(status)s::text IS NULL OR status = %(status)s)
      AND (%(tool_id)s::text IS NULL OR tool_id = %(tool_id)s)
      AND (%(after_at)s::timestamptz IS NULL
           OR (created_at, id) < (%(after_at)s, %(after_id)s::uuid))
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s"""  # noqa: S608 our own columns


@dataclass(frozen=True, kw_only=True)
class TaskPlace:
    """A place in a user's list, which is ordered by time of creation, the newest first."""

    created_at: datetime
    id: str


@dataclass(frozen=True, kw_only=True)
class TaskFilter:
    """Which of a user's tasks; None asks nothing."""

    status: TaskStatus | None = None
    tool_id: str | None = None
    after: TaskPlace | None = None


def create_task(connection: Connection, new: NewTask, *, now: datetime, most_open: int) -> Task:
    """The task, CREATED, and its first row of history, all in one round trip.

    Of two at once one waits for the other, so that neither slips by the limit. Raises
    TooManyOpenTasksError.
    """
    values = {
        "id": new.id,
        "user_id": new.user_id,
        "tool_id": new.tool_id,
        "parameters": json.dumps(new.parameters),
        "inputs": as_json(new.inputs),
        "now": now,
        "uploads_until": now + UPLOAD_TIME,
        "most_open": most_open,
    }
    rows = execute_together(connection, [LOCK_USER, CREATE], values)
    if not rows:
        raise _too_many(most_open)
    return task_of(rows[0])


def check_room(connection: Connection, user_id: str, *, most_open: int) -> None:
    """Raises TooManyOpenTasksError unless the user may have one more.

    Whoever else asks waits until the caller's transaction has ended.
    """
    values = {"user_id": user_id}
    ((found,),) = execute_together(connection, [LOCK_USER, COUNT_OPEN], values)
    if found >= most_open:
        raise _too_many(most_open)


def get_task(connection: Connection, user_id: str, task_id: str) -> Task:
    """A user's task. Raises TaskMissingError."""
    return task_of(connection.execute(GET.encode(), [user_id, task_id]).fetchone())


def list_tasks(
    connection: Connection, user_id: str, wanted: TaskFilter, *, limit: int
) -> list[Task]:
    """A user's tasks that match, the newest first."""
    values = {
        "user_id": user_id,
        "status": wanted.status,
        "tool_id": wanted.tool_id,
        "after_at": wanted.after.created_at if wanted.after else None,
        "after_id": wanted.after.id if wanted.after else None,
        "limit": limit,
    }
    return [task_of(row) for row in connection.execute(LIST.encode(), values).fetchall()]


def history_of(connection: Connection, task_id: str) -> list[HistoryEntry]:
    """Every status a task has had, the oldest first. Whose it is was asked before."""
    rows = connection.execute(
        "SELECT status, changed_at, reason FROM shq.task_history WHERE task_id = %s ORDER BY id",
        [task_id],
    ).fetchall()
    return [HistoryEntry(status=TaskStatus(s), changed_at=at, reason=why) for s, at, why in rows]


def counts_by_status(connection: Connection) -> Mapping[TaskStatus, int]:
    """How many tasks there are in each status, of all users."""
    rows = connection.execute(
        "SELECT status, count(*) FROM shq.tasks WHERE deleted_at IS NULL GROUP BY status"
    ).fetchall()
    return dict.fromkeys(TaskStatus, 0) | {TaskStatus(s): n for s, n in rows}


def task_of(row: tuple[Any, ...] | None) -> Task:
    """A row of COLUMNS. Raises TaskMissingError for none."""
    if row is None:
        raise TaskMissingError("there is no such task")
    names = [name.strip().removesuffix("::text") for name in COLUMNS.split(",")]
    found = dict(zip(names, row, strict=True))
    return Task(
        **found
        | {
            "status": TaskStatus(found["status"]),
            "inputs": [TaskInput(**one) for one in found["inputs"]],
            "outputs": [TaskOutput(**one) for one in found["outputs"]],
        }
    )


def as_json(files: Sequence[TaskInput] | Sequence[TaskOutput]) -> str:
    """Inputs or outputs as their column holds them."""
    return json.dumps([asdict(one) for one in files])


def _too_many(most_open: int) -> TooManyOpenTasksError:
    return TooManyOpenTasksError(
        f"{most_open} tasks may be open at once: wait for one, or cancel one"
    )
