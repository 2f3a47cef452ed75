"""The morning's page as an asset: one look says how the night went."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from b2_resources.keys import NEWEST_REPORT_KEY
from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import AUDIT_LOG, MANIFEST, OWNERS
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.morning import find_morning
from outreach_assets.steps.morning_page import morning_page
from outreach_assets.tables.table import Table

MORNING = dg.AssetKey(["b2", "morning_report"])
AS_PUBLISHED = "the_bucket_is_as_published"


def build_morning(tables: Sequence[Table], ui_url: str) -> dg.AssetsDefinition:
    """The asset and its check; `ui_url` is where the page's links to runs lead."""

    @dg.multi_asset(
        name="morning_report",
        specs=[
            dg.AssetSpec(
                MORNING,
                description="One page: which states ran, which were held and why, what turned bad "
                "or good and what made it so, every reason over time, and whether the store still "
                "says of every newest object what its receipt says (one HEAD each).",
                group_name="store",
                owners=OWNERS,
                kinds={"s3", "html"},
                deps=[MANIFEST, AUDIT_LOG],
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                AS_PUBLISHED,
                asset=MORNING,
                description="By size and sha256, every newest object is what its receipt says.",
            )
        ],
    )
    def morning_report(
        context: dg.AssetExecutionContext,
        neon: NeonResource,
        b2: B2Resource,
        private_duckdb: PrivateDuckDBResource,
    ) -> Iterator[Result]:
        now = datetime.now(UTC)  # noqa: TID251 the run's own clock
        with dagster_failures(context):
            store = b2.create_store()
            found = find_morning(neon.open(), store, private_duckdb.exports, tables, now=now)
            page = morning_page(found, tables, ui_url)
            store.put_bytes(NEWEST_REPORT_KEY, page.encode(), content_type="text/html")
        held = [f"- {one.state} {one.status}: {one.says}" for one in found.states if one.says]
        yield dg.MaterializeResult(
            asset_key=MORNING,
            metadata={
                "page": dg.MetadataValue.path(store.place_of(NEWEST_REPORT_KEY)),
                "states": ", ".join(f"{count} {name}" for name, count in found.statuses.items()),
                "held_or_failed": dg.MetadataValue.md("\n".join(held) or "none"),
                "changes": dg.MetadataValue.json(found.changes),
                "open_alerts": len(found.alerts),
                "failures_waiting": found.waiting,
                "backups": found.backups.says,
            },
        )
        yield dg.AssetCheckResult(
            asset_key=MORNING,
            check_name=AS_PUBLISHED,
            passed=not found.problems,
            metadata={"objects": found.objects, "problems": list(found.problems)},
        )

    return morning_report
