"""The drill of the backups: what comes back from each destination, how fast, and since when.

What a drill does is in steps/backups/drill.py. Published snapshots have their own, in drill.py.
"""

import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from outreach_assets.assets.at_work import Result
from outreach_assets.assets.backups import GROUP, RunLog, run_event
from outreach_assets.assets.chain import OWNERS
from outreach_assets.assets.drill_plot import HISTORY, drill_plot
from outreach_assets.assets.metadata import Metadata
from outreach_assets.resources import NeonResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.backups.drill import Drill, NothingToDrillError
from outreach_core.drill_table import DrillResult, list_drills
from outreach_core.policies import NEON
from outreach_core.settings import Settings

BACKUP_DRILL = dg.AssetKey(["backup", "restore_drill"])
COMES_BACK = "every_destination_gives_files_back"
NOTHING = "nothing is backed up yet"


class DrillConfig(dg.Config):
    """How much to try."""

    files: int = Field(
        default=50, ge=1, description="So many files of each policy from each destination."
    )


def build_backup_drill(settings: Settings) -> dg.AssetsDefinition:
    """The asset and its check, at the destinations that the settings describe."""

    @dg.multi_asset(
        name="backup_drill",
        specs=[
            dg.AssetSpec(
                BACKUP_DRILL,
                description="Files by dice, of each policy from each destination, restored into an "
                "empty folder and compared by hash; with the history of all drills as a picture.",
                group_name=GROUP,
                owners=OWNERS,
                kinds={"file"},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                COMES_BACK,
                asset=BACKUP_DRILL,
                description="Files chosen by dice come back from every destination as they were.",
            )
        ],
    )
    def backup_drill(
        context: dg.AssetExecutionContext, config: DrillConfig, neon: NeonResource
    ) -> Iterator[Result]:
        """Draw, restore, compare, report."""
        with dagster_failures(context):
            postgres = neon.open()
            drill = Drill(
                postgres=postgres,
                settings=settings,
                drill_id=f"{context.run.run_id}-{context.retry_number}",
                seed=f"{zlib.crc32(context.run.run_id.encode()):08x}",
                files=config.files,
                now=datetime.now(UTC),  # noqa: TID251 an edge: an asset's body
                progress=RunLog(context, "from"),
                event=run_event(context),
            )
            try:
                found = drill.run()
            except NothingToDrillError:
                found = []
            history = [o for o in list_drills(postgres, limit=HISTORY) if o.folder_id != NEON]
        yield dg.MaterializeResult(asset_key=BACKUP_DRILL, metadata=_facts(found, history))
        yield _checked(found)

    return backup_drill


def _facts(found: Sequence[DrillResult], history: Sequence[DrillResult]) -> Metadata:
    if not found:
        return {"outcome": NOTHING}
    columns = ("folder_id", "destination", "files", "restored", "restored_bytes", "seconds")
    records = [
        dg.TableRecord({**{name: getattr(one, name) for name in columns}, "error": one.error or ""})
        for one in found
    ]
    return {
        "outcome": f"{sum(one.is_passed for one in found)} of {len(found)} passed",
        "files": sum(one.files for one in found),
        "restored": sum(one.restored for one in found),
        "bytes": sum(one.restored_bytes for one in found),
        "seconds": sum(one.seconds for one in found),
        "seed": found[0].seed,
        "places": dg.MetadataValue.table(records),
        "history": drill_plot(history),
    }


def _checked(found: Sequence[DrillResult]) -> Result:
    failed = [f"{one.folder_id} from {one.destination}: {one.error}" for one in found if one.error]
    return dg.AssetCheckResult(
        asset_key=BACKUP_DRILL,
        check_name=COMES_BACK,
        passed=not failed,
        metadata={"failed": failed, "drilled": len(found)},
    )
