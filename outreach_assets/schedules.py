"""The clock: what runs when nobody asks."""

import dagster as dg

from outreach_assets.jobs import refresh_tables_job
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
