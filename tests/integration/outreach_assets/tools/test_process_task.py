"""A worker on real tasks: real Postgres, a real folder, the real tools in their sandbox."""

import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from b2_resources.keys import task_input_key
from b2_resources.s3_store import S3Store
from outreach_core.task_changes import cancel_task
from outreach_core.tasks import Task, TaskStatus
from tests.integration.outreach_assets.tools.task_at_hand import LEADS, TasksAtHand, clock
from tests.servers.rclone_s3 import RcloneS3


def long() -> bytes:
    """A file that takes the tool a while."""
    return LEADS + b"".join(b"Name %d,WV,%d\n" % (n, n) for n in range(150_000))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_work(tasks: TasksAtHand, task: Task) -> Callable[[], bool]:
    """True when the tool itself has begun."""

    def is_at_work() -> bool:
        found = tasks.now_is(task)
        return found.status is TaskStatus.PROCESSING and found.progress >= 10

    return is_at_work


def test_a_task_becomes_reports_in_the_store_and_says_what_they_are(tasks: TasksAtHand) -> None:
    task = tasks.queued(said={"top_values": 3})
    done = tasks.process(task, run_id="run-1")
    assert done is not None
    ended = tasks.now_is(task)
    assert (ended.status, ended.progress, ended.run_id) == (TaskStatus.COMPLETED, 100, "run-1")
    found = tasks.outputs(task)
    report = json.loads(found["data_profile_report.json"])
    assert report["table"]["rows"] == 3
    assert {one.name: (one.size_bytes, one.sha256) for one in ended.outputs} == {
        name: (len(body), hashlib.sha256(body).hexdigest()) for name, body in found.items()
    }
    assert list(done.stages)[:2] == ["claimed", "fetching"]
    assert list(done.stages)[-1] == "uploading"
    assert list((tasks.home / "tools").glob("tool-*")) == []
    assert tasks.process(task) is None


def test_of_two_workers_at_once_one_does_it(tasks: TasksAtHand) -> None:
    task = tasks.queued()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: tasks.process(task), range(2)))
    assert sorted(one is None for one in done) == [False, True]
    assert tasks.history(task).count(TaskStatus.PROCESSING) == 1


def test_a_cancelled_task_is_left_and_nothing_is_uploaded(tasks: TasksAtHand) -> None:
    task = tasks.queued(primary=long())
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(tasks.process, task)
        wait_until(at_work(tasks, task))
        with tasks.postgres.connect() as connection:
            cancel_task(connection, "anna", task.id, now=clock())
        assert done.result(timeout=10) is None
    assert tasks.now_is(task).status is TaskStatus.CANCELLED
    assert tasks.outputs(task) == {}
    assert list((tasks.home / "tools").glob("tool-*")) == []


def test_a_refused_file_is_a_failed_task_that_says_why(tasks: TasksAtHand) -> None:
    task = tasks.queued(primary=b"a,b\n")
    done = tasks.process(task)
    assert done is not None
    ended = tasks.now_is(task)
    assert (ended.status, ended.error_code) == (TaskStatus.FAILED, "NO_ROWS")
    assert ended.error_detail
    assert tasks.process(tasks.queued()) is not None  # the next is served


def test_parameters_may_come_as_a_file_and_those_of_the_request_go_first(
    tasks: TasksAtHand,
) -> None:
    files = {"primary": LEADS, "parameters": b'{"top_values": 0, "drift_bins": 5}'}
    tasks.process(wrong := tasks.queued(**files))
    assert tasks.now_is(wrong).error_code == "INVALID_PARAMETERS"
    tasks.process(right := tasks.queued(said={"top_values": 2}, **files))
    assert tasks.now_is(right).status is TaskStatus.COMPLETED


def test_a_file_replaced_after_it_was_queued_is_not_worked_on(tasks: TasksAtHand) -> None:
    task = tasks.queued()
    tasks.store.put_bytes(task_input_key("anna", task.id, "primary"), LEADS.replace(b"12", b"13"))
    tasks.process(task)
    assert tasks.now_is(task).error_code == "INPUT_REPLACED"


def test_in_a_bucket_what_was_pinned_is_what_is_worked_on(
    tasks: TasksAtHand, tmp_path: Path
) -> None:
    with RcloneS3(tmp_path) as rclone:
        tasks = replace(tasks, bucket=S3Store(rclone.config()))
        done, replaced = tasks.queued(), tasks.queued()
        key = task_input_key("anna", replaced.id, "primary")
        tasks.store.put_bytes(key, LEADS.replace(b"12", b"13"))
        for task in (done, replaced):
            tasks.process(task)
        assert tasks.now_is(done).status is TaskStatus.COMPLETED
        assert len(tasks.outputs(done)) == 3
        assert tasks.now_is(replaced).error_code == "INPUT_REPLACED"
