"""`outreach backup database`, from the first backup to a database that is back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from outreach_assets.command_line.main import app
from outreach_assets.steps.snapshots.restore import TargetInUseError
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from tests.database_backups import a_database, rows_of
from tests.given import a_company, given_rows
from tests.servers.pgbouncer import free_port


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    given_rows(postgres, [a_company()])
    monkeypatch.setenv("NEON_CONNECTION_STRING", postgres.url)
    monkeypatch.setenv("OUTREACH_HOME", str(tmp_path / "home"))
    return postgres


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[Postgres]:
    with a_database(postgres_server) as postgres:
        yield postgres


def outreach(*words: str) -> Result:
    return CliRunner().invoke(app, ["backup", *words])


@pytest.mark.slow
def test_the_database_goes_and_comes_back(database: Postgres, empty: Postgres) -> None:
    done = outreach("database", "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert [(o["destination"], o["error"]) for o in said["outcomes"]] == [("local", None)]
    version = said["outcomes"][0]["version"]
    assert "shq.user_tokens, its rows" in [one["name"] for one in said["left_out"]]

    listed = json.loads(outreach("database", "--list", "--json").stdout)
    assert listed == {"versions": {"local": [version]}, "problems": {}}
    assert version in outreach("database", "--list").stdout

    words = ("restore-database", "--from", "local", "--version", version, "--to", empty.url)
    back = outreach(*words)
    assert back.exit_code == 0
    assert f"version {version} is back" in back.stdout
    assert rows_of(empty, "SELECT company_name FROM marketing.company_master") == [("Acme",)]
    assert migrate(empty) == []
    assert isinstance(outreach(*words).exception, TargetInUseError)


@pytest.mark.slow
def test_a_destination_that_is_dead_ends_with_3_and_its_name(
    database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "BUCKET": "backups",
        "ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "REGION": "us-west-004",
        "KEY_ID": "k",
        "SECRET": "s",
    }.items():
        monkeypatch.setenv(f"OUTREACH_BACKUP_AWS_S3_{name}", value)
    done = outreach("database")
    assert done.exit_code == 3
    assert "not at aws_s3: " in done.stdout
    assert outreach("database", "--list").exit_code == 3


@pytest.mark.slow
def test_a_drill_says_what_came_back_from_where(database: Postgres, tmp_path: Path) -> None:
    first = json.loads(outreach("drill-database", "--json").stdout)["drills"]
    assert [(one["destination"], one["is_empty"]) for one in first] == [("local", True)]
    outreach("database")
    done = outreach("drill-database", "--json")
    assert done.exit_code == 0
    (drilled,) = json.loads(done.stdout)["drills"]
    assert (drilled["destination"], drilled["problem"]) == ("local", "")
    assert drilled["rows"] > 1
    assert list(tmp_path.joinpath("home/spill").iterdir()) == []

    (file,) = tmp_path.glob("home/backups/neon/*/marketing.company_master.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    failed = outreach("drill-database")
    assert failed.exit_code == 1
    assert "marketing.company_master.parquet is not what was put there" in failed.stdout
    told = rows_of(
        database,
        "SELECT details ->> 'problem' = '' FROM shq.audit_log "
        "WHERE event_type = 'outreach_database_drill' ORDER BY id",
    )
    assert told == [(False,), (True,), (False,)]
    history = json.loads(outreach("drills", "--policy", "neon", "--json").stdout)["drills"]
    assert [one["is_passed"] for one in history] == [False, True]
