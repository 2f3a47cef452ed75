"""A large file in parts over HTTP: begun, signed part by part, gone on with, completed, aborted.

Which parts are there is what the store says. A file that nobody completes is no file: `process`
does not find it, and task upkeep aborts what is left open.
"""

from collections.abc import Sequence

from fastapi import APIRouter

from b2_resources.keys import task_input_key
from b2_resources.object_store import ObjectMissingError
from b2_resources.part_uploads import (
    ArrivedPart,
    PartPlan,
    PartsGoneError,
    missing_parts,
    planned,
)
from outreach_api.asking import Given, TaskId, User
from outreach_api.collaborators import Collaborators
from outreach_api.file_routes import uploading
from outreach_api.part_schemas import (
    PartSent,
    PartShown,
    PartsSent,
    PartsShown,
    PartsWanted,
    PartUrlList,
    PartUrlShown,
    UploadedShown,
)
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_api.schemas import InputName
from outreach_core.task_parts import (
    PartUpload,
    drop_upload,
    note_upload,
    take_upload,
    upload_of,
)
from outreach_core.task_rows import get_task
from outreach_core.tasks import UPLOAD_TIME, Task, TaskInput, TaskStatus

MOST_NAMED = 100
"""So many numbers of parts an answer names at most."""

router = APIRouter(prefix="/tasks/{task_id}/uploads/{name}", tags=["files"])


@router.post("")
def begin(task_id: TaskId, name: InputName, given: Given, user: User) -> PartsShown:
    """Begin to send this file in parts, or go on: how it is cut, and which parts have arrived."""
    task = uploading(given, user, task_id)
    wanted = _input(task, name)
    key = task_input_key(user, task_id, name)
    plan = planned(wanted.size_bytes, given.part_bytes, given.parts.max_parts)
    with given.database.connect() as connection:
        upload = note_upload(connection, task_id, name, part_bytes=plan.part_bytes)
    if upload.upload_id is not None:
        try:
            return _shown(wanted, upload, given.parts.arrived(key, upload.upload_id))
        except PartsGoneError:
            with given.database.connect() as connection:
                drop_upload(connection, task_id, name, upload.upload_id)
    upload_id = given.parts.begin(key, content_type=wanted.content_type)
    with given.database.connect() as connection:
        upload = take_upload(connection, task_id, name, upload_id)
    return _shown(wanted, upload, [])


@router.get("")
def show(task_id: TaskId, name: InputName, given: Given, user: User) -> PartsShown:
    """Which parts have arrived."""
    task, wanted, upload = _under_way(given, user, task_id, name)
    try:
        arrived = given.parts.arrived(_key(task, wanted), _open(upload))
    except PartsGoneError:
        raise _not_begun() from None
    return _shown(wanted, upload, arrived)


@router.post("/part-urls")
def sign_parts(
    task_id: TaskId, name: InputName, parts: PartsWanted, given: Given, user: User
) -> PartUrlList:
    """Where to PUT these parts, each with exactly its bytes, within 15 minutes.

    Ask for the next when they are due: each time gives the task 15 minutes more.
    """
    _, wanted, upload = _under_way(given, user, task_id, name)
    upload_id, plan = _open(upload), _plan(wanted, upload)
    strange = [number for number in parts.numbers if number > plan.count]
    if strange:
        raise _refused_parts(
            ErrorCode.INVALID_PART, f"the file has parts 1 to {plan.count}", strange
        )
    task = uploading(given, user, task_id)
    urls = []
    for number in parts.numbers:
        signed = given.signing.sign_part(
            _key(task, wanted),
            upload_id,
            number,
            size_bytes=plan.size_of(number),
            valid_for=UPLOAD_TIME,
        )
        urls.append(PartUrlShown(number=number, **vars(signed)))
    return PartUrlList(parts=urls)


@router.post("/complete")
def complete(
    task_id: TaskId, name: InputName, sent: PartsSent, given: Given, user: User
) -> UploadedShown:
    """All parts have been sent: they are the file. Asked again, it answers the same."""
    task, wanted, upload = _under_way(given, user, task_id, name)
    key, done = _key(task, wanted), UploadedShown(name=name, size_bytes=wanted.size_bytes)
    if upload.upload_id is None:
        return _whole_already(given, key, done)
    try:
        arrived = given.parts.arrived(key, upload.upload_id)
        _check_sent(_plan(wanted, upload), arrived, sent.parts)
        given.parts.complete(key, upload.upload_id, arrived)
    except PartsGoneError:
        _whole_already(given, key, done)
    with given.database.connect() as connection:
        drop_upload(connection, task_id, name, upload.upload_id)
    return done


@router.delete("", status_code=204)
def abort(task_id: TaskId, name: InputName, given: Given, user: User) -> None:
    """Leave it: parts that have arrived are thrown away. A file that is whole already stays."""
    with given.database.statements() as connection:
        wanted = _input(get_task(connection, user, task_id), name)
        upload = upload_of(connection, task_id, name)
    given.parts.abort_all(task_input_key(user, task_id, wanted.name))
    if upload is not None and upload.upload_id is not None:
        with given.database.connect() as connection:
            drop_upload(connection, task_id, name, upload.upload_id)


def _under_way(
    given: Collaborators, user: str, task_id: str, name: str
) -> tuple[Task, TaskInput, PartUpload]:
    with given.database.statements() as connection:
        task = get_task(connection, user, task_id)
        upload = upload_of(connection, task_id, name)
    wanted = _input(task, name)
    if task.status is not TaskStatus.UPLOADING:
        raise RefusedError(
            409,
            ErrorCode.TASK_NOT_UPLOADABLE,
            f"the task is {task.status}, which does not allow this",
            context={"status": task.status.value},
        )
    if upload is None:
        raise _not_begun()
    return task, wanted, upload


def _input(task: Task, name: str) -> TaskInput:
    for one in task.inputs:
        if one.name == name and one.size_bytes > 0:
            return one
    raise RefusedError(
        400,
        ErrorCode.INVALID_INPUTS,
        f"the task was not created with a file {name} that has bytes: use upload-urls for one "
        "that is empty",
    )


def _key(task: Task, wanted: TaskInput) -> str:
    return task_input_key(task.user_id, task.id, wanted.name)


def _open(upload: PartUpload) -> str:
    if upload.upload_id is None:
        raise _not_begun()
    return upload.upload_id


def _plan(wanted: TaskInput, upload: PartUpload) -> PartPlan:
    return PartPlan(size_bytes=wanted.size_bytes, part_bytes=upload.part_bytes)


def _shown(wanted: TaskInput, upload: PartUpload, arrived: Sequence[ArrivedPart]) -> PartsShown:
    plan = _plan(wanted, upload)
    return PartsShown(
        name=wanted.name,
        size_bytes=plan.size_bytes,
        part_bytes=plan.part_bytes,
        parts=plan.count,
        arrived=[PartShown(**vars(part)) for part in arrived],
    )


def _check_sent(plan: PartPlan, arrived: Sequence[ArrivedPart], sent: Sequence[PartSent]) -> None:
    """Raises RefusedError unless what arrived is all there is, and what its sender saw."""
    missing = missing_parts(plan, arrived)
    if missing:
        raise _refused_parts(ErrorCode.PARTS_NOT_FOUND, "parts have not arrived", missing)
    seen = {part.number: part.etag.strip('"').lower() for part in sent}
    there = {part.number: part.etag for part in arrived}
    others = sorted(n for n in seen.keys() | there.keys() if seen.get(n) != there.get(n))
    if others or len(sent) != plan.count:
        raise _refused_parts(
            ErrorCode.PARTS_DIFFER,
            "parts are other than their sender saw them arrive: send these again",
            others,
        )


def _whole_already(given: Collaborators, key: str, done: UploadedShown) -> UploadedShown:
    """For one who asks again because the first answer was lost. Raises RefusedError."""
    try:
        found = given.store.head(key)
    except ObjectMissingError:
        raise _not_begun() from None
    if found.size_bytes != done.size_bytes:
        raise _not_begun()
    return done


def _not_begun() -> RefusedError:
    return RefusedError(
        404, ErrorCode.UPLOAD_NOT_FOUND, "no upload in parts is open: begin it with a POST"
    )


def _refused_parts(code: ErrorCode, says: str, numbers: Sequence[int]) -> RefusedError:
    return RefusedError(400, code, says, context={"parts": list(numbers[:MOST_NAMED])})
