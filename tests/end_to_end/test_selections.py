"""One asset, one step, one state, every state: what a selection in the UI does and reports."""

from collections.abc import Sequence

import pytest

from b2_resources.local_store import LocalStore
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES
from tests.end_to_end.conftest import CHAIN, Backfilled
from tests.end_to_end.published import audit_rows, half_published
from tests.servers.outreach_dev import OutreachDev

pytestmark = [
    pytest.mark.xdist_group("dagster"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

FILES = [key for key in CHAIN if key.startswith("parquet/")]
TABLES = [key for key in CHAIN if key.startswith("duckdb/")]


@pytest.mark.parametrize(
    ("selected", "status"),
    [(["b2/companies_good"], "unchanged"), (FILES, "judged"), (TABLES, "judged")],
    ids=["one file in the bucket", "the exported files", "the tables"],
)
def test_a_selection_reports_what_was_selected_and_nothing_else(
    dev: OutreachDev,
    three_states: Backfilled,
    neon: Postgres,
    selected: Sequence[str],
    status: str,
) -> None:
    run = dev.launch_run(selected, {"dagster/partition": "WV"})
    assert dev.ended_run(run) == "SUCCESS"
    reported = [
        ("/".join(event["assetKey"]["path"]), event["partition"])
        for event in dev.events(run)
        if event["__typename"] == "MaterializationEvent"
    ]
    assert sorted(reported) == sorted((key, "WV") for key in selected)
    assert [(r["state"], r["status"]) for r in audit_rows(neon, run)] == [("WV", status)]


def test_a_backfill_of_every_state_is_one_run_that_succeeds(every_state: Backfilled) -> None:
    assert [run["status"] for run in every_state.runs] == ["SUCCESS"]


def test_a_backfill_of_every_state_leaves_an_audit_row_each(
    every_state: Backfilled, neon: Postgres
) -> None:
    rows = audit_rows(neon, every_state.runs[0]["id"])
    assert sorted(row["state"] for row in rows) == sorted(ALL_STATES)


def test_a_backfill_of_every_state_leaves_nothing_half_published(
    every_state: Backfilled, store: LocalStore
) -> None:
    assert half_published(store) == []


def test_dagster_sees_a_backfill_through(dev: OutreachDev, every_state: Backfilled) -> None:
    assert dev.ended_backfill_status(every_state.backfill) == "COMPLETED_SUCCESS"


def test_states_that_are_no_neighbours_are_a_run_for_each_range(dev: OutreachDev) -> None:
    runs = dev.ended_backfill(dev.launch_backfill(CHAIN, ["AK", "AL", "CA"]))
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
