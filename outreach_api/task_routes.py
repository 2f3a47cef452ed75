"""Tasks over HTTP: asked for, looked at, cancelled, tried again, deleted.

Their files are in file_routes.py, what happens to them while one watches in event_routes.py.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query
from fastapi.responses import JSONResponse, Response

from b2_resources.keys import task_input_key, task_output_key
from outreach_api.asking import Given, MaybeRepeated, TaskId, User, cursor_after, place_of
from outreach_api.collaborators import Collaborators, OfferedTool, WrongParametersError
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_api.schemas import (
    TOOL_ID,
    FileWanted,
    InputName,
    TaskList,
    TaskShown,
    TaskWanted,
    TaskWithHistory,
    shown,
    shown_with_history,
)
from outreach_core.errors import OutreachError
from outreach_core.given_answers import answer_once
from outreach_core.postgres import Connection
from outreach_core.task_changes import cancel_task, delete_task, retry_task
from outreach_core.task_rows import (
    TaskFilter,
    create_task,
    get_task,
    history_of,
    list_tasks,
)
from outreach_core.tasks import NewTask, Task, TaskInput, TaskStatus, TaskStatusError

PARAMETERS: InputName = "parameters"
PARAMETERS_BYTES = 1024 * 1024

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/tasks", tags=["tasks"])


@router.post("", status_code=201, response_model=TaskShown)
def create(wanted: TaskWanted, given: Given, asked: MaybeRepeated) -> Response:
    """Ask for a task. Next: `upload-urls`, put the files there, then `process`."""
    tool = given.tools.get(wanted.tool_id)
    if tool is None:
        known = ", ".join(given.tools) or "none"
        raise RefusedError(
            400, ErrorCode.INVALID_TOOL_ID, f"there is no such tool: there are {known}"
        )
    _check_inputs(tool, wanted.inputs)
    try:
        tool.check(wanted.parameters)
    except WrongParametersError as error:
        raise RefusedError(400, ErrorCode.INVALID_PARAMETERS, str(error)) from error
    now = given.now()
    new = NewTask(
        id=given.new_id(),
        user_id=asked.user_id,
        tool_id=wanted.tool_id,
        parameters=wanted.parameters,
        inputs=[
            TaskInput(
                name=name,
                filename=file.filename,
                content_type=file.content_type,
                size_bytes=file.size_bytes,
            )
            for name, file in wanted.inputs.items()
        ],
    )

    def deed(connection: Connection) -> Task:
        return create_task(connection, new, now=now, most_open=given.limits.open_tasks)

    return changed_once(given, asked, deed, status=201)


@router.get("")
def list_all(
    given: Given,
    user: User,
    status: TaskStatus | None = None,
    tool_id: Annotated[str | None, Query(pattern=TOOL_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> TaskList:
    """Your tasks, the newest first, page by page."""
    after = place_of(cursor) if cursor else None
    wanted = TaskFilter(status=status, tool_id=tool_id, after=after)
    with given.database.statements() as connection:
        found = list_tasks(connection, user, wanted, limit=limit + 1)
    page = found[:limit]
    return TaskList(
        tasks=[shown(task) for task in page],
        next_cursor=cursor_after(page[-1]) if len(found) > limit else None,
    )


@router.get("/{task_id}")
def show(task_id: TaskId, given: Given, user: User) -> TaskWithHistory:
    """A task of yours, and how it came where it is."""
    with given.database.connect() as connection:
        task = get_task(connection, user, task_id)
        return shown_with_history(task, history_of(connection, task.id))


@router.post("/{task_id}/cancel", response_model=TaskShown)
def cancel(task_id: TaskId, given: Given, asked: MaybeRepeated) -> Response:
    """Stop a task: one that is being worked on is left within seconds."""

    def deed(connection: Connection) -> Task:
        return cancel_task(connection, asked.user_id, task_id, now=given.now())

    with refused_as(409, ErrorCode.TASK_NOT_CANCELLABLE):
        return changed_once(given, asked, deed)


@router.post("/{task_id}/retry", status_code=202, response_model=TaskShown)
def retry(
    task_id: TaskId, given: Given, asked: MaybeRepeated, background: BackgroundTasks
) -> Response:
    """Try a failed task again with the same files, as long as they are kept: seven days."""

    def deed(connection: Connection) -> Task:
        most = given.limits.open_tasks
        task = retry_task(connection, asked.user_id, task_id, now=given.now(), most_open=most)
        background.add_task(push, given, task.id)
        return task

    with refused_as(409, ErrorCode.TASK_NOT_RETRYABLE):
        return changed_once(given, asked, deed, status=202, background=background)


@router.delete("/{task_id}", status_code=204)
def delete(task_id: TaskId, given: Given, user: User, background: BackgroundTasks) -> None:
    """Remove an ended task and its files; cancel an open one first."""
    with (
        refused_as(409, ErrorCode.TASK_NOT_DELETABLE),
        given.database.connect() as connection,
    ):
        task = delete_task(connection, user, task_id, now=given.now())
    background.add_task(_remove_files, given, task)


def changed_once(
    given: Collaborators,
    asked: MaybeRepeated,
    deed: Callable[[Connection], Task],
    *,
    status: int = 200,
    background: BackgroundTasks | None = None,
) -> Response:
    """The task after the deed; the first answer again for a request that came before.

    The deed is whole or absent by itself: only one whose answer is kept needs a transaction around.
    """
    opened = given.database.connect if asked.idempotency_key else given.database.statements
    with opened() as connection:

        def do() -> Mapping[str, object]:
            return shown(deed(connection)).model_dump(mode="json")

        answer = answer_once(connection, asked, do, now=given.now())
    return JSONResponse(answer, status, background=background)


@contextmanager
def refused_as(status: int, code: ErrorCode) -> Iterator[None]:
    """A task's status that does not allow what is asked, as this answer."""
    try:
        yield
    except TaskStatusError as error:
        raise RefusedError(
            status, code, str(error), context={"status": error.status.value}
        ) from error


def push(given: Collaborators, task_id: str) -> None:
    """Ask for a run now. Where that fails the sweep finds the task."""
    try:
        given.queue.push(task_id)
    except OutreachError as error:
        logger.warning("task %s waits for the sweep: %s", task_id, error)


def _check_inputs(tool: OfferedTool, files: Mapping[InputName, FileWanted]) -> None:
    inputs = tool.manifest["inputs"]
    assert isinstance(inputs, list)  # noqa: S101 what a manifest is
    known = {str(one["name"]): bool(one["required"]) for one in inputs}
    strange = sorted(set(files) - set(known) - {PARAMETERS})
    missing = sorted(name for name, required in known.items() if required and name not in files)
    if strange or missing:
        says = [f"this tool reads no {name}" for name in strange]
        says += [f"this tool needs {name}" for name in missing]
        raise RefusedError(400, ErrorCode.INVALID_INPUTS, "; ".join(says))
    parameters = files.get(PARAMETERS)
    if parameters is not None and parameters.size_bytes > PARAMETERS_BYTES:
        raise RefusedError(
            400, ErrorCode.INVALID_INPUTS, f"parameters may have {PARAMETERS_BYTES} bytes"
        )


def _remove_files(given: Collaborators, task: Task) -> None:
    """At once what can be; the maintenance schedule removes what is left, or comes later."""
    keys = [task_input_key(task.user_id, task.id, one.name) for one in task.inputs]
    keys += [task_output_key(task.user_id, task.id, one.name) for one in task.outputs]
    try:
        for key in keys:
            given.store.delete(key)
    except OutreachError as error:
        logger.warning("files of task %s are left to the schedule: %s", task.id, error)
