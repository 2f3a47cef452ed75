"""Where everything is wired: read this to see what Dagster loads."""

from collections.abc import Mapping

import dagster as dg
from dagster_duckdb import DuckDBResource

from b2_resources.build_store import STORE_FOLDER
from b2_resources.resource import B2Resource
from outreach_assets.assets.audit import audit_log_export
from outreach_assets.assets.backup_drill import build_backup_drill
from outreach_assets.assets.backup_neon import build_backup_neon
from outreach_assets.assets.backup_verified import build_backup_verified
from outreach_assets.assets.backups import build_backups
from outreach_assets.assets.chain import sources
from outreach_assets.assets.drill import restore_drill
from outreach_assets.assets.failures import build_failures
from outreach_assets.assets.inbox import build_inbox
from outreach_assets.assets.morning import build_morning
from outreach_assets.assets.retention import build_retention
from outreach_assets.assets.tables import build_tables
from outreach_assets.assets.tasks import build_tasks, task_upkeep
from outreach_assets.assets.usage import build_usage
from outreach_assets.assets.verified import verified_snapshots
from outreach_assets.assets.workbench import workbench
from outreach_assets.jobs import JOBS
from outreach_assets.resources import AlertsResource, NeonResource, PrivateDuckDBResource
from outreach_assets.schedules import build_schedules
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.steps.progress import NoProgress
from outreach_assets.steps.snapshots.retention import Keep
from outreach_assets.steps.workbench import workbench_path
from outreach_assets.tables.catalogue import tables_for
from outreach_assets.tools.assignment import ToolLimits
from outreach_core.settings import Settings, load_settings
from sensors.abandoned_runs import abandoned_runs_sensor
from sensors.alerts import alerts_sensor
from sensors.changed_states import build_changed_states_sensor
from sensors.failures_found import failures_found_sensor
from sensors.inbox import build_inbox_sensor
from sensors.owed_objects import owed_objects_sensor
from sensors.run_outcomes import run_outcomes_sensor
from sensors.task_uploads import task_uploads_sensor


def build_defs(settings: Settings, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Everything, around these settings; `resources` take the place of those by the same name."""
    tables = tables_for(settings.outreach_company_not_valid)
    switches = KillSwitches.of(settings)
    return dg.Definitions(
        assets=[
            *sources(),
            build_tables(settings.outreach_states_per_run, tables, switches),
            build_failures(settings.b2_validation_failures_prefix),
            build_usage(settings.outreach_storage_budget_dollars),
            audit_log_export,
            build_morning(tables, settings.outreach_ui_url),
            workbench,
            restore_drill,
            verified_snapshots,
            build_retention(
                Keep(snapshots=settings.outreach_keep_snapshots, days=settings.outreach_keep_days)
            ),
            build_tasks(ToolLimits.of(settings)),
            build_inbox(settings.outreach_open_tasks),
            task_upkeep,
            build_backups(settings),
            build_backup_verified(settings),
            build_backup_drill(settings),
            *build_backup_neon(settings),
        ],
        jobs=JOBS,
        schedules=build_schedules(settings, tables, switches),
        sensors=[
            abandoned_runs_sensor,
            owed_objects_sensor,
            failures_found_sensor,
            run_outcomes_sensor,
            alerts_sensor,
            build_changed_states_sensor(tables, switches),
            task_uploads_sensor,
            build_inbox_sensor(settings.inbox_minutes),
        ],
        resources={**default_resources(settings), **(resources or {})},
        executor=dg.in_process_executor,
    )


def default_resources(settings: Settings) -> dict[str, object]:
    """The resources as the environment describes them; secrets by the name of their variable."""
    return {
        "neon": NeonResource(
            connection_string=_env("NEON_CONNECTION_STRING", settings.neon_connection_string),
            host=_env("NEON_HOST", settings.neon_host),
            port=settings.neon_port,
            database=_env("NEON_DATABASE", settings.neon_database),
            user=_env("NEON_USER", settings.neon_user),
            password=_env("NEON_PASSWORD", settings.neon_password),
            sslmode=settings.neon_sslmode,
            home=str(settings.home),
        ),
        "b2": B2Resource(
            storage_mode=settings.store_mode,
            local_root=str(settings.home / STORE_FOLDER),
            endpoint=_env("B2_ENDPOINT", settings.b2_endpoint),
            region=_env("B2_REGION", settings.b2_region),
            key_id=_env("B2_KEY_ID", settings.b2_key_id),
            application_key=_env("B2_APPLICATION_KEY", settings.b2_application_key),
            bucket=_env("B2_BUCKET", settings.b2_bucket),
        ),
        "private_duckdb": PrivateDuckDBResource(
            home=str(settings.home),
            memory_mb=settings.outreach_duckdb_memory_mb,
            temp_gb=settings.outreach_duckdb_temp_gb,
            threads=settings.outreach_duckdb_threads,
        ),
        "workbench_file": DuckDBResource(
            database=str(workbench_path(settings.home)),
            connection_config={"access_mode": "READ_ONLY"},
        ),
        "progress": NoProgress(),
        "alerts": AlertsResource(
            webhook_url=_env("OUTREACH_ALERT_WEBHOOK_URL", settings.outreach_alert_webhook_url),
            email_to=_env("OUTREACH_ALERT_EMAIL_TO", settings.outreach_alert_email_to),
            email_from=_env("OUTREACH_ALERT_EMAIL_FROM", settings.outreach_alert_email_from),
            smtp_host=_env("OUTREACH_SMTP_HOST", settings.outreach_smtp_host),
            smtp_port=settings.outreach_smtp_port,
            smtp_user=_env("OUTREACH_SMTP_USER", settings.outreach_smtp_user),
            smtp_password=_env("OUTREACH_SMTP_PASSWORD", settings.outreach_smtp_password),
            smtp_security=settings.outreach_smtp_security,
            ui_url=settings.outreach_ui_url,
        ),
    }


def _env(name: str, value: object) -> str:
    """The variable by its name, so that no page shows its value; empty when it is not set."""
    return "" if value is None else dg.EnvVar(name)


defs = build_defs(load_settings())
