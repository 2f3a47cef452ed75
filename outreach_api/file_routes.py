"""A task's files over HTTP: where to put them, that they are there, where to get the results.

No file passes through here: URLs are signed, and what was uploaded is looked at by HEAD.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query
from fastapi.responses import JSONResponse, RedirectResponse, Response

from b2_resources.keys import task_input_key, task_output_key
from b2_resources.object_store import ObjectMissingError, StoredObject
from outreach_api.asking import Given, MaybeRepeated, TaskId, User
from outreach_api.collaborators import Collaborators
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_api.schemas import (
    DownloadList,
    DownloadShown,
    TaskShown,
    UploadList,
    UploadShown,
)
from outreach_api.task_routes import changed_once, push, refused_as
from outreach_core.given_answers import given_answer
from outreach_core.postgres import Connection
from outreach_core.task_changes import fail_upload, queue_task, start_upload, start_upload_again
from outreach_core.task_rows import get_task
from outreach_core.tasks import (
    UPLOAD_TIME,
    Task,
    TaskInput,
    TaskOutput,
    TaskStatus,
    TaskStatusError,
)

DOWNLOAD_TIME = timedelta(minutes=15)
ALREADY = (TaskStatus.QUEUED, TaskStatus.PROCESSING)

router = APIRouter(prefix="/tasks/{task_id}", tags=["files"])


@router.post("/upload-urls", response_model=UploadList)
def sign_uploads(task_id: TaskId, given: Given, user: User) -> Response:
    """Where to PUT each file within 15 minutes: exactly the bytes and the type announced.

    Ask again when the time is not enough.
    """
    task = uploading(given, user, task_id)
    found = UploadList(uploads=[_upload(given, task, one) for one in task.inputs])
    # As JSON already: FastAPI would check it all again, in another thread.
    return Response(found.model_dump_json(), media_type="application/json")


@router.post("/process", status_code=202, response_model=TaskShown)
def process(
    task_id: TaskId, given: Given, asked: MaybeRepeated, background: BackgroundTasks
) -> Response:
    """The files are there: look at them, and begin the work on exactly these bytes."""
    with given.database.statements() as connection:
        # The task first: a twin of this request that was quicker has then left its answer.
        task = get_task(connection, asked.user_id, task_id)
        before = given_answer(connection, asked)
    if before is not None:
        return JSONResponse(before, 202)
    if task.status is not TaskStatus.UPLOADING:
        raise _not_processable(task.status)
    found = _found_files(given, task)

    def deed(connection: Connection) -> Task:
        queued = queue_task(connection, asked.user_id, task_id, found, now=given.now())
        background.add_task(push, given, task_id)
        return queued

    try:
        return changed_once(given, asked, deed, status=202, background=background)
    except TaskStatusError as error:
        raise _not_processable(error.status) from error


@router.get("/downloads")
def sign_downloads(task_id: TaskId, given: Given, user: User) -> DownloadList:
    """Where to get each result, for 15 minutes."""
    task = _completed(given, user, task_id)
    expires_at = (given.now() + DOWNLOAD_TIME).astimezone(UTC)
    return DownloadList(
        downloads=[
            DownloadShown(**vars(one), url=_download_url(given, task, one), expires_at=expires_at)
            for one in task.outputs
        ]
    )


@router.get("/report", status_code=307, response_class=RedirectResponse)
def report(
    task_id: TaskId,
    given: Given,
    user: User,
    wanted: Annotated[
        str, Query(alias="format", pattern="^[a-z]{1,8}$", examples=["html"])
    ] = "json",
) -> RedirectResponse:
    """The report of a completed task, as json, html or xlsx: sends you on to its URL."""
    task = _completed(given, user, task_id)
    for one in task.outputs:
        if re.fullmatch(rf".*report\.{wanted}", one.name):
            return RedirectResponse(_download_url(given, task, one), 307)
    names = ", ".join(one.name for one in task.outputs)
    raise RefusedError(
        404, ErrorCode.REPORT_NOT_FOUND, f"there is no report of that format: there are {names}"
    )


def uploading(given: Collaborators, user: str, task_id: str) -> Task:
    """The task, UPLOADING, with time for it from now on. Raises RefusedError."""
    try:
        with given.database.statements() as connection:
            return _started_upload(given, connection, user, task_id)
    except TaskStatusError as error:
        # Still waiting, and not given more time: its time is over, and the sweep has not come by.
        waiting = (TaskStatus.CREATED, TaskStatus.UPLOADING, TaskStatus.EXPIRED)
        if error.status in waiting:
            raise _expired() from error
        context = {"status": error.status.value}
        raise RefusedError(
            409, ErrorCode.TASK_NOT_UPLOADABLE, str(error), context=context
        ) from error


def _started_upload(given: Collaborators, connection: Connection, user: str, task_id: str) -> Task:
    try:
        return start_upload(connection, user, task_id, now=given.now())
    except TaskStatusError as error:
        if error.status is not TaskStatus.UPLOAD_FAILED:
            raise
    most = given.limits.open_tasks
    return start_upload_again(connection, user, task_id, now=given.now(), most_open=most)


def _upload(given: Collaborators, task: Task, wanted: TaskInput) -> UploadShown:
    signed = given.signing.sign_upload(
        task_input_key(task.user_id, task.id, wanted.name),
        content_type=wanted.content_type,
        size_bytes=wanted.size_bytes,
        valid_for=UPLOAD_TIME,
    )
    return UploadShown(
        name=wanted.name, url=signed.url, headers=signed.headers, expires_at=signed.expires_at
    )


def _download_url(given: Collaborators, task: Task, output: TaskOutput) -> str:
    key = task_output_key(task.user_id, task.id, output.name)
    return given.signing.sign_download(key, valid_for=DOWNLOAD_TIME, filename=output.name)


def _found_files(given: Collaborators, task: Task) -> list[TaskInput]:
    """The inputs as they are in the store. Raises RefusedError; no connection is held meanwhile."""
    heads = {one.name: _head(given, task, one) for one in task.inputs}
    missing = [name for name, head in heads.items() if head is None]
    if missing and given.now() >= task.uploads_until:
        raise _expired()
    if missing:
        raise RefusedError(
            400,
            ErrorCode.FILES_NOT_FOUND,
            f"not uploaded yet: {', '.join(missing)}",
            context={"files": missing},
        )
    found = {name: head for name, head in heads.items() if head is not None}
    _refuse_others(given, task, found.values())
    return [
        replace(one, sha256=found[one.name].sha256, version=found[one.name].version)
        for one in task.inputs
    ]


def _head(given: Collaborators, task: Task, wanted: TaskInput) -> StoredObject | None:
    try:
        return given.store.head(task_input_key(task.user_id, task.id, wanted.name))
    except ObjectMissingError:
        return None


def _refuse_others(given: Collaborators, task: Task, found: Iterable[StoredObject]) -> None:
    sizes = {task_input_key(task.user_id, task.id, one.name): one for one in task.inputs}
    for head in found:
        wanted = sizes[head.key]
        if (head.size_bytes, head.content_type) == (wanted.size_bytes, wanted.content_type):
            continue
        says = (
            f"{wanted.name} has {head.size_bytes} bytes of type {head.content_type}, and "
            f"{wanted.size_bytes} of {wanted.content_type} were announced: ask for new URLs"
        )
        code = ErrorCode.FILES_DIFFER
        with (
            refused_as(409, ErrorCode.TASK_NOT_PROCESSABLE),
            given.database.connect() as connection,
        ):
            fail_upload(connection, task.user_id, task.id, code=code, detail=says, now=given.now())
        raise RefusedError(400, code, says)


def _completed(given: Collaborators, user: str, task_id: str) -> Task:
    with given.database.statements() as connection:
        task = get_task(connection, user, task_id)
    if task.status is not TaskStatus.COMPLETED:
        raise RefusedError(
            409,
            ErrorCode.TASK_NOT_COMPLETED,
            f"the task is {task.status}: results are there when it is COMPLETED",
            context={"status": task.status.value},
        )
    return task


def _not_processable(status: TaskStatus) -> RefusedError:
    if status in ALREADY:
        says = f"the task is {status} already"
        return RefusedError(
            409, ErrorCode.TASK_ALREADY_PROCESSING, says, context={"status": status.value}
        )
    if status is TaskStatus.CREATED:
        says = "nothing was uploaded yet: ask for upload-urls and put the files there"
        return RefusedError(400, ErrorCode.FILES_NOT_FOUND, says)
    if status is TaskStatus.EXPIRED:
        return _expired()
    return RefusedError(
        409,
        ErrorCode.TASK_NOT_PROCESSABLE,
        f"the task is {status}",
        context={"status": status.value},
    )


def _expired() -> RefusedError:
    return RefusedError(
        400, ErrorCode.UPLOAD_URLS_EXPIRED, "the time for the upload is over: create a new task"
    )
