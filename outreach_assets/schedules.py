"""The clock: what runs when nobody asks."""

import dagster as dg

from outreach_assets.jobs import refresh_tables_job, store_usage_job
from outreach_core.states import ALL_STATES


@dg.schedule(job=refresh_tables_job, cron_schedule="15 2 * * *", execution_timezone="UTC")
def nightly_refresh_schedule() -> dg.RunRequest:
    """Every state, at 02:15 UTC: after the day's intake has ended in every US time zone but two."""
    return dg.RunRequest(
        tags={
            "dagster/asset_partition_range_start": ALL_STATES[0],
            "dagster/asset_partition_range_end": ALL_STATES[-1],
        }
    )


# Off until somebody switches it on: a listing of everything costs class C requests.
store_usage_schedule = dg.ScheduleDefinition(
    name="store_usage_schedule",
    job=store_usage_job,
    cron_schedule="45 4 * * *",
    execution_timezone="UTC",
    description="Once a day, after the nightly refresh: enough to see a bill grow.",
)
