"""A worker's word to Postgres: which stage, how far, and that it is still alive.

The answer says whether the task is still the worker's own: cancelled or given to another, it is
not, and the worker stops.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from outreach_core.errors import RetryableError
from outreach_core.postgres_pool import PostgresPool
from outreach_core.task_changes import say_progress
from outreach_core.tasks import Task

SAY_EVERY_SECONDS = 1.0
"""Also how long a cancelled task is worked on, at most."""


class TaskLostError(Exception):
    """The task is not the worker's any more: it was cancelled, or given to another."""


class TaskProgress:
    """Says what it is told, at most once a second; a new stage at once."""

    def __init__(
        self,
        *,
        pool: PostgresPool,
        task: Task,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._pool, self._task, self._now, self._clock = pool, task, now, clock
        self._stage, self._percent = "claimed", 0
        self._said_at = clock()
        self._began: dict[str, float] = {"claimed": self._said_at}
        self._is_lost = False

    def say(self, stage: str, percent: int) -> None:
        """The stage and how far the task is, 0 to 100. Raises TaskLostError."""
        is_new = stage != self._stage
        self._stage, self._percent = stage, percent
        if is_new:
            self._began.setdefault(stage, self._clock())
            self._say()
        if self.is_lost():
            raise TaskLostError

    def is_lost(self) -> bool:
        """True when somebody has cancelled the task or it was given to another; asks, at times."""
        if not self._is_lost and self._clock() - self._said_at >= SAY_EVERY_SECONDS:
            self._say()
        return self._is_lost

    def seconds(self) -> Mapping[str, float]:
        """How long each stage took, in their order, the last until now."""
        ends = [*list(self._began.values())[1:], self._clock()]
        return {
            stage: round(end - began, 3)
            for (stage, began), end in zip(self._began.items(), ends, strict=True)
        }

    def _say(self) -> None:
        try:
            with self._pool.connect() as connection:
                self._is_lost = not say_progress(
                    connection,
                    self._task,
                    stage=self._stage,
                    progress=self._percent,
                    now=self._now(),
                )
        except RetryableError:
            pass  # a database that is away for a moment ends no work: it is asked again
        self._said_at = self._clock()
