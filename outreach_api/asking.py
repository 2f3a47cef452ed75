"""What several routes ask of a request: whose it is, which task, whether it came before."""

import base64
import hashlib
import json
import re
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from outreach_api.collaborators import Collaborators
from outreach_api.doors import caller_of
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_core.given_answers import Asked
from outreach_core.task_rows import TaskPlace
from outreach_core.tasks import Task, TaskMissingError
from outreach_core.users import Caller

TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# A dependency that is not async is run in a thread of its own, which costs more than it does.
async def given(request: Request) -> Collaborators:
    """What the app was made with."""
    collaborators: Collaborators = request.app.state.collaborators
    return collaborators


async def calling(request: Request) -> Caller:
    """Whose request it is."""
    return caller_of(request)


async def user_of(request: Request) -> str:
    """The id of whose request it is; it comes from the token and from nothing else."""
    return caller_of(request).user_id


async def task_id_of(
    task_id: Annotated[str, Path(examples=["3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11"])],
) -> str:
    """The id in the path; what cannot be one is a task that does not exist."""
    if not TASK_ID.fullmatch(task_id):
        raise TaskMissingError("there is no such task")
    return task_id


async def asked_of(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=200,
            pattern=r"^[!-~]+$",
            description="Any text of yours; the same request with the same text is done once, and "
            "answered the same, for seven days.",
        ),
    ] = None,
) -> Asked:
    """The request, as one that may have come before."""
    said = f"{request.method} {request.url.path}\n".encode(errors="replace") + await request.body()
    return Asked(
        user_id=caller_of(request).user_id,
        idempotency_key=idempotency_key,
        request_sha256=hashlib.sha256(said).digest(),
    )


async def administrator_of(request: Request) -> str:
    """The id of whose request it is. Raises RefusedError for who is no administrator."""
    caller = caller_of(request)
    if not caller.is_administrator:
        raise RefusedError(
            403, ErrorCode.NOT_ALLOWED, "for administrators: `outreach users add NAME --admin`"
        )
    return caller.user_id


Given = Annotated[Collaborators, Depends(given)]
User = Annotated[str, Depends(user_of)]
WhoCalls = Annotated[Caller, Depends(calling)]
TaskId = Annotated[str, Depends(task_id_of)]
Administrator = Annotated[str, Depends(administrator_of)]
MaybeRepeated = Annotated[Asked, Depends(asked_of)]


def cursor_after(task: Task) -> str:
    """Where the page after this task begins; not to be read by anybody."""
    place = json.dumps([task.created_at.isoformat(), task.id])
    return base64.urlsafe_b64encode(place.encode()).decode()


def place_of(cursor: str) -> TaskPlace:
    """The inverse. Raises RefusedError for what is no cursor of ours."""
    try:
        created_at, task_id = json.loads(base64.urlsafe_b64decode(cursor))
        place = TaskPlace(created_at=datetime.fromisoformat(created_at), id=task_id)
        if TASK_ID.fullmatch(task_id) and place.created_at.tzinfo:
            return place
    except (ValueError, TypeError, RecursionError):
        pass
    raise RefusedError(
        400, ErrorCode.INVALID_CURSOR, "`cursor` is none: send `next_cursor` of the page before"
    )
