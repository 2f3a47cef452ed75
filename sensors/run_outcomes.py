"""How each Dagster run ended, brought to the audit log: one event for each, whatever its job.

Not a `dg.run_status_sensor`: that one moves on when its body raises (1.13.27), so that a run which
ends while the database is away would never be told, and begins with the runs after its first tick.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from outreach_assets.resources import NeonResource
from outreach_core.audit import (
    RUN_FINISHED,
    SOURCE,
    AuditEvent,
    open_log,
    outcomes_of,
    started_by,
    write_outcome,
)

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RUNS_AT_ONCE = 200
LOOK_BACK = timedelta(minutes=10)
"""Runs are read by the time of their last change, as the machine that changed them had it."""

TAGS = {
    "partition": "dagster/partition",
    "first_partition": "dagster/asset_partition_range_start",
    "last_partition": "dagster/asset_partition_range_end",
    "backfill": "dagster/backfill",
    "retry_of": "dagster/parent_run_id",
}


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes how each run ended into the audit log. On at first: without it the log has "
    "only the states' own rows.",
)
def run_outcomes_sensor(context: dg.SensorEvaluationContext, neon: NeonResource) -> dg.SensorResult:
    """Write what has ended; the cursor, a time, moves on only when the database has taken it."""
    after = datetime.fromisoformat(context.cursor) if context.cursor else None
    records = context.instance.get_run_records(
        filters=dg.RunsFilter(statuses=FINISHED, updated_after=after),
        limit=RUNS_AT_ONCE,
        order_by="update_timestamp",
        ascending=True,
    )
    written = write_outcomes(neon, [r for r in records if _is_of(context, r.dagster_run)])
    return dg.SensorResult(
        skip_reason=f"{written} runs have ended" if written else "no run has ended",
        cursor=_cursor(after, records),
    )


def write_outcomes(neon: NeonResource, records: Sequence[dg.RunRecord]) -> int:
    """One event for each of these runs that has none yet, in one transaction; how many."""
    if not records:
        return 0
    with open_log(neon.open()) as connection:
        told = outcomes_of(connection, [record.dagster_run.run_id for record in records])
        new = [record for record in records if record.dagster_run.run_id not in told]
        return sum(write_outcome(connection, _event(record)) for record in new)


def _event(record: dg.RunRecord) -> AuditEvent:
    run = record.dagster_run
    began, ended = record.start_time, record.end_time
    times = {"start_time": began, "end_time": ended}
    return AuditEvent(
        event_type=RUN_FINISHED,
        event_source=SOURCE,
        details={
            "run_id": run.run_id,
            "job": run.job_name,
            "status": run.status.value.lower(),
            "who": started_by(run.tags),
            **{
                name: datetime.fromtimestamp(at, UTC).isoformat()
                for name, at in times.items()
                if at is not None
            },
            **({"seconds": round(ended - began, 1)} if began and ended else {}),
            **{name: run.tags[tag] for name, tag in TAGS.items() if tag in run.tags},
        },
    )


def _is_of(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    """Of this code location, or executed in a process of its own, as `outreach run` does."""
    here, there = context.code_location_origin, run.remote_job_origin
    if here is None or there is None:
        return True
    return there.repository_origin.code_location_origin.location_name == here.location_name


def _cursor(after: datetime | None, records: Sequence[dg.RunRecord]) -> str | None:
    """A little behind the last one seen, never backwards; at it when there may be more."""
    if not records:
        return after.isoformat() if after else None
    last = records[-1].update_timestamp.astimezone(UTC)
    if len(records) < RUNS_AT_ONCE:
        last = max(last - LOOK_BACK, after or last - LOOK_BACK)
    return last.isoformat()
