"""Every change of a task's status: one guarded UPDATE, and its row of history in one statement.

The guard says from which status, so of two who try at once one finds that it is too late. What a
user does names the user; what a worker does names its claim. No caller sets a status by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from outreach_core.postgres import Connection
from outreach_core.task_rows import COLUMNS, as_json, check_room, get_task, task_of
from outreach_core.tasks import (
    INPUTS_KEPT,
    UPLOAD_TIME,
    Task,
    TaskInput,
    TaskOutput,
    TaskStatus,
    TaskStatusError,
    before,
)

CHANGE = """
    WITH changed AS (
      UPDATE shq.tasks SET status = %(status)s, changed_at = %(now)s, {sets}
      WHERE status = ANY(%(before)s) AND {guard}
      RETURNING *
    ), told AS (
      INSERT INTO shq.task_history (task_id, status, changed_at, reason)
      SELECT id, status, changed_at, %(reason)s FROM changed
    )
    SELECT {columns} FROM changed"""

OF_USER = "user_id = %(user_id)s AND id = %(id)s AND deleted_at IS NULL"
OF_CLAIM = "id = %(id)s AND claims = %(claims)s"
AGAIN = (
    "stage = '', progress = 0, error_code = NULL, error_detail = NULL, run_id = NULL, "
    "ended_at = NULL"
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of status as the statements above say it."""

    to: TaskStatus
    sets: str
    guard: str
    reason: str


START_UPLOAD = Change(
    to=TaskStatus.UPLOADING,
    sets=f"uploads_until = %(uploads_until)s, {AGAIN}",
    guard=f"{OF_USER} AND status <> 'UPLOAD_FAILED' AND uploads_until > %(now)s",
    reason="upload URLs were signed",
)
START_UPLOAD_AGAIN = replace(START_UPLOAD, guard=f"{OF_USER} AND status = 'UPLOAD_FAILED'")
QUEUE = Change(
    to=TaskStatus.QUEUED,
    sets="inputs = %(inputs)s, queued_at = %(now)s",
    guard=f"{OF_USER} AND status = 'UPLOADING'",
    reason="the files are there",
)
CANCEL = Change(
    to=TaskStatus.CANCELLED, sets="ended_at = %(now)s", guard=OF_USER, reason="cancelled"
)
RETRY = Change(
    to=TaskStatus.QUEUED,
    sets=f"queued_at = %(now)s, outputs = '[]', lost_claims = 0, {AGAIN}",
    guard=f"{OF_USER} AND status = 'FAILED' AND ended_at > %(inputs_since)s",
    reason="asked for again",
)
CLAIM = Change(
    to=TaskStatus.PROCESSING,
    sets="claims = claims + 1, heartbeat_at = %(now)s, run_id = %(run_id)s",
    guard="id = %(id)s",
    reason="claimed by a worker",
)
COMPLETE = Change(
    to=TaskStatus.COMPLETED,
    sets="outputs = %(outputs)s, progress = 100, stage = '', ended_at = %(now)s",
    guard=OF_CLAIM,
    reason="done",
)


def start_upload(connection: Connection, user_id: str, task_id: str, *, now: datetime) -> Task:
    """UPLOADING, and time for it; signing again gives more time.

    Raises TaskStatusError, also for a failed upload: see start_upload_again.
    """
    values = {
        "user_id": user_id,
        "id": task_id,
        "uploads_until": now + UPLOAD_TIME,
    }
    task = _changed(connection, START_UPLOAD, values, now=now)
    if task is None:
        more = (
            "UPDATE shq.tasks SET uploads_until = %(uploads_until)s "  # noqa: S608 our own columns
            f"WHERE {OF_USER} AND status = 'UPLOADING' AND uploads_until > %(now)s "
            f"RETURNING {COLUMNS}"
        )
        row = connection.execute(more.encode(), {**values, "now": now}).fetchone()
        task = task_of(row) if row else None
    return task or _refused(connection, user_id, task_id)


def start_upload_again(
    connection: Connection, user_id: str, task_id: str, *, now: datetime, most_open: int
) -> Task:
    """From UPLOAD_FAILED to UPLOADING, for the bytes that were announced.

    It is one open task more. Raises TooManyOpenTasksError or TaskStatusError.
    """
    values = {"user_id": user_id, "id": task_id, "uploads_until": now + UPLOAD_TIME}
    with connection.transaction():
        check_room(connection, user_id, most_open=most_open)
        task = _changed(connection, START_UPLOAD_AGAIN, values, now=now)
    return task or _refused(connection, user_id, task_id)


def queue_task(
    connection: Connection,
    user_id: str,
    task_id: str,
    inputs: Sequence[TaskInput],
    *,
    now: datetime,
) -> Task:
    """From UPLOADING to QUEUED, with its inputs as they were found. Raises TaskStatusError."""
    values = {"user_id": user_id, "id": task_id, "inputs": as_json(inputs)}
    task = _changed(connection, QUEUE, values, now=now)
    return task or _refused(connection, user_id, task_id)


def fail_upload(
    connection: Connection, user_id: str, task_id: str, *, code: str, detail: str, now: datetime
) -> Task:
    """From UPLOADING to UPLOAD_FAILED; new URLs begin again. Raises TaskStatusError."""
    values = {"user_id": user_id, "id": task_id}
    change = _failure(TaskStatus.UPLOAD_FAILED, OF_USER)
    task = _changed(connection, change, {**values, "code": code, "detail": detail}, now=now)
    return task or _refused(connection, user_id, task_id)


def cancel_task(connection: Connection, user_id: str, task_id: str, *, now: datetime) -> Task:
    """CANCELLED; a worker finds out with its next heartbeat. Raises TaskStatusError."""
    task = _changed(connection, CANCEL, {"user_id": user_id, "id": task_id}, now=now)
    return task or _refused(connection, user_id, task_id)


def retry_task(
    connection: Connection, user_id: str, task_id: str, *, now: datetime, most_open: int
) -> Task:
    """From FAILED to QUEUED, as long as its inputs are kept; one open task more.

    Raises TooManyOpenTasksError or TaskStatusError.
    """
    values = {"user_id": user_id, "id": task_id, "inputs_since": now - INPUTS_KEPT}
    with connection.transaction():
        check_room(connection, user_id, most_open=most_open)
        task = _changed(connection, RETRY, values, now=now)
    return task or _refused(connection, user_id, task_id)


def delete_task(connection: Connection, user_id: str, task_id: str, *, now: datetime) -> Task:
    """An ended task disappears for its user; its files are the caller's to remove.

    Raises TaskStatusError while it is open.
    """
    row = connection.execute(
        f"UPDATE shq.tasks SET deleted_at = %(now)s WHERE {OF_USER} "  # noqa: S608 our own columns
        f"AND ended_at IS NOT NULL RETURNING {COLUMNS}".encode(),
        {"user_id": user_id, "id": task_id, "now": now},
    ).fetchone()
    return task_of(row) if row else _refused(connection, user_id, task_id)


def claim_task(
    connection: Connection, task_id: str, *, run_id: str | None, now: datetime
) -> Task | None:
    """The task, PROCESSING and the caller's; None when somebody else has it, or nobody may."""
    return _changed(connection, CLAIM, {"id": task_id, "run_id": run_id}, now=now)


def claim_next(connection: Connection, *, run_id: str | None, now: datetime) -> Task | None:
    """The task that has waited longest, claimed; None when none waits.

    Several may ask at once: each gets another one, and none waits for the others.
    """
    row = connection.execute(
        "SELECT id::text FROM shq.tasks WHERE status = 'QUEUED' "
        "ORDER BY queued_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"
    ).fetchone()
    return claim_task(connection, row[0], run_id=run_id, now=now) if row else None


def queued_tasks(
    connection: Connection, *, queued_before: datetime, limit: int
) -> Mapping[str, datetime]:
    """Those that have waited since before, the one that has waited longest first.

    By their ids: when they were queued last, which is later where a worker was lost.
    """
    rows = connection.execute(
        "SELECT id::text, changed_at FROM shq.tasks WHERE status = 'QUEUED' AND queued_at < %s "
        "ORDER BY queued_at, id LIMIT %s",
        [queued_before, limit],
    ).fetchall()
    return dict(rows)


def say_progress(
    connection: Connection, task: Task, *, stage: str, progress: int, now: datetime
) -> bool:
    """A worker's sign of life. False when the task is not its own any more: stop at once."""
    done = connection.execute(
        "UPDATE shq.tasks SET stage = %(stage)s, progress = %(progress)s, heartbeat_at = %(now)s "
        "WHERE id = %(id)s AND claims = %(claims)s AND status = 'PROCESSING'",
        {**_claim(task), "stage": stage, "progress": progress, "now": now},
    )
    return done.rowcount == 1


def complete_task(
    connection: Connection, task: Task, outputs: Sequence[TaskOutput], *, now: datetime
) -> Task | None:
    """COMPLETED, by the worker that claimed it so; None when it is not its own any more."""
    return _changed(connection, COMPLETE, {**_claim(task), "outputs": as_json(outputs)}, now=now)


def fail_task(
    connection: Connection, task: Task, *, code: str, detail: str, now: datetime
) -> Task | None:
    """FAILED, with what a person can do about it; None when it is not the worker's any more."""
    change = _failure(TaskStatus.FAILED, f"{OF_CLAIM} AND status = 'PROCESSING'")
    return _changed(connection, change, {**_claim(task), "code": code, "detail": detail}, now=now)


def changed_tasks(
    connection: Connection, change: Change, values: Mapping[str, object], *, now: datetime
) -> list[Task]:
    """All tasks that the change's guard lets through, changed."""
    statement = CHANGE.format(sets=change.sets, guard=change.guard, columns=COLUMNS)
    said = {
        **values,
        "status": change.to,
        "before": list(before(change.to)),
        "reason": change.reason,
        "now": now,
    }
    return [task_of(row) for row in connection.execute(statement.encode(), said).fetchall()]


def _changed(
    connection: Connection, change: Change, values: Mapping[str, object], *, now: datetime
) -> Task | None:
    return next(iter(changed_tasks(connection, change, values, now=now)), None)


def _failure(to: TaskStatus, guard: str) -> Change:
    return Change(
        to=to,
        sets="error_code = %(code)s, error_detail = %(detail)s, ended_at = %(now)s",
        guard=guard,
        reason="failed",
    )


def _claim(task: Task) -> dict[str, object]:
    return {"id": task.id, "claims": task.claims}


def _refused(connection: Connection, user_id: str, task_id: str) -> Task:
    """Raises TaskMissingError or TaskStatusError, saying why nothing was changed."""
    task = get_task(connection, user_id, task_id)
    raise TaskStatusError(f"the task is {task.status}, which does not allow this", task.status)
