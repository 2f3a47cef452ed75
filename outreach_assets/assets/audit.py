"""The audit log's finished days in the store, and the check that the log is as it was written.

What a day's object holds is said in steps/audit_export.py.
"""

from collections.abc import Iterator

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import AUDIT_LOG, OWNERS
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.audit_export import export_owed, verify
from outreach_core.audit import started_by

AUDIT_EXPORT = dg.AssetKey(["b2", "audit_log"])
WHOLE = "the_chain_is_whole"


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            AUDIT_EXPORT,
            description="`shq.audit_log` as Parquet, one object for each finished UTC day, with "
            "the position and hash that the day closed with. Never rewritten.",
            group_name="store",
            owners=OWNERS,
            kinds={"s3", "parquet"},
            deps=[AUDIT_LOG],
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            WHOLE,
            asset=AUDIT_EXPORT,
            description="No event was altered, removed or slipped in, and every exported day still "
            "closes with the hash in its object.",
        )
    ],
)
def audit_log_export(
    context: dg.AssetExecutionContext,
    neon: NeonResource,
    b2: B2Resource,
    private_duckdb: PrivateDuckDBResource,
) -> Iterator[Result]:
    """Export what is owed, then judge the whole chain."""
    postgres, store = neon.open(), b2.create_store()
    with dagster_failures(context):
        with private_duckdb.open() as duck:
            who = started_by(context.run.tags)
            days = export_owed(postgres, store, duck, private_duckdb.folder, who=who)
        report = verify(postgres, store)
    yield dg.MaterializeResult(
        asset_key=AUDIT_EXPORT,
        metadata={
            "dagster/row_count": sum(day.rows for day in days),
            "days": len(days),
            "keys": [day.key for day in days],
            **({"closing_position": days[-1].position} if days else {}),
            **({"closing_hash": days[-1].hash} if days else {}),
        },
    )
    yield dg.AssetCheckResult(
        asset_key=AUDIT_EXPORT,
        check_name=WHOLE,
        passed=not report.breaks,
        metadata={
            "events": report.rows,
            "position": report.position,
            "hash": report.closing_hash,
            "breaks": [found.says for found in report.breaks],
        },
    )
