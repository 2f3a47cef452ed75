"""A kill switch holds its state and no other; a person may release it; nothing is held for ever."""

from collections.abc import Sequence

import dagster as dg
import pytest

from b2_resources import keys
from b2_resources.object_store import get_bytes
from outreach_assets.steps import batches
from outreach_assets.steps.manifest import all_manifests, read_manifest
from tests.given import COMPANY_MASTER, Row, a_company, a_person, given_rows, given_sql
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand

STATES = ("VA", "VI", "VT", "WA", "WI", "WV")
LOSE_THE_KEY = "ALTER TABLE marketing.company_master DROP CONSTRAINT company_master_pkey"


def given_companies(
    chain: ChainAtHand, good: int, bad: int = 0, *, state: str = "WV", first: int = 0
) -> None:
    given_rows(chain.postgres, list(companies(good, bad, state, first)))


def companies(good: int, bad: int, state: str, first: int) -> Sequence[Row]:
    return [
        a_company(
            f"{state}{first + number}",
            address_state=state,
            website_url="a.example" if number < good else None,
        )
        for number in range(good + bad)
    ]


def held_files(chain: ChainAtHand, state: str = "WV") -> list[str]:
    return [found.key for found in chain.store.list_objects(keys.held_prefix(state))]


def versions(chain: ChainAtHand, state: str = "WV") -> list[str]:
    return [manifest.version for manifest in all_manifests(chain.store, state)]


def failed_checks(result: dg.ExecuteInProcessResult) -> list[tuple[str, str]]:
    return [
        (check.asset_key.to_user_string(), check.check_name)
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]


def trip_bad_share(chain: ChainAtHand) -> tuple[str, str]:
    given_companies(chain, 0, 20, first=1000)
    return ("duckdb/companies_bad", "few_are_bad")


def trip_row_change(chain: ChainAtHand) -> tuple[str, str]:
    given_companies(chain, 50, first=1000)
    return ("duckdb/companies_raw", "row_count_moved_little")


def trip_keys(chain: ChainAtHand) -> tuple[str, str]:
    given_sql(chain.postgres, LOSE_THE_KEY)
    given_companies(chain, 1)
    return ("duckdb/companies_raw", "keys_are_present_and_unique")


@pytest.mark.slow
@pytest.mark.parametrize("trip", [trip_bad_share, trip_row_change, trip_keys])
def test_a_switch_holds_its_state_and_all_others_are_published(
    chain: ChainAtHand, trip: object
) -> None:
    for state in STATES:
        given_companies(chain, 100, state=state)
    assert chain.run(STATES).success
    before = chain.store.head(keys.newest_key("WV", "companies", "good")).sha256
    assert callable(trip)
    check = trip(chain)
    for state in STATES[:-1]:
        given_companies(chain, 1, state=state, first=500)

    result = chain.run(STATES)

    assert not result.success
    endings = chain.endings(result)
    assert {state: ending["status"] for state, ending in endings.items()} == {
        **dict.fromkeys(STATES[:-1], "published"),
        "WV": "held",
    }
    assert failed_checks(result) == [check]
    assert len(versions(chain)) == 1
    assert chain.store.head(keys.newest_key("WV", "companies", "good")).sha256 == before
    materialized = {
        event.partition
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == dg.AssetKey(["b2", "manifest"])
    }
    assert materialized == set(STATES[:-1])


def test_what_is_held_lies_aside_with_its_reasons_until_the_state_is_published(
    chain: ChainAtHand,
) -> None:
    given_companies(chain, 1, 9)
    ending = chain.endings(chain.run(["WV"]))["WV"]
    assert ending["error"] == "9 of 10 companies are bad: 90.0%, more than 15.0%"
    assert ending["kill_switch_status"] == "K1"
    assert ending["kept_aside"] in held_files(chain)
    receipt = read_manifest(get_bytes(chain.store, ending["kept_aside"]), "the receipt")
    assert receipt.held == (ending["error"],)
    for file in receipt.files:
        aside = keys.held_key("WV", receipt.version, file.table, file.verdict)
        assert chain.store.head(aside).sha256 == file.sha256
    assert list((chain.home / "exports").rglob("*.parquet")) == []

    given_sql(chain.postgres, "UPDATE marketing.company_master SET website_url = 'a.example'")
    assert chain.run(["WV"]).success
    assert held_files(chain) == []


@pytest.mark.slow
def test_what_dead_runs_exported_is_in_no_history_once_the_state_is_held(
    chain: ChainAtHand,
) -> None:
    given_companies(chain, 10)
    chain.run(["WV"])
    exports = chain.home / "exports"
    [version] = versions(chain)
    dead = "20250101000000"
    for key in [
        keys.manifest_key("WV", version),
        keys.snapshot_key("WV", "people", "bad", version),
    ]:
        (exports / key.replace(version, dead)).write_bytes((exports / key).read_bytes())
    given_companies(chain, 0, 9, first=100)
    assert chain.endings(chain.run(["WV"]))["WV"]["status"] == "held"
    receipts = (exports / keys.manifests_prefix("WV")).iterdir()
    assert [receipt.stem for receipt in receipts] == [version]
    assert list(exports.rglob(f"*{dead}*")) == []


@pytest.mark.slow
def test_a_version_held_later_takes_the_place_of_the_one_before(chain: ChainAtHand) -> None:
    given_companies(chain, 1, 9)
    chain.run(["WV"])
    given_companies(chain, 1, 9, first=100)
    chain.run(["WV"])
    assert len(held_files(chain)) == 5


@pytest.mark.slow
def test_a_released_state_is_published_and_the_audit_log_says_who_and_why(
    chain: ChainAtHand,
) -> None:
    given_companies(chain, 1, 9)
    chain.run(["WV"])
    signed = {"released_by": "sam@laptop", "release_because": "agreed with sales"}
    result = chain.run(["WV"], config=signed)
    assert result.success
    ending = chain.endings(result)["WV"]
    assert ending["status"] == "published"
    assert ending["released"] == {
        "by": "sam@laptop",
        "because": "agreed with sales",
        "held_for": ["9 of 10 companies are bad: 90.0%, more than 15.0%"],
    }
    assert (versions(chain) != [], held_files(chain)) == (True, [])


@pytest.mark.slow
def test_what_was_released_is_not_held_again_while_it_stays_the_same(chain: ChainAtHand) -> None:
    given_companies(chain, 1, 9)
    chain.run(["WV"], config={"released_by": "sam", "release_because": "agreed"})
    result = chain.run(["WV"])
    assert result.success
    assert chain.endings(result)["WV"]["status"] == "unchanged"


@pytest.mark.parametrize("config", [{"released_by": "sam"}, {"release_because": "agreed"}])
def test_a_release_that_is_not_signed_publishes_nothing(
    chain: ChainAtHand, config: dict[str, str]
) -> None:
    given_companies(chain, 1, 9)
    assert not chain.run(["WV"], config=config).success
    assert versions(chain) == []


def test_a_state_has_a_threshold_of_its_own(chain: ChainAtHand) -> None:
    given_companies(chain, 1, 9)
    given_companies(chain, 1, 9, state="WI")
    result = chain.run(["WI", "WV"], outreach_max_bad_share_by_state="WV=0.95")
    statuses = {state: ending["status"] for state, ending in chain.endings(result).items()}
    assert statuses == {"WI": "held", "WV": "published"}


def test_the_bad_rows_of_a_held_state_reach_the_failures_log(chain: ChainAtHand) -> None:
    given_rows(
        chain.postgres, companies(1, 9, "WV", 0), [a_person(company_unique_id="WV1", title=None)]
    )
    chain.run(["WV"])
    with chain.postgres.connect() as connection:
        counted = connection.execute(
            "SELECT failure_type, count(*) FROM marketing.validation_failures_log "
            "GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert counted == [("company", 9), ("person", 1)]


def test_what_is_exported_only_is_held_in_every_batch(
    chain: ChainAtHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SHARE_OF_MEMORY", 1e-9)  # each state in a batch of its own
    for state in STATES:
        given_companies(chain, 10, 10 * (state == "VI"), state=state)
    result = chain.run(STATES, selection=["parquet/companies_good"])
    statuses = {state: ending["status"] for state, ending in chain.endings(result).items()}
    assert statuses == {**dict.fromkeys(STATES, "judged"), "VI": "held"}


def test_a_database_that_was_never_migrated_is_told_so(chain: ChainAtHand) -> None:
    given_companies(chain, 1)
    given_sql(chain.postgres, "ALTER TABLE shq.validations RENAME TO gone")
    ending = chain.endings(chain.run(["WV"]))["WV"]
    assert ending["status"] == "failed"
    assert "outreach db migrate" in ending["error"]


@pytest.mark.slow
def test_the_audit_row_says_how_many_rows_more_there_are(chain: ChainAtHand) -> None:
    given_companies(chain, 10)
    chain.run(["WV"])
    given_companies(chain, 2, first=100)
    ending = chain.endings(chain.run(["WV"]))["WV"]
    assert ending["row_delta"] == {"companies": 2, "people": 0}
    assert ending["kill_switch_status"] == "passed"


def test_a_number_that_was_none_is_a_warning_and_the_state_is_published(
    chain: ChainAtHand,
) -> None:
    given_companies(chain, 10)
    given_sql(chain.postgres, f"UPDATE {COMPANY_MASTER} SET data_quality_score = 'NaN'")
    result = chain.run(("WV",))
    [check] = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert result.success
    assert (check.check_name, check.severity) == (
        "every_number_arrived",
        dg.AssetCheckSeverity.WARN,
    )
