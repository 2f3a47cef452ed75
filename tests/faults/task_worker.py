"""A process that works on tasks as the op does; one that stands still at a moment, or goes on.

    python -m tests.faults.task_worker '{"conninfo": …, "home": …, "moment": …}'

The moment is printed when it is there, and the process waits for a line, if it is not killed:
`claimed` before a file is fetched, `fetching` behind a block, `working` while the tool runs,
`uploading` when one result is in the store, `uploaded` when all are. Without a moment it prints
each task it has done, and goes on until its standard input is closed.
"""

import json
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from b2_resources.object_store import ObjectStore, StoredObject
from outreach_assets.tools import process_task as module
from outreach_assets.tools.process_task import process_task
from outreach_core.postgres import Postgres
from tests.integration.outreach_assets.tools.task_at_hand import TasksAtHand

PAUSE_SECONDS = 0.2


def main() -> None:
    asked = json.loads(sys.argv[1])
    postgres = Postgres(conninfo=asked["conninfo"], name="the test's")
    tasks = TasksAtHand(postgres=postgres, home=Path(asked["home"]))
    if asked["moment"]:
        stand_still_at(asked["moment"], tasks)
        return
    while not select.select([sys.stdin], [], [], 0)[0]:
        done = process_task(tasks.place, None, run_id="a worker's")
        if done is None:
            time.sleep(PAUSE_SECONDS)
        else:
            print(done.task.id, done.task.status, flush=True)  # noqa: T201


def stand_still_at(moment: str, tasks: TasksAtHand) -> None:
    """Work on the one that waits, as far as the moment."""

    waited: list[str] = []

    def reached(name: str) -> None:
        if name == moment and not waited:
            waited.append(name)
            print(name, flush=True)  # noqa: T201 to the test
            sys.stdin.readline()

    run_tool, complete_task = module.run_tool, module.complete_task

    def announcing(*words, heard, **more):
        def hearing(stage: str, percent: int) -> None:
            heard(stage, percent)
            reached("working")

        return run_tool(*words, heard=hearing, **more)

    def completing(*words, **more):
        reached("uploaded")
        return complete_task(*words, **more)

    module.run_tool, module.complete_task = announcing, completing
    store = Announcing(tasks.store, reached)
    at_hand = TasksAtHand(postgres=tasks.postgres, home=tasks.home, bucket=store)
    process_task(at_hand.place, None, run_id="the first")


class Announcing:
    """A store that says how far it is."""

    def __init__(self, store: ObjectStore, reached) -> None:
        self._store, self._reached = store, reached

    def head(self, key: str) -> StoredObject:
        self._reached("claimed")
        return self._store.head(key)

    def stream(self, key: str) -> Iterator[bytes]:
        for block in self._store.stream(key):
            yield block
            self._reached("fetching")

    def put_file(self, *words, **more) -> StoredObject:
        put = self._store.put_file(*words, **more)
        self._reached("uploading")
        return put

    def __getattr__(self, name: str):
        return getattr(self._store, name)


if __name__ == "__main__":
    main()
