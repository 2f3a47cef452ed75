"""The clock: what runs when nobody asks, each at a time from the settings.

What a store owes its bucket is no job: owed_objects_sensor sees to it every five minutes. A new one
that starts a whole job is one entry of CLOCKS, and the setting that says when.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.asked_states import NO_ATTEMPTS, busy_states, requests_for
from outreach_assets.jobs import (
    audit_export_job,
    backup_database_drill_job,
    backup_database_job,
    backup_drill_job,
    backup_job,
    backup_verify_job,
    export_failures_job,
    morning_report_job,
    refresh_tables_job,
    restore_drill_job,
    retention_job,
    store_usage_job,
    task_upkeep_job,
    verify_snapshots_job,
)
from outreach_assets.resources import NeonResource
from outreach_assets.steps.changed_states import due_states
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.tables.table import Table
from outreach_core.settings import Settings

ON, OFF = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A job at a time."""

    job: str
    """Its name; the schedule's is the same, as in `retention_job` and `retention_schedule`."""

    cron: Callable[[Settings], str]
    at_first: dg.DefaultScheduleStatus
    """ON or OFF, until somebody switches it in the UI."""

    says: str
    """Why then, and why on or off at first."""

    @property
    def name(self) -> str:
        """What the schedule is called."""
        return self.job.removesuffix("_job") + "_schedule"


CLOCKS = (
    Clock(
        job=export_failures_job.name,
        cron=lambda settings: settings.outreach_export_failures_schedule,
        at_first=ON,
        says="Once a day, after the nightly refresh, for what failures_found_sensor has missed. On "
        "at first: without a new failure it puts nothing.",
    ),
    Clock(
        job=store_usage_job.name,
        cron=lambda settings: settings.outreach_store_usage_schedule,
        at_first=OFF,
        says="Once a day, after the nightly refresh: enough to see a bill grow. Off at first: a "
        "listing of everything costs class C requests.",
    ),
    Clock(
        job=audit_export_job.name,
        cron=lambda settings: settings.outreach_audit_export_schedule,
        at_first=ON,
        says="Once a day, when the day before is over in UTC and the night's runs are in it. On "
        "at first: one small object a day.",
    ),
    Clock(
        job=restore_drill_job.name,
        cron=lambda settings: settings.outreach_restore_drill_schedule,
        at_first=ON,
        says="Once a week, when nobody waits for the machine. On at first: what was never "
        "restored is no backup, and one snapshot is a small download.",
    ),
    Clock(
        job=verify_snapshots_job.name,
        cron=lambda settings: settings.outreach_verify_snapshots_schedule,
        at_first=OFF,
        says="Once a month. Off at first: it downloads everything that is newest.",
    ),
    Clock(
        job=retention_job.name,
        cron=lambda settings: settings.outreach_retention_schedule,
        at_first=OFF,
        says="Once a week, after the nightly refresh and before the drill. Off at first: what it "
        "removes is gone for good, so somebody says yes once.",
    ),
    Clock(
        job=morning_report_job.name,
        cron=lambda settings: settings.outreach_morning_report_schedule,
        at_first=ON,
        says="Every morning, when the night's work is over. On at first: a listing for each state "
        "and a HEAD for each newest object stay within what B2 gives free.",
    ),
    Clock(
        job=task_upkeep_job.name,
        cron=lambda settings: settings.outreach_task_upkeep_schedule,
        at_first=ON,
        says="Every hour: what an expired task left is soon gone, and what nobody has used for "
        "weeks may wait that long. On at first: people were told that their files go.",
    ),
    Clock(
        job=backup_job.name,
        cron=lambda settings: settings.outreach_backup_schedule,
        at_first=ON,
        says="Every night, before the refresh. On at first: without a policy it does nothing and "
        "costs nothing, and who has made one expects it.",
    ),
    Clock(
        job=backup_verify_job.name,
        cron=lambda settings: settings.outreach_backup_verify_schedule,
        at_first=ON,
        says="Once a week: what is read four times a month by a quarter is all read. On at first: "
        "a backup that nobody reads is a hope; OUTREACH_BACKUP_VERIFY_SHARE says how much of it.",
    ),
    Clock(
        job=backup_drill_job.name,
        cron=lambda settings: settings.outreach_backup_drill_schedule,
        at_first=ON,
        says="Once a week, when nobody waits for the machine. On at first: what was never "
        "restored is no backup, and fifty files of each are a small download.",
    ),
    Clock(
        job=backup_database_job.name,
        cron=lambda settings: settings.outreach_backup_database_schedule,
        at_first=OFF,
        says="Every night, after the refresh. Off at first: it holds people's data and goes to "
        "every destination, also to those meant for other folders, so somebody says yes once.",
    ),
    Clock(
        job=backup_database_drill_job.name,
        cron=lambda settings: settings.outreach_backup_database_drill_schedule,
        at_first=ON,
        says="Once a week, when nobody waits for the machine. On at first: what was never "
        "restored is no backup; where there is none it costs a listing.",
    ),
)


def build_schedules(
    settings: Settings, tables: Sequence[Table], switches: KillSwitches
) -> Sequence[dg.ScheduleDefinition]:
    """Every schedule, at the settings' times; `tables` carry the rules that rows are judged by."""
    zone = settings.outreach_schedule_timezone
    return [
        _nightly_refresh(settings.outreach_nightly_refresh_schedule, zone, tables, switches),
        *(
            dg.ScheduleDefinition(
                name=clock.name,
                job_name=clock.job,
                cron_schedule=clock.cron(settings),
                execution_timezone=zone,
                description=clock.says,
                default_status=clock.at_first,
            )
            for clock in CLOCKS
        ),
    ]


def _nightly_refresh(
    cron: str, zone: str, tables: Sequence[Table], switches: KillSwitches
) -> dg.ScheduleDefinition:
    @dg.schedule(
        job=refresh_tables_job,
        cron_schedule=cron,
        execution_timezone=zone,
        default_status=ON,
        description="Once a night, after the day's intake has ended in every US time zone but two: "
        "the states that have changed or are gone from the store. On at first: without a change it "
        "asks for nothing, and a listing for each state is within what B2 gives free.",
    )
    def nightly_refresh_schedule(
        context: dg.ScheduleEvaluationContext, neon: NeonResource, b2: B2Resource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        """The states that have changed since their last run, or are gone from the store."""
        busy = busy_states(context.instance)
        due = due_states(neon.open(), tables, switches, b2.create_store())
        wanted = {state: found for state, found in due.items() if state not in busy}
        return requests_for(wanted, NO_ATTEMPTS) or dg.SkipReason("nothing has changed")

    return nightly_refresh_schedule
