"""`outreach snapshots verify|restore|prune` as people type them, and the settings behind them."""

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from b2_resources import keys
from b2_resources.local_store import LocalStore
from outreach_assets.command_line.main import app
from outreach_assets.steps.snapshots.restore import TargetInUseError
from outreach_assets.steps.upload import publish
from outreach_core.postgres import Postgres
from outreach_core.states import UnknownStateError
from tests.given import a_company, a_person, export_raw

VERSIONS = V1, V2, V3 = "20240504030201", "20240504030202", "20240504030203"
Command = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "home" / "store")


@pytest.fixture
def outreach(
    store: LocalStore, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """With three old snapshots of WV in a folder."""
    for version in VERSIONS:
        manifests = export_raw(
            tmp_path, [a_company(company_name=version)], [a_person(title=None)], version=version
        )
        publish(store, tmp_path / "exports", list(manifests.values()))
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEON_CONNECTION_STRING", Postgres(conninfo=postgres.conninfo, name="").url)

    def run(*words: str, code: int = 0, **variables: str) -> Result:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, ["snapshots", *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


@pytest.mark.slow
def test_verify_ends_with_1_and_names_what_is_wrong(outreach: Command, store: LocalStore) -> None:
    assert "all as published" in outreach("verify").output
    found = json.loads(outreach("verify", "--all", "--json").output)
    assert found == {
        "states": 1,
        "snapshots": 3,
        "objects": 12,
        "bytes": found["bytes"],
        "problems": [],
        "notes": [],
    }
    key = keys.snapshot_key("WV", "people", "bad", V1)
    store.path_of(key).write_bytes(b"changed")
    outreach("verify", "--state", "wv")
    said = outreach("verify", "--all", code=1).output.replace("\n", "")
    assert f"{store.place_of(key)} has other bytes than {V1} names" in said
    [problem] = json.loads(outreach("verify", "--all", "--json", code=1).output)["problems"]
    assert key in problem


def test_restore_puts_the_version_that_was_asked_for_where_it_was_asked(
    outreach: Command, postgres: Postgres, tmp_path: Path
) -> None:
    outreach("restore", "wv", "--to-folder", str(tmp_path / "folder"))
    assert (tmp_path / "folder" / "people_bad.parquet").exists()
    file = tmp_path / "wv.duckdb"
    found = json.loads(
        outreach("restore", "WV", "--version", V1, "--to-duckdb", str(file), "--json").output
    )
    assert found["version"] == V1
    assert found["rows"]["people_bad"] == 1
    with duckdb.connect(str(file), read_only=True) as duck:
        assert duck.execute("SELECT company_name FROM companies_good").fetchall() == [(V1,)]
    outreach("restore", "WV", "--version", V2, "--to-postgres", "restored")
    with postgres.connect() as connection:
        names = connection.execute("SELECT company_name FROM restored.companies_good").fetchall()
    assert names == [(V2,)]
    refused = outreach("restore", "WV", "--to-duckdb", str(file), code=1)
    assert isinstance(refused.exception, TargetInUseError)
    assert isinstance(
        outreach("restore", "ZZ", "--to-duckdb", "x", code=1).exception, UnknownStateError
    )
    outreach("restore", "WV", code=2)
    outreach("restore", "WV", "--to-duckdb", "x", "--to-folder", "y", code=2)


def test_prune_shows_before_it_removes_and_keeps_what_the_settings_say(
    outreach: Command, store: LocalStore
) -> None:
    [state] = json.loads(outreach("prune", "--json").output)["states"]
    assert (list(state["kept"]), state["doomed"]) == ([V3, V2, V1], {})
    two = {"OUTREACH_KEEP_SNAPSHOTS": "2", "OUTREACH_KEEP_DAYS": "10"}
    assert "nothing was removed: add --apply" in outreach("prune", **two).output
    [state] = json.loads(outreach("prune", "--json", **two).output)["states"]
    assert list(state["doomed"]) == [V1]
    for settings in (
        {"OUTREACH_KEEP_SNAPSHOTS": "3", "OUTREACH_KEEP_DAYS": "10"},
        {"OUTREACH_KEEP_SNAPSHOTS": "2", "OUTREACH_KEEP_DAYS": "36500"},
    ):
        [state] = json.loads(outreach("prune", "--json", **settings).output)["states"]
        assert state["doomed"] == {}
    done = json.loads(outreach("prune", "--keep", "1", "--days", "0", "--apply", "--json").output)
    assert [one["version"] for one in done["removed"]] == [V1, V2]
    assert done["failed"] == {}
    assert "all as published" in outreach("verify", "--all").output
    assert json.loads(outreach("list", "--state", "WV", "--json").output)["snapshots"][0][
        "version"
    ] == (V3)
    store.put_bytes(keys.manifest_key("WV", V2), b"no manifest")
    assert "WV: " in outreach("prune", "--keep", "1", "--days", "0", "--apply", code=3).output
