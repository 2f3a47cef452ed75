"""A task: a file that somebody hands in, what is to be done with it, and what becomes of it.

Its statuses and which may follow which. The rows in Postgres are read and made in task_rows.py and
changed in task_changes.py; the bytes are the store's. Called `status` because a state is Ohio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from outreach_core.errors import PermanentError

UPLOAD_TIME = timedelta(minutes=15)
"""How long a task waits for its files, from its creation or from the newest signed URL."""

HEARTBEAT_TIME = timedelta(minutes=30)
"""How long a worker may be silent before its task is given to another."""

MOST_LOST_CLAIMS = 1
"""How often a task is queued again because its worker was lost: a file that kills two kills ten."""

INPUTS_KEPT = timedelta(days=7)
OUTPUTS_KEPT = timedelta(days=30)
"""From a task's end; what an expired one has is removed at once."""


class TaskStatus(StrEnum):
    """Where a task is."""

    CREATED = "CREATED"
    UPLOADING = "UPLOADING"
    """URLs have been signed; its files are on their way."""

    QUEUED = "QUEUED"
    """Its files are there and pinned."""

    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    UPLOAD_FAILED = "UPLOAD_FAILED"
    """What arrived is not what was announced."""

    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


FOLLOWS: Mapping[TaskStatus | None, frozenset[TaskStatus]] = {
    None: frozenset({TaskStatus.CREATED}),
    TaskStatus.CREATED: frozenset(
        {TaskStatus.UPLOADING, TaskStatus.CANCELLED, TaskStatus.EXPIRED},
    ),
    TaskStatus.UPLOADING: frozenset(
        {
            TaskStatus.QUEUED,
            TaskStatus.UPLOAD_FAILED,
            TaskStatus.CANCELLED,
            TaskStatus.EXPIRED,
        }
    ),
    TaskStatus.UPLOAD_FAILED: frozenset({TaskStatus.UPLOADING}),
    TaskStatus.QUEUED: frozenset({TaskStatus.PROCESSING, TaskStatus.CANCELLED}),
    TaskStatus.PROCESSING: frozenset(
        {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.QUEUED}
    ),
    TaskStatus.FAILED: frozenset({TaskStatus.QUEUED}),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
    TaskStatus.EXPIRED: frozenset(),
}
"""What may come after each status; None is before the first."""

OPEN = (TaskStatus.CREATED, TaskStatus.UPLOADING, TaskStatus.QUEUED, TaskStatus.PROCESSING)
"""Something is still to happen by itself; these count against a user's limit."""


def before(status: TaskStatus) -> list[TaskStatus]:
    """The statuses that this one may follow."""
    return [one for one, after in FOLLOWS.items() if one is not None and status in after]


class TaskMissingError(PermanentError):
    """There is no such task, or it is another user's: nobody is told which."""


class TaskStatusError(PermanentError):
    """The task is in a status that does not allow this."""

    def __init__(self, message: str, status: TaskStatus) -> None:
        super().__init__(message)
        self.status = status


class TooManyOpenTasksError(PermanentError):
    """The user has as many open tasks as one may have."""


@dataclass(frozen=True, kw_only=True)
class TaskInput:
    """A file that is to be handed in, as its sender announced it; pinned once it is there."""

    name: str
    """`primary`, `baseline` or `parameters`."""

    filename: str
    """What the sender calls it: shown again, and used for nothing."""

    content_type: str
    size_bytes: int
    sha256: str | None = None
    """Lower-case hex, where the store knows it."""

    version: str | None = None
    """What the store tells these bytes by from others under the same key."""


@dataclass(frozen=True, kw_only=True)
class TaskOutput:
    """A result in the store."""

    name: str
    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task as its row says it was a moment ago."""

    id: str
    user_id: str
    tool_id: str
    status: TaskStatus
    parameters: Mapping[str, object]
    inputs: Sequence[TaskInput]
    outputs: Sequence[TaskOutput]
    stage: str
    """What is being done, in a word or two."""

    progress: int
    """0 to 100."""

    error_code: str | None
    error_detail: str | None
    run_id: str | None
    """The Dagster run that works on it, or did last."""

    claims: int
    """How often it was claimed. A worker names its own claim, so that one given up for lost and
    come back changes nothing any more."""

    created_at: datetime
    changed_at: datetime
    """When it got this status."""

    uploads_until: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """What a user asks for."""

    id: str
    user_id: str
    tool_id: str
    parameters: Mapping[str, object]
    inputs: Sequence[TaskInput]


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A task got this status, then, for this reason."""

    status: TaskStatus
    changed_at: datetime
    reason: str
