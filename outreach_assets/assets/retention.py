"""Old snapshots removed, as an asset whose history shows what went."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.resources import NeonResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.snapshots.retention import Keep, StatePruned, prune
from outreach_core.audit import started_by
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.states import ALL_STATES

RETENTION = dg.AssetKey(["b2", "retention"])


class StatesNotPrunedError(PermanentError):
    """Old snapshots of some states are still there; those of all others are gone."""


class StatesNotPrunedYetError(RetryableError):
    """The same for a reason that may pass, such as a run at work in them."""


def build_retention(keep: Keep) -> dg.AssetsDefinition:
    """The asset that removes what is beyond what is to be kept."""

    @dg.multi_asset(
        name="retention",
        specs=[
            dg.AssetSpec(
                RETENTION,
                description="Snapshots that are beyond OUTREACH_KEEP_SNAPSHOTS and "
                "OUTREACH_KEEP_DAYS, removed with what a bucket hides of them. Never the newest of "
                "a state, nor one that a held version was to follow. Each leaves a receipt and a "
                "row in the audit log. Cannot be undone; `outreach snapshots prune` shows before "
                "what would go.",
                group_name="store",
                owners=OWNERS,
                kinds={"s3"},
                deps=[dg.AssetKey(["b2", "manifest"])],
            )
        ],
    )
    def retention(
        context: dg.AssetExecutionContext, neon: NeonResource, b2: B2Resource
    ) -> Iterator[Result]:
        now = datetime.now(UTC)  # noqa: TID251 an edge: an asset's body
        with dagster_failures(context):
            by = {"who": started_by(context.run.tags), "run_id": context.run.run_id}
            done = prune(b2.create_store(), neon.open(), ALL_STATES, keep, now=now, by=by)
            found = list(done)
            yield _result(found)
            _raise_failures(found)

    return retention


def _result(found: list[StatePruned]) -> Result:
    removed = [one for state in found for one in state.removed]
    return dg.MaterializeResult(
        asset_key=RETENTION,
        metadata={
            "snapshots_removed": len(removed),
            "bytes": sum(one.size_bytes for one in removed),
            "hidden_versions": sum(one.purged.hidden_versions or 0 for one in found),
            "hidden_bytes": sum(one.purged.hidden_bytes for one in found),
            "removed": [f"{one.state} {one.version}" for one in removed],
            "failed": [one.state for one in found if one.failure is not None],
        },
    )


def _raise_failures(found: list[StatePruned]) -> None:
    failures = {one.state: one.failure for one in found if one.failure is not None}
    if failures:
        said = "; ".join(f"{state}: {error}" for state, error in failures.items())
        if all(isinstance(error, RetryableError) for error in failures.values()):
            raise StatesNotPrunedYetError(said)
        raise StatesNotPrunedError(said)
