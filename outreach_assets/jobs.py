"""Runs a person, a clock or a sensor can ask for."""

from collections.abc import Iterable

import dagster as dg

from outreach_assets.assets.audit import AUDIT_EXPORT
from outreach_assets.assets.backup_drill import BACKUP_DRILL
from outreach_assets.assets.backup_neon import BACKUP_NEON, NEON_DRILL
from outreach_assets.assets.backup_verified import BACKUP_VERIFIED
from outreach_assets.assets.backups import IS_DESTINATION
from outreach_assets.assets.chain import chain
from outreach_assets.assets.drill import RESTORE_DRILL
from outreach_assets.assets.failures import EXPORTED_FAILURES
from outreach_assets.assets.inbox import TASK_INBOX
from outreach_assets.assets.morning import MORNING
from outreach_assets.assets.observed_sources import observe_sources
from outreach_assets.assets.retention import RETENTION
from outreach_assets.assets.tasks import TASK_OUTPUTS, TASK_UPKEEP
from outreach_assets.assets.usage import USAGE
from outreach_assets.assets.verified import VERIFIED
from outreach_assets.assets.workbench import WORKBENCH
from outreach_core.task_runs import JOB

REFRESH_TABLES = "refresh_tables_job"


def _job(name: str, keys: Iterable[dg.AssetKey], says: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 Dagster does not export the type
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*keys),
        description=says,
        executor_def=dg.in_process_executor,
    )


refresh_tables_job = _job(
    REFRESH_TABLES,
    [spec.key for spec in chain()],
    "A state from Neon to published Parquet: the whole chain.",
)
store_usage_job = _job(
    "store_usage_job", [USAGE], "What the store holds and what a month of it costs."
)
export_failures_job = _job(
    "export_failures_job",
    [EXPORTED_FAILURES],
    "Failures that have not been exported yet, into the store: each exactly once.",
)
audit_export_job = _job(
    "audit_export_job",
    [AUDIT_EXPORT],
    "Finished days of the audit log into the store, and the proof that it is whole.",
)
restore_drill_job = _job(
    "restore_drill_job", [RESTORE_DRILL], "Any snapshot, restored from the store and compared."
)
verify_snapshots_job = _job(
    "verify_snapshots_job",
    [VERIFIED],
    "The newest snapshots, read from the store to the last byte and judged again.",
)
morning_report_job = _job(
    "morning_report_job",
    [MORNING, WORKBENCH],
    "One page that says how the night went, and the analysts' file held against the receipts.",
)
retention_job = _job(
    "retention_job", [RETENTION], "Snapshots beyond what is kept, removed for good."
)
process_task_job = _job(JOB, [TASK_OUTPUTS], "A task that waits, from its files to its results.")
take_in_drops_job = _job(
    "take_in_drops_job", [TASK_INBOX], "Files in people's inboxes made into tasks."
)
task_upkeep_job = _job(
    "task_upkeep_job",
    [TASK_UPKEEP],
    "Tasks that nobody goes on with ended, and files that were kept long enough removed.",
)
# Which destinations there are is said by the settings, so they are found by their tag.
backup_job = dg.define_asset_job(
    "backup_job",
    selection=dg.AssetSelection.tag(*IS_DESTINATION),
    description="Folders to their destinations, by policy. One policy: `policy` in the run's "
    "configuration; one destination: select its asset.",
    executor_def=dg.in_process_executor,
)
backup_verify_job = _job(
    "backup_verify_job",
    [BACKUP_VERIFIED],
    "What was backed up is there still: all by hash, a share of it by its bytes.",
)
backup_drill_job = _job(
    "backup_drill_job", [BACKUP_DRILL], "Backed up files by dice, restored from each destination."
)
backup_database_job = _job(
    "backup_database_job", [BACKUP_NEON], "The database, as Parquet, to every destination."
)
backup_database_drill_job = _job(
    "backup_database_drill_job",
    [NEON_DRILL],
    "The database's newest backups, each restored into an empty PostgreSQL and compared.",
)


@dg.job(executor_def=dg.in_process_executor)
def observe_sources_job() -> None:
    """The version of Neon's tables in every state, so that the graph shows what has changed."""
    observe_sources()


JOBS = [
    refresh_tables_job,
    export_failures_job,
    store_usage_job,
    audit_export_job,
    restore_drill_job,
    verify_snapshots_job,
    retention_job,
    morning_report_job,
    observe_sources_job,
    process_task_job,
    take_in_drops_job,
    task_upkeep_job,
    backup_job,
    backup_verify_job,
    backup_drill_job,
    backup_database_job,
    backup_database_drill_job,
]
"""All of them, as definitions.py loads them."""
