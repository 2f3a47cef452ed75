"""The assets that keep snapshots trustworthy, materialized for real: drill, verify, retention."""

from pathlib import Path

import dagster as dg
import pytest

from b2_resources import keys
from b2_resources.local_store import LocalStore
from b2_resources.resource import B2Resource
from outreach_assets.assets.drill import NOTHING, restore_drill
from outreach_assets.assets.retention import build_retention
from outreach_assets.assets.verified import verified_snapshots
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.steps.manifest import manifest_versions
from outreach_assets.steps.record import claimed
from outreach_assets.steps.snapshots.drill import choose_snapshot
from outreach_assets.steps.snapshots.retention import Keep
from outreach_assets.steps.upload import publish
from outreach_core.audit import SNAPSHOT_REMOVED
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES
from tests.given import a_company, a_person, export_raw

VERSIONS = V1, V2 = "20240504030201", "20240504030202"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def given_snapshots(store: LocalStore, home: Path) -> None:
    for version in VERSIONS:
        manifests = export_raw(
            home,
            [
                a_company("c1", company_name=version),
                a_company("c2", company_name=version, outreach_state="OH"),
            ],
            [a_person("p1", title=None), a_person("p2", title=None, outreach_state="OH")],
            version=version,
            states=("OH", "WV"),
        )
        publish(store, home / "exports", list(manifests.values()))


def materialized(
    asset: dg.AssetsDefinition, tmp_path: Path, postgres: Postgres | None = None
) -> dg.ExecuteInProcessResult:
    resources: dict[str, object] = {
        "b2": B2Resource(local_root=str(tmp_path / "store")),
        "private_duckdb": PrivateDuckDBResource(home=str(tmp_path / "home")),
    }
    if postgres is not None:
        resources["neon"] = NeonResource(
            connection_string=Postgres(conninfo=postgres.conninfo, name="").url
        )
    return dg.materialize(
        [asset],
        resources=resources,
        instance=dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)),
        tags={"outreach/once": "true"},
        raise_on_error=False,
    )


def numbers(result: dg.ExecuteInProcessResult, name: str) -> dict[str, object]:
    [event] = result.asset_materializations_for_node(name)
    return {name: value.value for name, value in event.metadata.items()}


def passed(result: dg.ExecuteInProcessResult) -> bool:
    [check] = result.get_asset_check_evaluations()
    return check.passed


def test_a_drill_restores_some_snapshot_and_says_how_long_it_took(
    store: LocalStore, tmp_path: Path
) -> None:
    given_snapshots(store, tmp_path)
    result = materialized(restore_drill, tmp_path)
    found = numbers(result, "restore_drill")
    assert passed(result)
    assert found["outcome"] == "as published"
    assert (found["state"], found["version"]) == choose_snapshot(store, ALL_STATES, found["seed"])
    assert isinstance(found["seconds"], float)
    assert (found["rows"], found["bytes"] > 0) == (2, True)
    assert list((tmp_path / "home" / "spill").iterdir()) == []


def test_a_drill_of_what_cannot_be_restored_fails_its_check(
    store: LocalStore, tmp_path: Path
) -> None:
    result = materialized(restore_drill, tmp_path)
    assert (passed(result), numbers(result, "restore_drill")["outcome"]) == (True, NOTHING)
    given_snapshots(store, tmp_path)
    for stored in list(store.list_objects("outreach/")):
        place = keys.snapshot_place(stored.key)
        if place is not None and place.table == "people":
            store.put_bytes(stored.key, b"something else")
    result = materialized(restore_drill, tmp_path)
    assert not passed(result)
    assert "does not have the bytes" in str(numbers(result, "restore_drill")["outcome"])


def test_any_snapshot_may_be_drawn(store: LocalStore, tmp_path: Path) -> None:
    given_snapshots(store, tmp_path)
    drawn = {choose_snapshot(store, ALL_STATES, seed) for seed in range(40)}
    assert drawn == {(state, version) for state in ("OH", "WV") for version in VERSIONS}


@pytest.mark.slow
def test_what_is_wrong_in_the_store_fails_the_check(
    store: LocalStore, postgres: Postgres, tmp_path: Path
) -> None:
    given_snapshots(store, tmp_path)
    result = materialized(verified_snapshots, tmp_path, postgres)
    found = numbers(result, "verified_snapshots")
    assert (passed(result), found["states"], found["objects"], found["problems"]) == (True, 2, 8, 0)
    key = keys.newest_key("OH", "people", "bad")
    store.delete(key)
    result = materialized(verified_snapshots, tmp_path, postgres)
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["problems"].value == [
        f"{store.place_of(key)}, where readers look, is missing"
    ]


def test_retention_removes_what_it_may_and_fails_for_a_state_with_a_run_in_it(
    store: LocalStore, postgres: Postgres, tmp_path: Path
) -> None:
    given_snapshots(store, tmp_path)
    retention = build_retention(Keep(snapshots=1, days=0))
    with claimed(postgres, ["OH"], run_id="r", version=V2, abandoned=lambda _run: None) as claim:
        result = materialized(retention, tmp_path, postgres)
        claim.close({})
    assert not result.success
    found = numbers(result, "retention")
    assert (found["removed"], found["failed"]) == ([f"WV {V1}"], ["OH"])
    assert list(manifest_versions(store, "WV")) == [V2]
    assert list(manifest_versions(store, "OH")) == [V1, V2]
    with postgres.connect() as connection:
        [run] = connection.execute(
            "SELECT details ->> 'run_id' FROM shq.audit_log WHERE event_type = %s",
            (SNAPSHOT_REMOVED,),
        ).fetchall()
    assert run == (result.run_id,)
    kept = materialized(build_retention(Keep(snapshots=2, days=0)), tmp_path, postgres)
    assert numbers(kept, "retention")["snapshots_removed"] == 0
