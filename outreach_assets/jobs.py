"""Runs a person, a clock or a sensor can ask for."""

import dagster as dg

from outreach_assets.assets.chain import chain
from outreach_assets.assets.observed_sources import observe_sources
from outreach_assets.assets.usage import USAGE

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


@dg.job(executor_def=dg.in_process_executor)
def observe_sources_job() -> None:
    """The version of Neon's tables in every state, so that the graph shows what has changed."""
    observe_sources()
