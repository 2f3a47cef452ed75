"""Failures that a run has found are exported soon after it."""

import time

import dagster as dg

from outreach_assets.assets.asked_states import UNFINISHED
from outreach_assets.jobs import REFRESH_TABLES, export_failures_job
from outreach_assets.resources import NeonResource
from outreach_assets.steps.failures.export import FailureType, waiting_failures

PAUSE_SECONDS = 600
"""After an export that failed: what kept it from succeeding may take a while to be mended."""


@dg.sensor(
    job=export_failures_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for an export when failures wait and no refresh is finding more. On at "
    "first: without a new failure nothing is put.",
)
def failures_found_sensor(
    context: dg.SensorEvaluationContext, neon: NeonResource
) -> dg.SkipReason | dg.RunRequest:
    """Ask for an export when rows wait and no refresh is still finding more."""
    for name in (REFRESH_TABLES, export_failures_job.name):
        at_work = dg.RunsFilter(job_name=name, statuses=UNFINISHED)
        if context.instance.get_run_records(at_work, limit=1):
            return dg.SkipReason(f"{name} is at work")
    waiting = waiting_failures(neon.open(), tuple(FailureType), None)
    if not waiting:
        return dg.SkipReason("every failure has been exported")
    if _failed_lately(context):
        return dg.SkipReason("the last export failed: the next is asked for ten minutes after it")
    return dg.RunRequest(tags={"outreach/failures": str(sum(one.rows for one in waiting))})


def _failed_lately(context: dg.SensorEvaluationContext) -> bool:
    wanted = dg.RunsFilter(job_name=export_failures_job.name)
    for record in context.instance.get_run_records(wanted, limit=1):
        failed = record.dagster_run.status is dg.DagsterRunStatus.FAILURE
        ended = record.end_time or 0.0
        return failed and time.time() - ended < PAUSE_SECONDS
    return False
