"""Files in people's inboxes: noticed by looking, or announced by the bucket; a run takes them in.

Looking is a listing for each user, which a bucket bills, so it is done there only as often as a
setting says. What the API could not take in when it was announced is found here without any.
"""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from b2_resources.inbox import listed_drops
from b2_resources.object_store import ObjectStore
from b2_resources.resource import B2Resource
from outreach_assets.assets.asked_states import UNFINISHED
from outreach_assets.jobs import take_in_drops_job
from outreach_assets.resources import NeonResource
from outreach_assets.steps.record import NotMigratedError
from outreach_core.drops import all_user_ids, announce_drops, due_drops, refused_drops
from outreach_core.postgres import Postgres, UndefinedTable

SECONDS = 30
PAUSE_SECONDS = 300
"""After a run that failed: what kept it from succeeding may take a while to be mended."""

BATCH = 1000
"""Announced in one statement."""


def build_inbox_sensor(look_every_minutes: int | None) -> dg.SensorDefinition:
    """The sensor; None never lists, and waits for what is announced."""

    @dg.sensor(
        name="inbox_sensor",
        job=take_in_drops_job,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run when files were dropped into an inbox. On at first: it lists a "
        "bucket only where OUTREACH_INBOX_MINUTES says how often, and a folder is free.",
    )
    def inbox_sensor(
        context: dg.SensorEvaluationContext, neon: NeonResource, b2: B2Resource
    ) -> dg.SensorResult:
        """A run request when drops are due and no run is at them."""
        now = datetime.now(UTC)  # noqa: TID251 an edge: a tick is now
        postgres, cursor = neon.open(), context.cursor
        try:
            if look_every_minutes and _is_time(cursor, now, look_every_minutes):
                _look(postgres, b2.create_store(), now)
                cursor = now.isoformat()
            with postgres.connect() as connection:
                due = due_drops(connection, now=now, limit=1)
        except UndefinedTable:
            raise NotMigratedError(
                "the database has no tables for inboxes: run `outreach db migrate`"
            ) from None
        says = _why_not(context.instance, waits=bool(due))
        return dg.SensorResult(
            run_requests=[] if says else [dg.RunRequest()], skip_reason=says, cursor=cursor
        )

    return inbox_sensor


def _is_time(looked_at: str | None, now: datetime, every_minutes: int) -> bool:
    return not looked_at or datetime.fromisoformat(looked_at) + timedelta(
        minutes=every_minutes
    ) <= now + timedelta(seconds=SECONDS / 2)


def _look(postgres: Postgres, store: ObjectStore, now: datetime) -> None:
    """Announce what lies there and was not refused before."""
    with postgres.connect() as connection:
        users = all_user_ids(connection)
    drops = listed_drops(store, users, now=now)
    while batch := list(islice(drops, BATCH)):
        seen = [(drop.key, drop.modified_at.replace(microsecond=0)) for drop in batch]
        with postgres.connect() as connection:
            refused = refused_drops(connection, [key for key, _ in seen])
            fresh = [key for key, at in seen if (key, at) not in refused]
            announce_drops(connection, fresh, now=now, due_at=now)


def _why_not(instance: dg.DagsterInstance, *, waits: bool) -> str | None:
    """Why no run is asked for; None when one is."""
    if not waits:
        return "no file waits in an inbox"
    wanted = dg.RunsFilter(job_name=take_in_drops_job.name)
    for record in instance.get_run_records(wanted, limit=1):
        status = record.dagster_run.status
        if status in UNFINISHED:
            return "a run is taking them in"
        if (
            status is dg.DagsterRunStatus.FAILURE
            and time.time() - (record.end_time or 0.0) < PAUSE_SECONDS
        ):
            return "the last run failed: the next is asked for five minutes after it"
    return None
