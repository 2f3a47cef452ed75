"""Whether what is published is still what was validated, as an asset with a check."""

import time
from collections.abc import Iterator

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.snapshots.verify import StateVerified, Verifier, verify_states
from outreach_core.audit import published_manifests
from outreach_core.states import ALL_STATES

VERIFIED = dg.AssetKey(["b2", "verified_snapshots"])
AS_PUBLISHED = "snapshots_are_as_published"


@dg.multi_asset(
    name="verified_snapshots",
    specs=[
        dg.AssetSpec(
            VERIFIED,
            description="The newest snapshot of every state, read from the store to the last byte: "
            "files against manifest, manifests against their chain, what readers find against the "
            "newest manifest, and the rows judged again. Downloads each of them twice.",
            group_name="store",
            owners=OWNERS,
            kinds={"s3", "duckdb"},
            deps=[dg.AssetKey(["b2", "manifest"])],
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            AS_PUBLISHED,
            asset=VERIFIED,
            description="Every newest snapshot is what was validated and published.",
        )
    ],
)
def verified_snapshots(
    context: dg.AssetExecutionContext,
    neon: NeonResource,
    b2: B2Resource,
    private_duckdb: PrivateDuckDBResource,
) -> Iterator[Result]:
    """Verify all states, and say what is wrong."""
    began = time.monotonic()
    with dagster_failures(context):
        verifier = Verifier(
            store=b2.create_store(),
            folder=private_duckdb.spill,
            open_duck=private_duckdb.open,
            audited=published_manifests(neon.open()),
        )
        found = list(_logged(context, verify_states(verifier, ALL_STATES)))
    problems = [problem for one in found for problem in one.problems]
    yield dg.MaterializeResult(
        asset_key=VERIFIED,
        metadata={
            "states": sum(bool(one.versions) for one in found),
            "objects": sum(one.objects for one in found),
            "bytes": sum(one.size_bytes for one in found),
            "seconds": time.monotonic() - began,
            "problems": len(problems),
            "notes": [note for one in found for note in one.notes],
        },
    )
    yield dg.AssetCheckResult(
        asset_key=VERIFIED,
        check_name=AS_PUBLISHED,
        passed=not problems,
        metadata={"problems": problems},
    )


def _logged(
    context: dg.AssetExecutionContext, found: Iterator[StateVerified]
) -> Iterator[StateVerified]:
    for one in found:
        for problem in one.problems:
            context.log.error(problem)
        yield one
