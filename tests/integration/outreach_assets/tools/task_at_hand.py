"""Tasks that wait for a worker, their files in a folder; what one becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from b2_resources.keys import TASK_INPUTS, task_input_key, task_output_key
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.process_task import Processed, TaskPlace, process_task
from outreach_core.postgres import Postgres
from outreach_core.task_changes import queue_task, start_upload
from outreach_core.task_rows import create_task, get_task, history_of
from outreach_core.tasks import NewTask, Task, TaskInput, TaskStatus

LEADS = b"name,state,employees\nAcme,WV,12\nBolt,PA,7\nCask,WV,9\n"


def clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class TasksAtHand:
    """Of the user anna."""

    postgres: Postgres
    home: Path
    bucket: ObjectStore | None = None
    """None for a folder below home."""

    @property
    def store(self) -> ObjectStore:
        return self.bucket or LocalStore(self.home / "store")

    @property
    def place(self) -> TaskPlace:
        return TaskPlace(
            postgres=self.postgres,
            store=self.store,
            folder=self.home / "tools",
            limits=ToolLimits(memory_mb=1024, seconds=60, disk_mb=1000),
            now=clock,
        )

    def queued(
        self,
        tool: str = "profile-my-data",
        *,
        said: Mapping[str, object] | None = None,
        **files: bytes,
    ) -> Task:
        """A task that waits: these files by input name, and what was said with the request."""
        task_id, inputs = str(uuid4()), []
        for name, body in (files or {"primary": LEADS}).items():
            key = task_input_key("anna", task_id, name)
            self.store.put_bytes(key, body)
            found = self.store.head(key)
            inputs.append(
                TaskInput(
                    name=name,
                    filename=TASK_INPUTS[name],
                    content_type="text/csv",
                    size_bytes=len(body),
                    sha256=found.sha256,
                    version=found.version,
                )
            )
        new = NewTask(
            id=task_id, user_id="anna", tool_id=tool, parameters=said or {}, inputs=inputs
        )
        with self.postgres.connect() as connection:
            create_task(connection, new, now=clock(), most_open=1000)
            start_upload(connection, "anna", task_id, now=clock())
            return queue_task(connection, "anna", task_id, inputs, now=clock())

    def process(self, task: Task, run_id: str | None = None) -> Processed | None:
        return process_task(self.place, task.id, run_id=run_id)

    def now_is(self, task: Task) -> Task:
        with self.postgres.connect() as connection:
            return get_task(connection, "anna", task.id)

    def history(self, task: Task) -> list[TaskStatus]:
        with self.postgres.connect() as connection:
            return [entry.status for entry in history_of(connection, task.id)]

    def outputs(self, task: Task) -> dict[str, Any]:
        """What lies in the store, by name."""
        prefix = task_output_key("anna", task.id, "x").removesuffix("x")
        return {
            one.key.removeprefix(prefix): b"".join(self.store.stream(one.key))
            for one in self.store.list_objects(prefix)
        }
