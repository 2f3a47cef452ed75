"""Tasks that wait and that nobody works on: what the API could not push is found here.

Chosen by their status in the database; nothing is remembered from tick to tick, so a sensor that
was stopped, started again or ticks twice asks for nothing twice.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from outreach_assets.assets.asked_states import UNFINISHED
from outreach_assets.jobs import process_task_job
from outreach_assets.resources import NeonResource
from outreach_assets.steps.record import NotMigratedError
from outreach_core.postgres import Postgres, UndefinedTable
from outreach_core.task_changes import queued_tasks
from outreach_core.task_runs import TASK_TAG, run_config_of
from outreach_core.task_sweep import expire_tasks
from sensors.ended_runs import updated_at

MOST_AT_ONCE = 100
PUSH_TIME = timedelta(seconds=10)
"""For the API, which asks for a run of its own as soon as a task waits."""

PAUSE = timedelta(minutes=1)
"""After a task's first run that ended without having it, twice as long after the second …"""

LONGEST_PAUSE = timedelta(hours=1)

CLOCKS_APART = timedelta(minutes=1)
"""By so much the API's clock and Dagster's may differ; a worker is given up after thirty."""


@dg.sensor(
    job=process_task_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run for each task that waits, in order; before that, tasks whose "
    "worker was lost wait again. On at first: people wait for these, and without a task it is a "
    "few short statements.",
)
def task_uploads_sensor(context: dg.SensorEvaluationContext, neon: NeonResource) -> dg.SensorResult:
    """A run request for each task that is due one; at most a hundred, in order."""
    now = datetime.now(UTC)  # noqa: TID251 an edge: a tick is now
    waiting = _waiting(neon.open(), now)
    runs = _runs_of(context.instance, waiting)
    asked = [
        _request(one, runs[one]) for one, since in waiting.items() if _is_due(runs[one], since, now)
    ]
    return dg.SensorResult(
        run_requests=asked, skip_reason=None if asked else f"{len(waiting)} wait, each has a run"
    )


def _waiting(postgres: Postgres, now: datetime) -> Mapping[str, datetime]:
    try:
        with postgres.connect() as connection:
            # Here too, beside the schedule's round: whoever lost their worker has waited enough.
            expire_tasks(connection, now=now)
            return queued_tasks(connection, queued_before=now - PUSH_TIME, limit=MOST_AT_ONCE)
    except UndefinedTable:
        raise NotMigratedError(
            "the database has no tables for tasks: run `outreach db migrate`"
        ) from None


def _runs_of(
    instance: dg.DagsterInstance, task_ids: Collection[str]
) -> Mapping[str, list[dg.RunRecord]]:
    """Every run that was asked for, by task."""
    found: dict[str, list[dg.RunRecord]] = {task_id: [] for task_id in task_ids}
    if task_ids:
        wanted = dg.RunsFilter(tags={TASK_TAG: list(task_ids)})
        for record in instance.get_run_records(wanted):
            found[record.dagster_run.tags[TASK_TAG]].append(record)
    return found


def _is_due(runs: Sequence[dg.RunRecord], since: datetime, now: datetime) -> bool:
    """No run is on its way, and the last one's end was long enough ago.

    One that was there before the task was queued has had it and lost it, whatever its status says:
    of a machine that is gone nobody tells Dagster.
    """
    begun = since - CLOCKS_APART
    if any(run.dagster_run.status in UNFINISHED and run.create_timestamp > begun for run in runs):
        return False
    runs = [run for run in runs if run.dagster_run.status not in UNFINISHED]
    if not runs:
        return True
    failed = sum(run.dagster_run.status is not dg.DagsterRunStatus.SUCCESS for run in runs)
    if not failed:
        return True  # it was done, or tried, and somebody asked for it again
    pause: timedelta = min(PAUSE * 2 ** (failed - 1), LONGEST_PAUSE)
    return max(updated_at(run) for run in runs) + pause <= now


def _request(task_id: str, runs: Sequence[dg.RunRecord]) -> dg.RunRequest:
    # The number of runs is the attempt: the same until one more was really made.
    return dg.RunRequest(
        run_key=f"{task_id}/{len(runs)}",
        run_config=dict(run_config_of(task_id)),
        tags={TASK_TAG: task_id},
    )
