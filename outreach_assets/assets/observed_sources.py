"""What Dagster is told of Neon's tables: the version of each by state, so that it shows a change.

The observable-asset decorators are beta in Dagster 1.13; an observation logged by an op is not,
and marks what was made from an older version as stale just the same (seen).
"""

from collections.abc import Iterator

import dagster as dg

from outreach_assets.assets.chain import source_key
from outreach_assets.resources import NeonResource
from outreach_assets.steps.source import held_snapshot
from outreach_assets.steps.source_versions import Versions, source_versions
from outreach_assets.tables.catalogue import TABLES
from outreach_core.states import ALL_STATES

DATA_VERSION_TAG = "dagster/data_version"


def observations(versions: Versions) -> Iterator[dg.AssetObservation]:
    """One per table and state named."""
    keys = {table.name: source_key(table) for table in TABLES}
    for state, by_table in versions.items():
        for table, version in by_table.items():
            yield dg.AssetObservation(
                keys[table], partition=state, tags={DATA_VERSION_TAG: version}
            )


@dg.op
def observe_sources(context: dg.OpExecutionContext, neon: NeonResource) -> None:
    """Log the version of every table in every state; reads all rows once, in Postgres."""
    with held_snapshot(neon.open()) as snapshot:
        versions = source_versions(snapshot, TABLES, ALL_STATES)
    for observation in observations(versions):
        context.log_event(observation)
