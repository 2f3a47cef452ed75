"""The analysts' DuckDB file as an asset, opened as they open it and held against the receipts.

Runs make the file anew (steps/workbench.py); nothing here changes it.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
from dagster_duckdb import DuckDBResource

from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import MANIFEST, OWNERS
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Verdict

WORKBENCH = dg.AssetKey(["duckdb", "workbench"])
AS_RECEIPTS_SAY = "views_hold_what_receipts_say"
MOMENTS = 14
"""Of the reasons over time: two weeks of nights."""

NOTHING = "nothing is published from this machine: `outreach snapshots fetch` brings it here"

VIEWS = [table.judged(verdict) for table in TABLES for verdict in Verdict]

# Of the newest receipt of each state, by view.
RECEIPTS_SAY = """
    SELECT table_name || '_' || verdict, sum(rows)::BIGINT FROM snapshots
    WHERE (outreach_state, version) IN (
        SELECT (outreach_state, max(version)) FROM snapshots GROUP BY outreach_state)
    GROUP BY 1"""


@dg.multi_asset(
    name="workbench",
    specs=[
        dg.AssetSpec(
            WORKBENCH,
            description="`outreach_workbench.duckdb`: views over the newest Parquet of every "
            "state. Opened for reading, as an analyst does: how many rows each view shows, and "
            "how often each reason was found on the last days something was published.",
            group_name="store",
            owners=OWNERS,
            kinds={"duckdb"},
            deps=[MANIFEST],
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            AS_RECEIPTS_SAY,
            asset=WORKBENCH,
            description="Each view shows as many rows as the newest receipts count.",
        )
    ],
)
def workbench(workbench_file: DuckDBResource) -> Iterator[Result]:
    """Count what the views show, beside what the receipts say."""
    if not Path(workbench_file.database).exists():
        yield dg.MaterializeResult(asset_key=WORKBENCH, metadata={"outcome": NOTHING})
        yield _checked({})
        return
    with workbench_file.get_connection() as opened, closing(opened) as duck:
        shown = {view: _rows(duck, view) for view in VIEWS}
        receipts = dict(duck.execute(RECEIPTS_SAY).fetchall())
        reasons = _reasons(duck)
    yield dg.MaterializeResult(
        asset_key=WORKBENCH,
        metadata={
            "file": dg.MetadataValue.path(workbench_file.database),
            **shown,
            "reasons_over_time": reasons,
        },
    )
    yield _checked(
        {view: n - receipts.get(view, 0) for view, n in shown.items() if n != receipts.get(view)}
    )


def _rows(duck: Duck, view: str) -> int:
    row = duck.execute(f"SELECT count(*) FROM {view}").fetchone()  # noqa: S608 the catalogue's
    return int(row[0]) if row else 0


def _reasons(duck: Duck) -> dg.TableMetadataValue:
    """A row for each of the last moments something was published, a column for each reason."""
    found = duck.execute("SELECT published_at, reason, rows FROM reasons_over_time").df()
    by_moment = found.pivot_table(index="published_at", columns="reason", values="rows")
    newest = by_moment.sort_index(ascending=False).head(MOMENTS).fillna(0).astype(int)
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"published_at": f"{moment:%Y-%m-%d %H:%M}", **counts})
            for moment, counts in newest.to_dict("index").items()
        ]
    )


def _checked(more: dict[str, int]) -> dg.AssetCheckResult:
    """`more`: by view, by how many rows it shows more than the receipts count."""
    return dg.AssetCheckResult(
        asset_key=WORKBENCH,
        check_name=AS_RECEIPTS_SAY,
        passed=not more,
        metadata={"rows_more_than_receipts": dg.MetadataValue.json(more)},
    )
