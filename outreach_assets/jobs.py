"""Runs a person, a clock or a sensor can ask for."""

import dagster as dg

from outreach_assets.assets.chain import chain
from outreach_assets.assets.drill import RESTORE_DRILL
from outreach_assets.assets.retention import RETENTION
from outreach_assets.assets.usage import USAGE
from outreach_assets.assets.verified import VERIFIED

REFRESH_TABLES = "refresh_tables_job"

refresh_tables_job = dg.define_asset_job(
    REFRESH_TABLES,
    selection=dg.AssetSelection.assets(*(spec.key for spec in chain())),
    description="A state from Neon to published Parquet: the whole chain.",
    executor_def=dg.in_process_executor,
)

store_usage_job = dg.define_asset_job(
    "store_usage_job",
    selection=dg.AssetSelection.assets(USAGE),
    description="What the store holds and what a month of it costs.",
    executor_def=dg.in_process_executor,
)

restore_drill_job = dg.define_asset_job(
    "restore_drill_job",
    selection=dg.AssetSelection.assets(RESTORE_DRILL),
    description="Any snapshot, restored from the store and compared.",
    executor_def=dg.in_process_executor,
)

verify_snapshots_job = dg.define_asset_job(
    "verify_snapshots_job",
    selection=dg.AssetSelection.assets(VERIFIED),
    description="The newest snapshots, read from the store to the last byte and judged again.",
    executor_def=dg.in_process_executor,
)

retention_job = dg.define_asset_job(
    "retention_job",
    selection=dg.AssetSelection.assets(RETENTION),
    description="Snapshots beyond what is kept, removed for good.",
    executor_def=dg.in_process_executor,
)
