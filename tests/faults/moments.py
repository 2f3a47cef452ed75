"""Moments in the life of `outreach run` at which something can be done to it.

Each waits until the run is there, and raises MissedError when the run was done before.
"""

import random
import subprocess
import time
from collections.abc import Callable

from tests.faults.workplace import STATES, Workplace, step_ended, wait_until

Process = subprocess.Popen[str]
Moment = Callable[[Workplace, Process, random.Random], None]

FILES_A_STATE = 4
SPREAD_SECONDS = 0.4


def begun(workplace: Workplace, process: Process, chance: random.Random) -> None:
    """Dagster knows the run; nothing has been claimed for sure."""
    before = set(workplace.dagster_statuses())
    wait_until(process, lambda: set(workplace.dagster_statuses()) - before)


def claimed(workplace: Workplace, process: Process, chance: random.Random) -> None:
    before = workplace.open_runs()
    wait_until(process, lambda: workplace.open_runs() - before)


def somewhere_after(step: str) -> Moment:
    """A moment at random behind a step's end."""

    def moment(workplace: Workplace, process: Process, chance: random.Random) -> None:
        wait_until(process, step_ended(process, step))
        time.sleep(chance.random() * SPREAD_SECONDS)

    return moment


def while_exporting(workplace: Workplace, process: Process, chance: random.Random) -> None:
    exports = workplace.home / "exports"
    before = {p for p in exports.rglob("*") if p.is_file()}
    wanted = chance.randint(1, len(STATES) * FILES_A_STATE - 1)
    wait_until(
        process,
        lambda: len({p for p in exports.rglob("*") if p.is_file()} - before) >= wanted,
    )


def while_uploading_files(workplace: Workplace, process: Process, chance: random.Random) -> None:
    before = workplace.versions()
    wanted = chance.randint(1, len(STATES) * FILES_A_STATE - 1)
    wait_until(process, lambda: len(workplace.versions() - before) >= wanted)


def while_uploading_manifests(
    workplace: Workplace, process: Process, chance: random.Random
) -> None:
    before = workplace.manifests()
    wanted = chance.randint(1, len(STATES))
    wait_until(process, lambda: len(workplace.manifests() - before) >= wanted)


def uploaded(workplace: Workplace, process: Process, chance: random.Random) -> None:
    """Everything is published, and the audit rows are being written or not."""
    wait_until(process, step_ended(process, "upload"))
