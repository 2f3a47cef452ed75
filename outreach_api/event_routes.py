"""A task's progress as it happens: server-sent events, until it has ended.

Postgres is asked every second. LISTEN would know sooner, and does not work behind a pooler.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from outreach_api.asking import Given, TaskId, User
from outreach_api.collaborators import Collaborators
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_api.schemas import TaskShown, shown
from outreach_core.errors import OutreachError
from outreach_core.task_rows import get_task
from outreach_core.tasks import OPEN

LOOK_EVERY_SECONDS = 1.0
LOOKS = 600
"""After ten minutes the stream ends, and a browser asks again by itself."""

SILENT_LOOKS = 15
"""After so many a comment is sent, so that no proxy takes the silence for the end."""

STREAMS_PER_USER = 10
"""Of one server process."""


def events_router() -> APIRouter:
    """The route, and how many streams each user has open at it."""
    router = APIRouter(tags=["tasks"])
    open_streams: Counter[str] = Counter()

    @router.get(
        "/tasks/{task_id}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(task_id: TaskId, given: Given, user: User) -> StreamingResponse:
        """Each change of a task as an event `task`, until it has ended (server-sent events)."""
        first = await run_in_threadpool(_look, given, user, task_id)
        if open_streams[user] >= STREAMS_PER_USER:
            raise RefusedError(
                429, ErrorCode.TOO_MANY_REQUESTS, f"{STREAMS_PER_USER} streams may be open"
            )

        async def counted() -> AsyncIterator[str]:
            open_streams[user] += 1
            try:
                async for event in _events(given, user, first):
                    yield event
            finally:
                open_streams[user] -= 1

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(counted(), media_type="text/event-stream", headers=headers)

    return router


async def _events(given: Collaborators, user: str, first: TaskShown) -> AsyncIterator[str]:
    told, task, silent = "", first, 0
    for _ in range(LOOKS):
        says = task.model_dump_json()
        if says != told:
            yield f"event: task\ndata: {says}\n\n"
            told, silent = says, 0
        elif (silent := silent + 1) % SILENT_LOOKS == 0:
            yield ": still here\n\n"
        if task.status not in OPEN:
            return
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        try:
            task = await run_in_threadpool(_look, given, user, task.id)
        except OutreachError:
            return  # deleted, or the database is away: asking again says which


def _look(given: Collaborators, user: str, task_id: str) -> TaskShown:
    with given.database.statements() as connection:
        return shown(get_task(connection, user, task_id))
