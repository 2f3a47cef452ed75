"""The restore drill as an asset: its history shows whether and how fast snapshots come back."""

import zlib
from collections.abc import Iterator

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.resources import PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.snapshots.drill import choose_snapshot, drill
from outreach_core.states import ALL_STATES

RESTORE_DRILL = dg.AssetKey(["b2", "restore_drill"])
RESTORE_WORKS = "a_restore_works"
NOTHING = "nothing is published yet"


@dg.multi_asset(
    name="restore_drill",
    specs=[
        dg.AssetSpec(
            RESTORE_DRILL,
            description="Any published snapshot, state and version by dice, restored from the "
            "store into an empty folder and a DuckDB file, its hashes, counts and verdicts "
            "compared with its manifest. Reads the snapshot twice: two downloads of its bytes.",
            group_name="store",
            owners=OWNERS,
            kinds={"s3", "duckdb"},
            deps=[dg.AssetKey(["b2", "manifest"])],
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            RESTORE_WORKS,
            asset=RESTORE_DRILL,
            description="A snapshot chosen by dice comes back from the store as it was published.",
        )
    ],
)
def restore_drill(
    context: dg.AssetExecutionContext, b2: B2Resource, private_duckdb: PrivateDuckDBResource
) -> Iterator[Result]:
    """Draw, restore, compare, report."""
    seed = zlib.crc32(context.run.run_id.encode())
    with dagster_failures(context):
        store = b2.create_store()
        chosen = choose_snapshot(store, ALL_STATES, seed)
        if chosen is None:
            yield dg.MaterializeResult(
                asset_key=RESTORE_DRILL, metadata={"outcome": NOTHING, "seed": seed}
            )
            yield _checked(NOTHING, passed=True)
            return
        done = drill(
            store,
            chosen,
            folder=private_duckdb.spill,
            memory_mb=private_duckdb.memory_mb,
            open_duck=private_duckdb.open,
        )
    outcome = done.problem or "as published"
    yield dg.MaterializeResult(
        asset_key=RESTORE_DRILL,
        metadata={
            "outcome": outcome,
            "state": done.state,
            "version": done.version,
            "seconds": done.seconds,
            "bytes": done.size_bytes,
            "rows": done.rows,
            "seed": seed,
        },
    )
    yield _checked(f"{done.state} {done.version}: {outcome}", passed=not done.problem)


def _checked(outcome: str, *, passed: bool) -> Result:
    return dg.AssetCheckResult(
        asset_key=RESTORE_DRILL,
        check_name=RESTORE_WORKS,
        passed=passed,
        metadata={"outcome": outcome},
    )
