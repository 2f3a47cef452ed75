"""Tasks that nobody goes on with, and files kept long enough: what a schedule sees to.

Which tasks these are is said in outreach_core/task_sweep.py. Killed in between, it goes on the next
time: what is removed is noted afterwards, and removing it again is harmless.
"""

from dataclasses import dataclass, field
from datetime import datetime

from b2_resources.build_store import part_uploads_of
from b2_resources.keys import task_input_key, task_outputs_prefix
from b2_resources.object_store import ObjectStore
from b2_resources.purge import purge
from outreach_core.postgres import Postgres
from outreach_core.task_parts import forget_upload, left_uploads
from outreach_core.task_sweep import (
    TaskFiles,
    due_removals,
    expire_tasks,
    forget_answers,
    note_removal,
)
from outreach_core.tasks import Task

AT_ONCE = 1_000
"""Tasks whose files are removed in one go; the rest waits for the next."""


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What was done; ids of tasks, and counts."""

    expired: list[str] = field(default_factory=list)
    queued_again: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    inputs_removed: int = 0
    """Of so many tasks."""

    outputs_removed: int = 0
    uploads_aborted: int = 0
    """Uploads in parts that nobody completed; a bucket bills their parts for ever."""

    answers_forgotten: int = 0


def look_after_tasks(postgres: Postgres, store: ObjectStore, *, now: datetime) -> Upkeep:
    """Expire, queue again, give up; then remove files for good, also from a bucket's versions."""
    with postgres.connect() as connection:
        swept = expire_tasks(connection, now=now)
        forgotten = forget_answers(connection, now=now)
    return Upkeep(
        expired=[task.id for task in swept.expired],
        queued_again=[task.id for task in swept.queued_again],
        given_up=[task.id for task in swept.failed],
        inputs_removed=_remove(postgres, store, TaskFiles.INPUTS, now=now),
        outputs_removed=_remove(postgres, store, TaskFiles.OUTPUTS, now=now),
        uploads_aborted=_abort_uploads(postgres, store),
        answers_forgotten=forgotten,
    )


def _abort_uploads(postgres: Postgres, store: ObjectStore) -> int:
    with postgres.connect() as connection:
        left = left_uploads(connection, limit=AT_ONCE)
    aborted = 0
    for one in left:
        aborted += part_uploads_of(store).abort_all(
            task_input_key(one.user_id, one.task_id, one.name)
        )
        with postgres.connect() as connection:
            forget_upload(connection, one)
    return aborted


def _remove(postgres: Postgres, store: ObjectStore, files: TaskFiles, *, now: datetime) -> int:
    with postgres.connect() as connection:
        due = due_removals(connection, files, now=now, limit=AT_ONCE)
    for task in due:
        if files is TaskFiles.INPUTS:
            _remove_inputs(store, task)
        elif task.claims:
            _remove_outputs(store, task)
        with postgres.connect() as connection:
            note_removal(connection, task.id, files, now=now)
    return len(due)


def _remove_inputs(store: ObjectStore, task: Task) -> None:
    keys = [task_input_key(task.user_id, task.id, one.name) for one in task.inputs]
    if keys:
        purge(store, keys[0].rpartition("/")[0] + "/", keys=keys)


def _remove_outputs(store: ObjectStore, task: Task) -> None:
    """By a listing: a worker that was lost leaves what no row knows."""
    prefix = task_outputs_prefix(task.user_id, task.id)
    purge(store, prefix, keys=[one.key for one in store.list_objects(prefix)])
