"""What the store holds and costs, once a day. The history is the asset's own: Dagster plots it."""

from collections.abc import Iterator

import dagster as dg

from b2_resources.bucket_setup import usage
from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.retries import dagster_failures

USAGE = dg.AssetKey(["b2", "usage"])
BUDGET = "storage_is_within_budget"


def build_usage(month_dollars: float) -> dg.AssetsDefinition:
    """The asset and its check against what a month of storage may cost."""

    @dg.multi_asset(
        name="store_usage",
        specs=[
            dg.AssetSpec(
                USAGE,
                description="Objects, bytes, hidden versions and open uploads in the store, and "
                "what a month of that costs by Backblaze's published price. A listing of "
                "everything: class C requests, one per thousand versions.",
                group_name="store",
                owners=OWNERS,
                kinds={"s3"},
                deps=[dg.AssetKey(["b2", "manifest"])],
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                BUDGET,
                asset=USAGE,
                description="A month of storage costs no more than "
                "OUTREACH_STORAGE_BUDGET_DOLLARS.",
            )
        ],
    )
    def store_usage(context: dg.AssetExecutionContext, b2: B2Resource) -> Iterator[Result]:
        with dagster_failures(context):
            found = usage(b2.create_store())
        yield dg.MaterializeResult(
            asset_key=USAGE,
            metadata={
                "objects": found.objects,
                "bytes": found.size_bytes,
                "hidden_versions": found.hidden_versions or 0,
                "hidden_bytes": found.hidden_bytes,
                "open_uploads": found.open_uploads,
                "month_dollars": found.month_dollars,
            },
        )
        yield dg.AssetCheckResult(
            asset_key=USAGE,
            check_name=BUDGET,
            passed=found.month_dollars <= month_dollars,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"month_dollars": found.month_dollars, "budget": month_dollars},
        )

    return store_usage
