"""A task's files from the store, proven to be the bytes that were there when it was queued."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from b2_resources.keys import TASK_INPUTS, task_input_key
from b2_resources.object_store import ObjectMissingError, ObjectStore, StoredObject
from outreach_assets.tools.task_progress import TaskProgress
from outreach_core.errors import PermanentError
from outreach_core.tasks import Task, TaskInput

CURE = "create a new task"


class InputReplacedError(PermanentError):
    """What lies in the store is not, or not any more, what was to be worked on."""


def fetch_inputs(
    store: ObjectStore, task: Task, folder: Path, progress: TaskProgress, *, until: int
) -> dict[str, Path]:
    """Each input's file, by the input's name, in a folder `inputs` below the folder.

    `until` is how many percent of the task this is. Raises InputReplacedError or TaskLostError.
    """
    inputs = folder / "inputs"
    inputs.mkdir()
    total = sum(one.size_bytes for one in task.inputs) or 1
    got, found = 0, {}
    for one in task.inputs:
        progress.say("fetching", until * got // total)
        path = inputs / TASK_INPUTS[one.name]
        for size in _fetched(store, task_input_key(task.user_id, task.id, one.name), one, path):
            got += size
            progress.say("fetching", min(until, until * got // total))
        found[one.name] = path
    return found


def _fetched(store: ObjectStore, key: str, pinned: TaskInput, path: Path) -> Iterator[int]:
    """Write the file, block by block, so that it can be left in between; gives each one's size."""
    proof = hashlib.sha256()
    try:
        _check(pinned, store.head(key))
        with path.open("wb") as file:
            for block in store.stream(key):
                proof.update(block)
                file.write(block)
                yield len(block)
        # What was replaced meanwhile has another version by now.
        _check(pinned, store.head(key))
    except ObjectMissingError:
        raise InputReplacedError(f"{pinned.name} is not there any more: {CURE}") from None
    if path.stat().st_size != pinned.size_bytes or pinned.sha256 not in (None, proof.hexdigest()):
        raise _replaced(pinned)


def _check(pinned: TaskInput, found: StoredObject) -> None:
    says = (found.size_bytes, found.sha256, found.version)
    if says != (pinned.size_bytes, pinned.sha256, pinned.version):
        raise _replaced(pinned)


def _replaced(pinned: TaskInput) -> InputReplacedError:
    return InputReplacedError(
        f"{pinned.name} was replaced after the work on it was asked for: {CURE}"
    )
