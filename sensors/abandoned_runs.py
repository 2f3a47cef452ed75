"""Runs that died at work: their audit row is written and what they half published taken back.

The next run of the same state would do so too; this one does it when none comes.
"""

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import report_dead
from outreach_assets.resources import NeonResource
from outreach_assets.steps.published import repair
from outreach_assets.steps.record import OpenRun, sweep_abandoned


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes runs that died at work and takes back what they half published, before the "
    "state's next run would. On at first: one question to Postgres.",
)
def abandoned_runs_sensor(
    context: dg.SensorEvaluationContext, neon: NeonResource, b2: B2Resource
) -> dg.SkipReason:
    """Close what dead runs left open; a run is dead when Postgres dropped its lock."""
    store = b2.create_store()

    def abandoned(run: OpenRun) -> None:
        repair(store, run.state)
        report_dead(context.instance, run.run_id, still_alive=None)

    swept = sweep_abandoned(neon.open(), abandoned)
    if not swept:
        return dg.SkipReason("no run died at work")
    return dg.SkipReason("closed " + ", ".join(f"{run.state} of run {run.run_id}" for run in swept))
