"""What a run changes against the last one is in its receipt, beside its files and in the graph."""

import dagster as dg
import duckdb
import pytest

from outreach_assets.steps.manifest import all_manifests
from tests.given import a_company, given_rows, given_sql
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand

CHANGES = dg.AssetKey(["duckdb", "verdict_changes"])


def given_ten_companies(chain: ChainAtHand) -> None:
    given_rows(chain.postgres, [a_company(f"c{number}") for number in range(10)])


@pytest.mark.slow
def test_what_turned_bad_is_published_beside_the_snapshot(chain: ChainAtHand) -> None:
    given_ten_companies(chain)
    chain.run(["WV"])
    given_sql(
        chain.postgres,
        "UPDATE marketing.company_master SET website_url = NULL WHERE company_unique_id = 'c3'",
    )
    result = chain.run(["WV"])
    first, second = all_manifests(chain.store, "WV")
    assert first.changes is None
    assert second.changes is not None
    assert second.changes.since == first.version
    assert second.changes.counts["companies"] == {"broken by data": 1}
    assert chain.store.head(second.changes.key).sha256 == second.changes.sha256
    rows = duckdb.sql(
        f"SELECT key, change, cause, new_reasons FROM '{chain.home}/store/{second.changes.key}'"
    ).fetchall()
    assert rows == [("c3", "broken", "data", ["website_url_missing"])]
    [event] = [
        event
        for event in result.asset_materializations_for_node("outreach_tables")
        if event.asset_key == CHANGES
    ]
    assert event.metadata["dagster/partition_row_count"].value == 1


@pytest.mark.slow
def test_a_rule_that_grew_stricter_is_told_from_the_data(chain: ChainAtHand) -> None:
    given_ten_companies(chain)
    given_sql(
        chain.postgres,
        "INSERT INTO marketing.company_master (company_unique_id, company_name, address_state) "
        "VALUES ('bad', 'Bad', 'WV')",
        "INSERT INTO marketing.people_master (unique_id, company_unique_id, email, title) "
        "VALUES ('p1', 'bad', 'a@b.example', 'CFO')",
    )
    chain.run(["WV"])
    chain.run(["WV"], outreach_company_not_valid="error")
    *_, last = all_manifests(chain.store, "WV")
    assert last.changes is not None
    assert last.changes.counts == {"companies": {}, "people": {"broken by rule": 1}}


@pytest.mark.slow
def test_a_run_that_finds_nothing_new_has_no_changes(chain: ChainAtHand) -> None:
    given_ten_companies(chain)
    chain.run(["WV"])
    chain.run(["WV"])
    [only] = all_manifests(chain.store, "WV")
    assert only.changes is None
    assert not list((chain.home / "exports").rglob("verdict_changes_*"))


@pytest.mark.slow
def test_a_last_snapshot_that_cannot_be_read_does_not_stop_the_next(chain: ChainAtHand) -> None:
    given_ten_companies(chain)
    chain.run(["WV"])
    [first] = all_manifests(chain.store, "WV")
    for file in first.files:
        chain.store.delete(file.key)
        (chain.home / "exports" / file.key).unlink()
    given_sql(chain.postgres, "UPDATE marketing.company_master SET company_name = 'Other'")
    assert chain.run(["WV"]).success
    *_, last = all_manifests(chain.store, "WV")
    assert (last.version > first.version, last.changes) == (True, None)
