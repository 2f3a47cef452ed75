"""What requests and responses look like, with examples; the documentation is made of these."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from b2_resources.signing import LARGEST_PUT_BYTES
from outreach_core.tasks import HistoryEntry, Task, TaskStatus

InputName = Literal["primary", "baseline", "parameters"]
PARAMETERS_BYTES = 64 * 1024
NOT_IN_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
CONTENT_TYPE = r"^[a-z0-9][a-z0-9.+-]{0,40}/[a-z0-9][a-z0-9.+-]{0,80}$"
TOOL_ID = r"^[a-z0-9][a-z0-9-]{0,63}$"

TASK_EXAMPLE: dict[str, JsonValue] = {
    "id": "3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11",
    "tool_id": "profile-my-data",
    "status": "PROCESSING",
    "stage": "columns",
    "progress": 40,
    "parameters": {"top_values": 20},
    "inputs": [
        {
            "name": "primary",
            "filename": "leads june.csv",
            "content_type": "text/csv",
            "size_bytes": 1048576,
            "sha256": None,
        }
    ],
    "outputs": [],
    "error": None,
    "run_id": None,
    "created_at": "2026-11-22T08:00:00Z",
    "changed_at": "2026-11-22T08:01:10Z",
    "uploads_until": "2026-11-22T08:15:00Z",
    "ended_at": None,
}


def plain(value: str) -> str:
    """The text. Raises ValueError for one that is not."""
    if NOT_IN_TEXT.search(value):
        raise ValueError("holds a control character or half a character")
    return value


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        # Postgres keeps no NaN, no U+0000 and no half of a surrogate pair in JSON.
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        raise ValueError("holds a number or a text that JSON cannot") from None
    if "\\u0000" in text:
        raise ValueError("holds U+0000")
    if size > PARAMETERS_BYTES:
        raise ValueError(f"has more than {PARAMETERS_BYTES} bytes: hand in parameters.json")
    return value


class Strict(BaseModel):
    """A request: what is not known is refused, because it was meant to change something."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Shown(BaseModel):
    """A part of a response."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class FileWanted(Strict):
    """A file that is going to be handed in."""

    filename: Annotated[
        str,
        Field(min_length=1, max_length=255, examples=["leads june.csv"]),
        AfterValidator(plain),
    ]
    """What you call it; shown again, and used for nothing."""

    content_type: Annotated[str, Field(pattern=CONTENT_TYPE)] = "text/csv"
    size_bytes: Annotated[int, Field(ge=0, le=LARGEST_PUT_BYTES, examples=[1048576])]
    """Exactly as many as will be sent."""


class TaskWanted(Strict):
    """A new task."""

    tool_id: Annotated[str, Field(max_length=200, examples=["profile-my-data"])]
    """One of `GET /tools`."""

    inputs: dict[InputName, FileWanted]
    parameters: Annotated[
        dict[str, JsonValue], Field(examples=[{"top_values": 20}]), AfterValidator(_storable)
    ] = Field(default_factory=dict)


class InputShown(Shown):
    """A file that was, or is to be, handed in."""

    name: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str | None


class OutputShown(Shown):
    """A result."""

    name: str
    content_type: str
    size_bytes: int
    sha256: str


class ErrorShown(Shown):
    """Why a task failed."""

    error_code: str
    detail: str


class TaskShown(Shown):
    """A task."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [TASK_EXAMPLE]}
    )

    id: str
    tool_id: str
    status: TaskStatus
    stage: str
    progress: Annotated[int, Field(ge=0, le=100)]
    parameters: dict[str, JsonValue]
    inputs: Sequence[InputShown]
    outputs: Sequence[OutputShown]
    error: ErrorShown | None
    run_id: str | None
    """The run in Dagster that works on it."""

    created_at: datetime
    changed_at: datetime
    uploads_until: datetime
    ended_at: datetime | None


class HistoryShown(Shown):
    """A status a task has had."""

    status: TaskStatus
    changed_at: datetime
    reason: str


class TaskWithHistory(TaskShown):
    """A task, and how it came there."""

    history: Sequence[HistoryShown]


class TaskList(Shown):
    """A page of a user's tasks, the newest first."""

    tasks: Sequence[TaskShown]
    next_cursor: str | None
    """For the next page; null on the last."""


class UploadShown(Shown):
    """Where to send one file: a PUT to the URL with exactly these headers."""

    name: str
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]
    expires_at: datetime


class UploadList(Shown):
    """Where to send a task's files."""

    uploads: Sequence[UploadShown]


class DownloadShown(OutputShown):
    """A result, and where to get it with a plain GET."""

    url: str
    expires_at: datetime


class DownloadList(Shown):
    """A task's results."""

    downloads: Sequence[DownloadShown]


class ToolList(Shown):
    """The tools there are; `parameters` of each is a JSON schema."""

    tools: Sequence[dict[str, JsonValue]]


class Health(Shown):
    """That the service is there."""

    status: Literal["ok"] = "ok"


def shown(task: Task) -> TaskShown:
    """A task as its user sees it."""
    return TaskShown.model_validate(_fields(task))


def shown_with_history(task: Task, history: Sequence[HistoryEntry]) -> TaskWithHistory:
    """The same, and every status it has had."""
    told = [vars(entry) | {"changed_at": _utc(entry.changed_at)} for entry in history]
    return TaskWithHistory.model_validate(_fields(task) | {"history": told})


def _fields(task: Task) -> dict[str, object]:
    error = {"error_code": task.error_code, "detail": task.error_detail}
    return vars(task) | {
        "inputs": [vars(one) for one in task.inputs],
        "outputs": [vars(one) for one in task.outputs],
        "error": error if task.error_code else None,
        "created_at": _utc(task.created_at),
        "changed_at": _utc(task.changed_at),
        "uploads_until": _utc(task.uploads_until),
        "ended_at": task.ended_at and _utc(task.ended_at),
    }


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
