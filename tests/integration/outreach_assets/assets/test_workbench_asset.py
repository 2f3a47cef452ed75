"""The analysts' file as an asset: what it shows, and that it notices what nobody published."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster_duckdb import DuckDBResource

from b2_resources import keys
from b2_resources.local_store import LocalStore
from outreach_assets.assets.workbench import NOTHING, workbench
from outreach_assets.steps.upload import publish, settle_exports
from outreach_assets.steps.workbench import refresh_workbench, workbench_path
from tests.given import a_company, a_person, export_raw


def given_published(home: Path) -> None:
    companies = [a_company("c1"), a_company("c2", website_url=None)]
    people = [a_person("p1"), a_person("p2", email=None), a_person("p3", email="no")]
    manifests = export_raw(home, companies, people, version="20260504030201")
    for outcome in publish(
        LocalStore(home / "store"), home / "exports", [*manifests.values()]
    ).values():
        assert not isinstance(outcome, Exception)
        settle_exports(home / "exports", outcome)
    refresh_workbench(home, home / "exports")


def materialized(home: Path) -> dg.ExecuteInProcessResult:
    file = DuckDBResource(
        database=str(workbench_path(home)), connection_config={"access_mode": "READ_ONLY"}
    )
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        return dg.materialize(
            [workbench], resources={"workbench_file": file}, instance=instance, raise_on_error=True
        )


@pytest.mark.slow
def test_it_shows_the_rows_of_each_view_and_the_reasons(tmp_path: Path) -> None:
    given_published(tmp_path)
    result = materialized(tmp_path)
    [event] = result.asset_materializations_for_node("workbench")
    shown = {name: event.metadata[name].value for name in ("people_good", "people_bad")}
    assert shown == {"people_good": 1, "people_bad": 2}
    [row] = event.metadata["reasons_over_time"].records
    assert (row.data["published_at"], row.data["email_invalid"]) == ("2026-05-04 03:02", 2)
    [check] = result.get_asset_check_evaluations()
    assert check.passed


@pytest.mark.slow
def test_rows_that_no_receipt_counts_fail_the_check(tmp_path: Path) -> None:
    given_published(tmp_path)
    good, bad = (
        tmp_path / "exports" / keys.newest_key("WV", "people", verdict)
        for verdict in ("good", "bad")
    )
    good.unlink()
    shutil.copyfile(bad, good)
    [check] = materialized(tmp_path).get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["rows_more_than_receipts"].value == {"people_good": 1}


def test_before_anything_is_published_it_says_so(tmp_path: Path) -> None:
    result = materialized(tmp_path)
    [event] = result.asset_materializations_for_node("workbench")
    assert event.metadata["outcome"].value == NOTHING
