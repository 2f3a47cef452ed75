"""Work on a handed-in task: claim it, fetch its files, run its tool, upload what came of it.

Plain Python; the run around it is in assets/tasks.py. A tool that refuses a file has done its work:
the task is FAILED and says why. Whatever else goes wrong is raised, and the task is left as it is
for task_sweep.py, so that nothing is lost.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from b2_resources.keys import task_output_key
from b2_resources.object_store import ObjectStore, content_type_of
from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
from outreach_assets.tools.fetch_inputs import InputReplacedError, fetch_inputs
from outreach_assets.tools.folders import run_folder
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.run_tool import ToolRun, run_tool
from outreach_assets.tools.task_progress import TaskLostError, TaskProgress
from outreach_assets.tools.tool import Tool
from outreach_core.postgres import Postgres
from outreach_core.postgres_pool import PostgresPool
from outreach_core.task_changes import claim_next, claim_task, complete_task, fail_task
from outreach_core.tasks import Task, TaskOutput

PARAMETERS = "parameters"
INPUT_REPLACED = "INPUT_REPLACED"
TOOL_FROM, TOOL_TO = 10, 90
"""Which percent of a task the tool's own 0 to 100 are; before is fetching, behind is uploading."""


@dataclass(frozen=True, kw_only=True)
class TaskPlace:
    """Where tasks are worked on."""

    postgres: Postgres
    store: ObjectStore
    folder: Path
    """Where a folder is made for the length of the work."""

    limits: ToolLimits
    now: Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class Processed:
    """A task that was worked on, and how that ended."""

    task: Task
    """As it was left."""

    facts: Mapping[str, object]
    """What the tool says of the file."""

    stages: Mapping[str, float]
    """In seconds, in their order."""


def process_task(place: TaskPlace, task_id: str | None, *, run_id: str | None) -> Processed | None:
    """Work on that task, or on the one that has waited longest, until it is done.

    None when there is nothing to do: somebody else has it, it was cancelled, none waits.
    """
    with PostgresPool(place.postgres, most=1) as pool:
        with pool.connect() as connection:
            if task_id is None:
                task = claim_next(connection, run_id=run_id, now=place.now())
            else:
                task = claim_task(connection, task_id, run_id=run_id, now=place.now())
        if task is None:
            return None
        progress = TaskProgress(pool=pool, task=task, now=place.now, clock=time.monotonic)
        try:
            outputs, facts = _work(place, task, progress)
            with pool.connect() as connection:
                ended = complete_task(connection, task, outputs, now=place.now())
        except TaskLostError:
            return None
        except ToolRefusedError as error:
            if error.code is ErrorCode.CANCELLED:
                return None
            ended, facts = _failed(place, pool, task, error.code, str(error)), {}
        except InputReplacedError as error:
            ended, facts = _failed(place, pool, task, INPUT_REPLACED, str(error)), {}
    if ended is None:
        return None
    return Processed(task=ended, facts=facts, stages=progress.seconds())


def _failed(
    place: TaskPlace, pool: PostgresPool, task: Task, code: str, detail: str
) -> Task | None:
    with pool.connect() as connection:
        return fail_task(connection, task, code=code, detail=detail, now=place.now())


def _work(
    place: TaskPlace, task: Task, progress: TaskProgress
) -> tuple[Sequence[TaskOutput], Mapping[str, object]]:
    tool = tool_by_id(task.tool_id)
    with run_folder(place.folder) as folder:
        files = fetch_inputs(place.store, task, folder, progress, until=TOOL_FROM)
        parameters = {**_handed_in(files.pop(PARAMETERS, None)), **task.parameters}
        at_work = folder / "work"
        at_work.mkdir()

        def heard(stage: str, percent: int) -> None:
            progress.say(stage, TOOL_FROM + percent * (TOOL_TO - TOOL_FROM) // 100)

        result = run_tool(
            ToolRun(tool=tool, inputs=files, parameters=parameters),
            at_work,
            limits=place.limits,
            heard=heard,
            is_cancelled=progress.is_lost,
        )
        return _uploaded(place.store, task, tool, result.outputs, progress), result.facts


def _handed_in(path: Path | None) -> Mapping[str, object]:
    """The parameters in the file; those of the request go before them."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ToolRefusedError(
            ErrorCode.INVALID_PARAMETERS,
            'parameters.json holds no JSON object: write it like {"top_values": 20}',
        )
    return found


def _uploaded(
    store: ObjectStore, task: Task, tool: Tool, paths: Sequence[Path], progress: TaskProgress
) -> list[TaskOutput]:
    """The outputs in the store; repeating it overwrites what a lost worker left half done."""
    types = {one.name: one.content_type for one in tool.outputs}
    uploaded = []
    for number, path in enumerate(paths):
        progress.say("uploading", TOOL_TO + (100 - TOOL_TO) * number // len(paths))
        put = store.put_file(
            task_output_key(task.user_id, task.id, path.name),
            path,
            content_type=types.get(path.name, content_type_of(path.name)),
        )
        uploaded.append(
            TaskOutput(
                name=path.name,
                content_type=put.content_type or content_type_of(path.name),
                size_bytes=put.size_bytes,
                sha256=put.sha256 or "",
            )
        )
    progress.say("uploading", 99)
    return uploaded
