"""A state whose rows, rules or engine have changed since its last run asks for a run.

What has changed is found out in outreach_assets/steps/changed_states.py; the nightly schedule asks
in the same way, and looks into the store as well.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.asked_states import busy_states, failed_attempts, requests_for
from outreach_assets.assets.observed_sources import observations
from outreach_assets.jobs import refresh_tables_job
from outreach_assets.resources import NeonResource
from outreach_assets.steps.changed_states import changed_states, place_published_to
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.tables.table import Table

INTERVAL_SECONDS = 300


def build_changed_states_sensor(
    tables: Sequence[Table], switches: KillSwitches
) -> dg.SensorDefinition:
    """The sensor; `tables` carry the rules that rows are judged by."""

    @dg.sensor(
        job=refresh_tables_job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        description="Asks for a run of the states that have changed, within minutes. Off at first: "
        "each look reads every row, which keeps a Neon compute busy that is billed by the hour; "
        "nightly_refresh_schedule looks once a night.",
    )
    def changed_states_sensor(
        context: dg.SensorEvaluationContext, neon: NeonResource, b2: B2Resource
    ) -> dg.SensorResult:
        """Ask for the changed states, neighbours in one run; reads all rows once, in Postgres.

        Not for a state that waits in the queue or is at work, nor, for a while, for one whose run
        for the same change has failed.
        """
        now = datetime.now(UTC)  # noqa: TID251 an edge: a sensor
        # Before looking at the rows: a run that ends meanwhile is seen by the next tick.
        busy = busy_states(context.instance)
        changed = changed_states(
            neon.open(), tables, switches, place_published_to(b2.create_store())
        )
        attempts = failed_attempts(context.instance)
        wanted = {
            state: change
            for state, change in changed.items()
            if state not in busy and (attempts.next_after(state, change) or now) <= now
        }
        if not wanted:
            left = f"; left alone for now: {', '.join(changed)}" if changed else ""
            return dg.SensorResult(skip_reason=f"no change to ask for{left}")
        new = {state: change.changed_versions for state, change in wanted.items()}
        return dg.SensorResult(
            run_requests=requests_for(wanted, attempts), asset_events=list(observations(new))
        )

    return changed_states_sensor
