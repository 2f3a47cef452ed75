"""Tasks in a real Postgres: their lives are legal, whoever calls what, in whatever order."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_core.postgres import Connection, Postgres
from outreach_core.task_changes import (
    cancel_task,
    claim_next,
    claim_task,
    complete_task,
    delete_task,
    fail_task,
    fail_upload,
    queue_task,
    queued_tasks,
    retry_task,
    say_progress,
    start_upload,
    start_upload_again,
)
from outreach_core.task_rows import (
    TaskFilter,
    TaskPlace,
    counts_by_status,
    create_task,
    get_task,
    history_of,
    list_tasks,
)
from outreach_core.task_sweep import TaskFiles, due_removals, expire_tasks, note_removal
from outreach_core.tasks import (
    FOLLOWS,
    OPEN,
    NewTask,
    Task,
    TaskInput,
    TaskMissingError,
    TaskOutput,
    TaskStatus,
    TaskStatusError,
    TooManyOpenTasksError,
)
from outreach_core.users import add_user

T0 = datetime(2026, 11, 22, 8, tzinfo=UTC)
FILE = TaskInput(name="primary", filename="leads.csv", content_type="text/csv", size_bytes=3)
RESULT = TaskOutput(name="r.json", content_type="application/json", size_bytes=2, sha256="0" * 64)


@pytest.fixture
def postgres(postgres: Postgres) -> Postgres:
    """Migrated, with the users anna and bob."""
    with postgres.connect() as connection:
        for user in ("anna", "bob"):
            add_user(connection, user, is_operator=False, now=T0)
    return postgres


def a_task(connection: Connection, user: str = "anna", now: datetime = T0) -> Task:
    new = NewTask(id=str(uuid4()), user_id=user, tool_id="profile", parameters={}, inputs=[FILE])
    return create_task(connection, new, now=now, most_open=10_000)


def a_queued_task(connection: Connection, now: datetime = T0) -> Task:
    task = a_task(connection, now=now)
    start_upload(connection, "anna", task.id, now=now)
    return queue_task(connection, "anna", task.id, [FILE], now=now)


def a_claimed_task(connection: Connection, now: datetime = T0) -> Task:
    claimed = claim_task(connection, a_queued_task(connection, now).id, run_id="run-1", now=now)
    assert claimed is not None
    return claimed


Deed = Callable[[Connection, Task, datetime], object]
DEEDS: dict[str, Deed] = {
    "upload": lambda c, t, now: start_upload(c, "anna", t.id, now=now),
    "process": lambda c, t, now: queue_task(c, "anna", t.id, [FILE], now=now),
    "refuse": lambda c, t, now: fail_upload(c, "anna", t.id, code="X", detail="x", now=now),
    "cancel": lambda c, t, now: cancel_task(c, "anna", t.id, now=now),
    "upload again": lambda c, t, now: start_upload_again(c, "anna", t.id, now=now, most_open=9),
    "retry": lambda c, t, now: retry_task(c, "anna", t.id, now=now, most_open=9),
    "claim": lambda c, t, now: claim_task(c, t.id, run_id="run-1", now=now),
    "work": lambda c, t, now: say_progress(c, t, stage="reading", progress=50, now=now),
    "complete": lambda c, t, now: complete_task(c, t, [RESULT], now=now),
    "fail": lambda c, t, now: fail_task(c, t, code="X", detail="x", now=now),
    "sweep": lambda c, _, now: expire_tasks(c, now=now),
    "stranger": lambda c, t, now: cancel_task(c, "bob", t.id, now=now),
}
MINUTES = st.sampled_from([0, 0, 0, 1, 16, 31])


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), MINUTES), max_size=25))
def test_any_order_of_calls_leaves_a_legal_history(
    postgres: Postgres, deeds: list[tuple[str, int]]
) -> None:
    now = T0
    with postgres.connect() as connection:
        task = a_task(connection, now=now)
        for name, minutes in deeds:
            now += timedelta(minutes=minutes)
            was, told = get_task(connection, "anna", task.id), len(history_of(connection, task.id))
            try:
                DEEDS[name](connection, was, now)
            except (TaskStatusError, TaskMissingError):
                assert get_task(connection, "anna", task.id) == was
            if name == "stranger":
                assert get_task(connection, "anna", task.id) == was
            task = get_task(connection, "anna", task.id)
            more = len(history_of(connection, task.id)) - told
            assert more == (task.status != was.status)
        history = history_of(connection, task.id)
        connection.execute("DELETE FROM shq.tasks")
    statuses = [entry.status for entry in history]
    for earlier, later in itertools.pairwise([None, *statuses]):
        assert later in FOLLOWS[earlier]
    assert statuses[-1] == task.status
    assert [e.changed_at for e in history] == sorted(e.changed_at for e in history)
    assert (task.ended_at is None) == (task.status in OPEN)


def test_parallel_claims_get_a_task_each_in_order(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        asked = [a_queued_task(connection, T0 + timedelta(seconds=n)).id for n in range(12)]
        later = T0 + timedelta(seconds=5)
        assert list(queued_tasks(connection, queued_before=later, limit=3)) == asked[:3]
        assert list(queued_tasks(connection, queued_before=later, limit=99)) == asked[:5]

    def claims(_worker: int) -> list[str]:
        mine = []
        while True:
            with postgres.connect() as connection:
                task = claim_next(connection, run_id=None, now=T0)
            if task is None:
                return mine
            mine.append(task.id)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(claims, range(4)))
    assert sorted(itertools.chain(*found)) == sorted(asked)
    assert all(mine == sorted(mine, key=asked.index) for mine in found)


def test_one_task_is_claimed_once_by_many(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        task = a_queued_task(connection)

    def claim(worker: int) -> Task | None:
        with postgres.connect() as connection:
            return claim_task(connection, task.id, run_id=f"run-{worker}", now=T0)

    with ThreadPoolExecutor(8) as pool:
        claimed = [found for found in pool.map(claim, range(8)) if found]
    assert len(claimed) == 1
    with postgres.connect() as connection:
        assert get_task(connection, "anna", task.id).run_id == claimed[0].run_id


def test_a_lost_worker_is_replaced_once_and_changes_nothing_when_it_returns(
    postgres: Postgres,
) -> None:
    with postgres.connect() as connection:
        first = a_claimed_task(connection)
        later = T0 + timedelta(minutes=31)
        assert [t.id for t in expire_tasks(connection, now=later).queued_again] == [first.id]
        second = claim_task(connection, first.id, run_id="run-2", now=later)
        assert second is not None
        assert not say_progress(connection, first, stage="x", progress=9, now=later)
        assert complete_task(connection, first, [RESULT], now=later) is None
        assert fail_task(connection, first, code="X", detail="x", now=later) is None
        assert say_progress(connection, second, stage="reading", progress=40, now=later)
        shown = get_task(connection, "anna", first.id)
        assert (shown.stage, shown.progress, shown.run_id) == ("reading", 40, "run-2")
        assert not expire_tasks(connection, now=later + timedelta(minutes=29)).queued_again
        swept = expire_tasks(connection, now=later + timedelta(minutes=31))
        assert [(t.status, t.error_code) for t in swept.failed] == [("FAILED", "WORKER_LOST")]


def test_cancelling_takes_the_task_from_its_worker(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        task = a_claimed_task(connection)
        cancel_task(connection, "anna", task.id, now=T0)
        assert not say_progress(connection, task, stage="reading", progress=1, now=T0)
        with pytest.raises(TaskStatusError, match="CANCELLED"):
            cancel_task(connection, "anna", task.id, now=T0)


def test_an_upload_has_fifteen_minutes_from_its_newest_url(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        slow, idle = a_task(connection), a_task(connection)
        start_upload(connection, "anna", slow.id, now=T0 + timedelta(minutes=10))
        start_upload(connection, "anna", slow.id, now=T0 + timedelta(minutes=14))
        with pytest.raises(TaskStatusError):
            start_upload(connection, "anna", idle.id, now=T0 + timedelta(minutes=15))
        swept = expire_tasks(connection, now=T0 + timedelta(minutes=28))
        assert [task.id for task in swept.expired] == [idle.id]
        assert len(history_of(connection, slow.id)) == 2


def test_a_failed_task_is_tried_again_while_its_inputs_are_kept(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        task = a_claimed_task(connection)
        fail_task(connection, task, code="BAD_FILE", detail="mend it", now=T0)
        with pytest.raises(TaskStatusError):
            retry_task(connection, "anna", task.id, now=T0 + timedelta(days=7), most_open=9)
        again = retry_task(connection, "anna", task.id, now=T0 + timedelta(days=6), most_open=9)
    assert (again.status, again.error_code, again.ended_at) == ("QUEUED", None, None)


def test_files_are_due_when_they_were_kept_long_enough(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        done = a_claimed_task(connection)
        complete_task(connection, done, [RESULT], now=T0)
        expired, deleted = a_task(connection), a_task(connection)
        cancel_task(connection, "anna", deleted.id, now=T0)
        delete_task(connection, "anna", deleted.id, now=T0)
        expire_tasks(connection, now=T0 + timedelta(minutes=15))

        def due(files: TaskFiles, after: timedelta) -> set[str]:
            return {t.id for t in due_removals(connection, files, now=T0 + after, limit=9)}

        assert due(TaskFiles.INPUTS, timedelta(minutes=14)) == set()
        assert due(TaskFiles.INPUTS, timedelta(minutes=15)) == {expired.id, deleted.id}
        assert done.id in due(TaskFiles.INPUTS, timedelta(days=7))
        assert done.id not in due(TaskFiles.OUTPUTS, timedelta(days=29))
        assert done.id in due(TaskFiles.OUTPUTS, timedelta(days=30))
        note_removal(connection, done.id, TaskFiles.INPUTS, now=T0)
        assert done.id not in due(TaskFiles.INPUTS, timedelta(days=7))


def test_lists_come_in_pages_and_hold_only_ones_own(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        mine = [a_task(connection, now=T0 + timedelta(seconds=n // 3)).id for n in range(8)]
        other = a_task(connection, "bob")
        seen: list[Task] = []
        place = None
        while page := list_tasks(connection, "anna", TaskFilter(after=place), limit=3):
            seen += page
            place = TaskPlace(created_at=page[-1].created_at, id=page[-1].id)
        assert sorted(t.id for t in seen) == sorted(mine)
        assert [t.created_at for t in seen] == sorted((t.created_at for t in seen), reverse=True)
        cancel_task(connection, "anna", mine[0], now=T0)
        cancelled = TaskFilter(status=TaskStatus.CANCELLED, tool_id="profile")
        assert [t.id for t in list_tasks(connection, "anna", cancelled, limit=9)] == [mine[0]]
        assert not list_tasks(connection, "anna", TaskFilter(tool_id="clean"), limit=9)
        assert counts_by_status(connection)[TaskStatus.CREATED] == 8
        with pytest.raises(TaskMissingError):
            get_task(connection, "anna", other.id)
        delete_task(connection, "anna", mine[0], now=T0)
        with pytest.raises(TaskMissingError):
            get_task(connection, "anna", mine[0])
        with pytest.raises(TaskStatusError):
            delete_task(connection, "anna", mine[1], now=T0)


def test_parallel_creations_stop_at_the_limit(postgres: Postgres) -> None:
    def create(_number: int) -> bool:
        new = NewTask(id=str(uuid4()), user_id="anna", tool_id="x", parameters={}, inputs=[FILE])
        try:
            with postgres.connect() as connection:
                create_task(connection, new, now=T0, most_open=5)
        except TooManyOpenTasksError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 5
