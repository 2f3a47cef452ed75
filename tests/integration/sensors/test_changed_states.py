"""What the sensor asks for, and what it leaves alone. Random edits are in test_random_edits.py."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from b2_resources.local_store import LocalStore
from b2_resources.object_store import StoredObject, StoreUnreachableError
from outreach_assets.assets import asked_states
from outreach_assets.assets.asked_states import PAUSES, failed_attempts, states_of
from outreach_assets.assets.chain import source_key
from outreach_assets.schedules import build_schedules
from outreach_assets.steps.changed_states import changed_states
from outreach_assets.steps.kill_switches import KillSwitches
from outreach_assets.steps.manifest import manifest_versions
from outreach_assets.steps.record import NotMigratedError, Status
from outreach_assets.steps.source import held_snapshot
from outreach_assets.steps.source_versions import source_versions
from outreach_assets.tables.catalogue import TABLES
from outreach_core.settings import Settings
from outreach_core.states import ALL_STATES
from tests.given import (
    COMPANY_MASTER,
    PEOPLE_MASTER,
    a_company,
    a_person,
    given_rows,
    given_sql,
)
from tests.integration.sensors.place import SWITCHES, Place, edit, given_three_neighbours
from tests.servers.pgbouncer import pgbouncer


def test_states_never_run_are_asked_for_in_one_run(place: Place) -> None:
    assert place.asked() == list(ALL_STATES)
    assert len(place.requests) == 1
    assert place.requests[0].tags["outreach/what_changed"] == "first run"


def test_neighbours_are_one_run_and_what_lies_between_others_is_left_alone(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WI", "WV")
    given_rows(place.postgres, [a_company("pa", address_state="PA")])
    assert place.asked() == ["PA", "WI", "WV"]
    assert [states_of(r.tags) for r in place.requests] == [["PA"], ["WI", "WV"]]


def test_nothing_changed_is_a_skip_that_says_so(place: Place) -> None:
    given_three_neighbours(place)
    assert (place.asked(), place.skipped) == ([], "no change to ask for")


@pytest.mark.parametrize(
    "statement",
    [
        f"ALTER TABLE {COMPANY_MASTER} ADD COLUMN extra integer DEFAULT 7",
        f"ALTER TABLE {COMPANY_MASTER} DROP COLUMN facebook_url",
        f"ALTER TABLE {COMPANY_MASTER} ALTER employee_count TYPE bigint",
        f"ALTER TABLE {PEOPLE_MASTER} RENAME COLUMN bio TO life",
    ],
)
def test_another_column_asks_for_every_state(place: Place, statement: str) -> None:
    given_three_neighbours(place)
    given_sql(place.postgres, statement)
    assert place.asked() == list(ALL_STATES)


def test_a_type_without_a_hash_and_an_enum_with_a_new_name_are_seen(place: Place) -> None:
    given_rows(place.postgres)
    given_sql(
        place.postgres,
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        f"ALTER TABLE {COMPANY_MASTER} ADD COLUMN facts json, ADD COLUMN mood mood",
    )
    given_rows(place.postgres, [a_company(address_state="WV", facts="{}", mood="good")])
    place.run_all_changed()
    assert place.asked() == []
    given_sql(place.postgres, f"UPDATE {COMPANY_MASTER} SET facts = '[]'")
    assert place.asked() == ["WV"]
    place.run_all_changed()
    given_sql(place.postgres, "ALTER TYPE mood RENAME VALUE 'good' TO 'fine'")
    assert place.asked() == ["WV"]


def test_a_rule_that_changed_asks_for_every_state(place: Place) -> None:
    given_three_neighbours(place)
    companies, people = TABLES
    stricter = replace(companies, rules=companies.rules[1:])
    assert place.asked((stricter, people)) == list(ALL_STATES)
    assert place.requests[0].tags["outreach/what_changed"] == "rules"


def test_another_engine_asks_for_every_state(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    given_three_neighbours(place)
    monkeypatch.setattr(duckdb, "__version__", "9.9.9")
    assert place.asked() == list(ALL_STATES)
    assert place.requests[0].tags["outreach/what_changed"] == "engine"


def test_what_was_published_to_another_store_does_not_count(place: Place, tmp_path: Path) -> None:
    given_three_neighbours(place)
    place.home = tmp_path / "elsewhere"
    assert place.asked() == list(ALL_STATES)


def test_a_held_state_is_asked_for_again_when_its_own_thresholds_change(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WV", "WY")
    place.run_all_changed(Status.HELD)
    edit(place, "WI")
    place.run_all_changed(Status.PUBLISHED)
    assert place.asked() == []
    assert place.asked(switches=KillSwitches(max_bad_share_by_state={"WY": 0.5})) == ["WY"]
    assert place.requests[0].tags["outreach/what_changed"] == "kill switches"
    assert place.asked(switches=KillSwitches(max_row_change=0.5)) == ["WV", "WY"]


def test_a_held_state_is_asked_for_again_only_when_its_rows_change(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    place.run_all_changed(Status.HELD)
    assert place.asked() == []
    edit(place, "WV", name="Mended")
    assert place.asked() == ["WV"]


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.KILLED])
def test_a_state_whose_run_did_not_come_to_its_end_is_still_changed(
    place: Place, status: Status
) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    place.run_all_changed(status)
    assert place.asked() == ["WV"]


@pytest.mark.parametrize(
    "status",
    [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED],
    ids=lambda status: status.value,
)
def test_a_state_that_waits_or_is_at_work_is_not_asked_for(
    place: Place, status: dg.DagsterRunStatus
) -> None:
    given_three_neighbours(place)
    edit(place, "WI", "WV", "WY")
    place.launch(dg.RunRequest(tags={"dagster/partition": "WV"}), status)
    assert place.asked() == ["WI", "WY"]


def test_a_failed_run_is_asked_for_again_after_a_pause_under_another_key(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    assert place.asked() == ["WV"]
    first = place.requests[0]
    place.launch(first, dg.DagsterRunStatus.FAILURE)
    edit(place, "WY")
    assert place.asked() == ["WY"]  # its run is another matter
    monkeypatch.setattr(asked_states, "PAUSES", [timedelta(0)])
    assert place.asked() == ["WV", "WY"]
    assert place.requests[0].run_key != first.run_key


def test_pauses_grow_with_each_failure_up_to_their_longest(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    place.asked()
    (change,) = changed_states(place.postgres, TABLES, SWITCHES, place.place).values()
    for pause in (*PAUSES, PAUSES[-1]):
        before = datetime.now(UTC).replace(microsecond=0)  # as Dagster keeps it
        place.launch(place.requests[0], dg.DagsterRunStatus.FAILURE)
        until = failed_attempts(place.instance).next_after("WV", change)
        assert until is not None
        assert before + pause <= until <= datetime.now(UTC) + pause


def test_rows_that_go_back_and_forth_are_a_new_run_each_time(place: Place) -> None:
    given_three_neighbours(place)
    keys = set()
    for number in range(4):
        edit(place, "WV", name=("Other", "Acme")[number % 2])
        assert place.asked() == ["WV"]
        keys.add(place.requests[0].run_key)
        place.run_all_changed(run_id=f"run-{number}")
    assert len(keys) == 4


def test_dagster_is_told_which_tables_have_changed_in_which_states(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    given_sql(place.postgres, f"DELETE FROM {PEOPLE_MASTER} WHERE unique_id = 'WY'")
    place.asked()
    company_master, people_master = (source_key(table) for table in TABLES)
    assert [(e.asset_key, e.partition) for e in place.events] == [
        (company_master, "WV"),
        (people_master, "WY"),
    ]


def test_a_database_that_is_not_migrated_says_so(place: Place) -> None:
    given_sql(place.postgres, "DROP TABLE shq.source_versions")
    with pytest.raises(NotMigratedError, match="outreach db migrate"):
        place.asked()


@pytest.mark.pgbouncer
def test_the_sensor_works_behind_a_transaction_pooler(place: Place, tmp_path: Path) -> None:
    given_three_neighbours(place)
    with pgbouncer(place.postgres, tmp_path) as pooled:
        place.postgres = pooled
        edit(place, "WV")
        assert place.asked() == ["WV"]
        place.run_all_changed()
        assert place.asked() == []


def observed(place: Place, key: dg.AssetKey, state: str) -> str:
    """The version of a source in a state as Dagster knows it."""
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[state])
    (found,) = place.instance.fetch_observations(wanted, limit=1).records
    observation = found.asset_observation
    assert observation is not None
    return observation.tags["dagster/data_version"]


def test_what_the_sensor_asks_for_is_run_once_whether_published_or_held(
    place: Place,
) -> None:
    given_three_neighbours(place)
    edit(place, "WV", "WY")
    given_sql(  # the same key twice holds a state
        place.postgres,
        f"ALTER TABLE {PEOPLE_MASTER} DROP CONSTRAINT people_master_pkey",
    )
    given_rows(place.postgres, people=[a_person("WY", company_unique_id="WY")])
    assert place.asked() == ["WV", "WY"]
    assert not place.run(place.requests[0])  # WY is held
    assert place.asked() == []
    with place.postgres.connect() as connection:
        rows = connection.execute("SELECT DISTINCT state, status FROM shq.source_versions")
        assert {("WV", "published"), ("WY", "held")} <= set(rows.fetchall())


def test_a_run_tells_dagster_what_it_was_made_from(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    assert place.chain.run(["WV"]).success
    with held_snapshot(place.postgres) as snapshot:
        versions = source_versions(snapshot, TABLES, ["WV"])["WV"]
    assert observed(place, source_key(TABLES[0]), "WV") == versions["companies"]


def test_a_run_whose_store_refused_is_still_to_be_done(place: Place) -> None:
    given_three_neighbours(place)
    edit(place, "WV")
    (place.home / "store").write_text("no folder")
    assert place.asked() == ["WV"]
    assert not place.run(place.requests[0])
    assert list(changed_states(place.postgres, TABLES, SWITCHES, place.place)) == ["WV"]


def nightly(place: Place) -> list[list[str]]:
    """The states of each run that the nightly schedule asks for now."""
    schedule = build_schedules(Settings(), TABLES, SWITCHES)[0]
    with dg.build_schedule_context(place.instance, resources=place.resources) as context:
        asked = schedule.evaluate_tick(context).run_requests or ()
    return [states_of(request.tags) for request in asked]


@pytest.fixture
def lasting(place: Place) -> Iterator[Place]:
    """A place whose instance a schedule can be handed; nothing is in its store."""
    given_three_neighbours(place, Status.HELD)
    (place.home / "lasting").mkdir()
    with dg.DagsterInstance.local_temp(str(place.home / "lasting")) as place.instance:
        yield place


@pytest.mark.slow
def test_the_nightly_schedule_asks_for_what_changed_and_is_not_at_work_and_waits_for_nobody(
    lasting: Place,
) -> None:
    assert nightly(lasting) == []
    edit(lasting, "WI", "WV", "WY")
    lasting.launch(dg.RunRequest(tags={"dagster/partition": "WV"}), dg.DagsterRunStatus.STARTED)
    assert lasting.asked() == ["WI", "WY"]
    lasting.launch(lasting.requests[0], dg.DagsterRunStatus.FAILURE)
    assert (lasting.asked(), nightly(lasting)) == (["WY"], [["WI"], ["WY"]])


@pytest.mark.slow
def test_the_nightly_schedule_asks_for_a_state_that_is_gone_from_the_store(lasting: Place) -> None:
    edit(lasting, "WV")
    assert lasting.chain.run(["WV"]).success
    assert nightly(lasting) == []
    shutil.rmtree(lasting.home / "store" / "outreach" / "wv")
    assert lasting.asked() == []
    assert nightly(lasting) == [["WV"]]
    assert lasting.chain.run(["WV"]).success
    assert nightly(lasting) == []
    assert next(manifest_versions(lasting.chain.store, "WV"), None) is not None


def test_a_store_that_cannot_be_asked_has_lost_nothing(
    lasting: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(lasting, "WI", "WY")
    lasting.run_all_changed(Status.PUBLISHED)
    assert nightly(lasting) == [["WI"], ["WY"]]
    edit(lasting, "WV")

    def away(_store: LocalStore, prefix: str) -> Iterator[StoredObject]:
        raise StoreUnreachableError(prefix)

    monkeypatch.setattr(LocalStore, "list_objects", away)
    assert nightly(lasting) == [["WV"]]
