"""Workers killed at each stage of a task: nothing lost, done once, nothing half published."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from outreach_core.task_sweep import WORKER_LOST, expire_tasks
from outreach_core.tasks import HEARTBEAT_TIME, Task, TaskStatus
from tests.faults.workplace import eventually
from tests.integration.outreach_assets.tools.task_at_hand import TasksAtHand, clock

pytestmark = pytest.mark.slow

MOMENTS = ["claimed", "fetching", "working", "uploading", "uploaded"]
TWICE = [
    *(TaskStatus.QUEUED, TaskStatus.PROCESSING),
    *(TaskStatus.QUEUED, TaskStatus.PROCESSING, TaskStatus.COMPLETED),
]
LATER = HEARTBEAT_TIME + timedelta(seconds=1)


@contextmanager
def a_worker(tasks: TasksAtHand, moment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """One that has reached the moment and stands still."""
    asked = {"conninfo": tasks.postgres.conninfo, "home": str(tasks.home), "moment": moment}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.task_worker", json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == f"{moment}\n".encode()
            yield worker
        finally:
            worker.kill()


def kill_at(tasks: TasksAtHand, moment: str) -> None:
    with a_worker(tasks, moment) as worker:
        worker.kill()
        worker.wait()


def swept(tasks: TasksAtHand) -> None:
    with tasks.postgres.connect() as connection:
        expire_tasks(connection, now=clock() + LATER)


def assert_published(tasks: TasksAtHand, task: Task) -> None:
    """What the row says is what lies in the store, and nothing else does."""
    ended = tasks.now_is(task)
    assert ended.status is TaskStatus.COMPLETED
    assert {one.name: one.sha256 for one in ended.outputs} == {
        name: hashlib.sha256(body).hexdigest() for name, body in tasks.outputs(task).items()
    }


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_task_whose_worker_is_killed_is_done_once_by_another(
    tasks: TasksAtHand, moment: str
) -> None:
    task = tasks.queued()
    kill_at(tasks, moment)
    left = tasks.now_is(task)
    assert (left.status, left.outputs, left.run_id) == (TaskStatus.PROCESSING, [], "the first")
    assert tasks.process(task) is None  # it may be at work, for all that anybody knows
    eventually(lambda: not tools_at_work(tasks))
    swept(tasks)
    again = tasks.now_is(task)
    assert (again.status, again.run_id, again.progress) == (TaskStatus.QUEUED, None, 0)
    assert tasks.process(task, run_id="the second") is not None
    assert_published(tasks, task)
    assert tasks.history(task)[2:] == TWICE
    assert tasks.process(task) is None
    assert list((tasks.home / "tools").glob("tool-*")) == []


def tools_at_work(tasks: TasksAtHand) -> list[str]:
    """The tools whose folder is below this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").readlink().is_relative_to(tasks.home):
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_a_file_that_kills_two_workers_is_given_up(tasks: TasksAtHand) -> None:
    task = tasks.queued()
    for _ in range(2):
        kill_at(tasks, "working")
        swept(tasks)
    ended = tasks.now_is(task)
    assert (ended.status, ended.error_code) == (TaskStatus.FAILED, WORKER_LOST)
    assert tasks.outputs(task) == {}


@pytest.mark.parametrize("moment", ["working", "uploading", "uploaded"])
def test_a_worker_that_was_given_up_and_comes_back_changes_nothing(
    tasks: TasksAtHand, moment: str
) -> None:
    task = tasks.queued()
    with a_worker(tasks, moment) as worker:
        worker.send_signal(signal.SIGSTOP)
        swept(tasks)
        assert tasks.process(task, run_id="the second") is not None
        done = tasks.now_is(task)
        worker.send_signal(signal.SIGCONT)
        assert worker.stdin is not None
        worker.stdin.write(b"go on\n")
        worker.stdin.flush()
        assert worker.wait(timeout=60) == 0
    assert tasks.now_is(task) == done
    assert_published(tasks, task)
