"""The database at every destination, and the drill that brings it back from each of them.

What a backup is is in steps/backups/database/. Folders by policy are in backups.py.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from outreach_assets.assets.at_work import Result
from outreach_assets.assets.backups import (
    GROUP,
    NotAllBackedUpError,
    NotAllBackedUpYetError,
    RunLog,
    run_event,
)
from outreach_assets.assets.chain import OWNERS
from outreach_assets.assets.drill_plot import HISTORY, drill_plot
from outreach_assets.assets.metadata import Metadata
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.backups.database.drill import DatabaseDrill, DatabaseDrilled
from outreach_assets.steps.backups.database.receipt import Receipt
from outreach_assets.steps.backups.database.run import DatabaseBackup, DatabaseOutcome
from outreach_assets.tables.catalogue import TABLES
from outreach_core.drill_table import DrillResult, list_drills
from outreach_core.policies import NEON
from outreach_core.settings import Settings

BACKUP_NEON = dg.AssetKey(["backup", "neon"])
NEON_DRILL = dg.AssetKey(["backup", "neon_drill"])
COMES_BACK = "the_database_comes_back"


def build_backup_neon(settings: Settings) -> list[dg.AssetsDefinition]:
    """The backup and its drill, at the destinations that the settings describe."""

    @dg.multi_asset(
        name="backup_neon",
        specs=[
            dg.AssetSpec(
                BACKUP_NEON,
                description="The project's own tables and the two masters, from one snapshot, as "
                "Parquet with a manifest that can rebuild them; the same version at every "
                "destination, proven by hash. Its metadata says what is left out, and why.",
                group_name=GROUP,
                owners=OWNERS,
                kinds={"postgres", "parquet"},
                deps=[dg.AssetKey(["neon", table.source.split(".")[1]]) for table in TABLES],
            )
        ],
    )
    def backup_neon(
        context: dg.AssetExecutionContext, neon: NeonResource, private_duckdb: PrivateDuckDBResource
    ) -> Iterator[Result]:
        """Dump once, bring it everywhere, report; fail naming where it is not."""
        with dagster_failures(context):
            backup = DatabaseBackup(
                postgres=neon.open(),
                settings=settings,
                open_duck=private_duckdb.open,
                now=datetime.now(UTC),  # noqa: TID251 an edge: an asset's body
                run_id=context.run.run_id,
                progress=RunLog(context),
                event=run_event(context),
            )
            receipt, outcomes = backup.run()
            yield from _reported(context, receipt, outcomes)
            _raise_errors(outcomes)

    @dg.multi_asset(
        name="neon_drill",
        specs=[
            dg.AssetSpec(
                NEON_DRILL,
                description="The newest backup of the database at each destination, restored into "
                "a PostgreSQL that is started for it, every table compared by row hash.",
                group_name=GROUP,
                owners=OWNERS,
                kinds={"postgres"},
                deps=[BACKUP_NEON],
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                COMES_BACK,
                asset=NEON_DRILL,
                description="The newest backup of every destination that has one can be restored.",
            )
        ],
    )
    def neon_drill(
        context: dg.AssetExecutionContext, neon: NeonResource, private_duckdb: PrivateDuckDBResource
    ) -> Iterator[Result]:
        """Restore, compare, report."""
        with dagster_failures(context):
            postgres = neon.open()
            drill = DatabaseDrill(
                postgres=postgres,
                settings=settings,
                open_duck=private_duckdb.open,
                drill_id=context.run.run_id,
                now=datetime.now(UTC),  # noqa: TID251 an edge: an asset's body
                event=run_event(context),
            )
            found = list(drill.run())
            history = list_drills(postgres, folder_id=NEON, limit=HISTORY)
        yield from _drilled(found, history)

    return [backup_neon, neon_drill]


def _reported(
    context: dg.AssetExecutionContext, receipt: Receipt, outcomes: Sequence[DatabaseOutcome]
) -> Iterator[Result]:
    """Materialized when it is everywhere; otherwise where it is, as an observation."""
    columns = ("destination", "version", "bytes", "seconds", "error")
    records = [
        dg.TableRecord({name: getattr(one, name) or "" for name in columns}) for one in outcomes
    ]
    facts: Metadata = {
        "version": receipt.version,
        "tables": len(receipt.tables),
        "rows": receipt.rows,
        "bytes": receipt.size_bytes,
        "removed": sum(len(one.removed) for one in outcomes),
        "left_out": [f"{one.name}: {one.why}" for one in receipt.left_out],
        "destinations": dg.MetadataValue.table(records),
    }
    if any(one.error for one in outcomes):
        context.log_event(dg.AssetObservation(BACKUP_NEON, metadata=dict(facts)))
    else:
        yield dg.MaterializeResult(asset_key=BACKUP_NEON, metadata=facts)


def _raise_errors(outcomes: Sequence[DatabaseOutcome]) -> None:
    failed = [one for one in outcomes if one.error]
    if failed:
        said = "; ".join(f"{one.destination} failed: {one.error}" for one in failed)
        kind = NotAllBackedUpYetError if any(o.may_pass for o in failed) else NotAllBackedUpError
        raise kind(said)


def _drilled(found: Sequence[DatabaseDrilled], history: Sequence[DrillResult]) -> Iterator[Result]:
    columns = ("destination", "version", "tables", "rows", "bytes", "seconds", "problem")
    records = [dg.TableRecord({name: getattr(one, name) for name in columns}) for one in found]
    picture = {"history": drill_plot(history)} if history else {}
    yield dg.MaterializeResult(
        asset_key=NEON_DRILL,
        metadata={"destinations": dg.MetadataValue.table(records), **picture},
    )
    problems = [f"{one.destination}: {one.problem}" for one in found if one.problem]
    yield dg.AssetCheckResult(
        asset_key=NEON_DRILL,
        check_name=COMES_BACK,
        passed=all(one.is_empty for one in found if one.problem),
        metadata={"problems": problems},
    )
