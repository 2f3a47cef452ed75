"""The database to real destinations: whole or absent there, kept, proven, found damaged."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from outreach_assets.steps.backups.database import contents
from outreach_assets.steps.backups.database.contents import MasterHiddenError
from outreach_assets.steps.backups.database.dump import ValuesAlteredError, dump
from outreach_assets.steps.backups.database.receipt import ReceiptUnreadableError
from outreach_assets.steps.backups.database.restore import CannotRebuildError, _copy
from outreach_assets.steps.backups.database.run import DATABASE_BACKUP
from outreach_assets.steps.backups.database.shelf import (
    BackupDamagedError,
    Keep,
    NoSuchBackupError,
)
from outreach_assets.steps.backups.job import PlaceBusyError
from outreach_assets.steps.snapshots.restore import RestoreDiffersError
from outreach_core.audit import AuditLogMissingError
from outreach_core.errors import SettingsError
from outreach_core.postgres import Postgres
from outreach_core.sample_choices import ExistingRows, SampleSize, SampleTarget
from outreach_core.sample_data import load_sample
from tests.backups import hashes_below
from tests.database_backups import NOW, DatabaseBackups, a_database, rows_of
from tests.given import a_company, a_duck, a_person, given_rows, given_sql
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.pgbouncer import free_port, pgbouncer
from tests.servers.rclone_s3 import RcloneS3

A_DAY = timedelta(days=1)


@pytest.fixture
def backups(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatabaseBackups:
    made = DatabaseBackups(postgres, tmp_path, monkeypatch)
    given_rows(postgres, [a_company()], [a_person()])
    return made


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[Postgres]:
    with a_database(postgres_server) as postgres:
        yield postgres


@pytest.mark.slow
def test_a_dead_destination_stops_no_other_and_is_named(
    backups: DatabaseBackups, tmp_path: Path, empty: Postgres
) -> None:
    with RcloneS3(tmp_path / "s3", "aws", "dead") as server:
        backups.given_bucket("aws_s3", server.endpoint, server, "aws")
        dead = f"http://127.0.0.1:{free_port()}"
        backups.given_bucket("scaleway", dead, server, "dead")
        receipt, outcomes = backups.back_up()
        assert {name for name, one in outcomes.items() if one.error} == {"scaleway"}
        assert "connection refused" in str(outcomes["scaleway"].error)
        assert outcomes["scaleway"].may_pass
        version = receipt.version
        assert hashes_below(tmp_path / "s3/aws/neon" / version) == hashes_below(
            backups.at_home / version
        )
        assert backups.restore(empty, "aws_s3").rows == receipt.rows
    with backups.postgres.connect() as connection:
        told = connection.execute(
            "SELECT details ->> 'destination', details ->> 'error' IS NULL FROM shq.audit_log "
            "WHERE event_type = %s ORDER BY 1",
            (DATABASE_BACKUP,),
        ).fetchall()
    assert told == [("aws_s3", True), ("local", True), ("scaleway", False)]


def test_a_retry_leaves_alone_where_its_run_has_brought_it(backups: DatabaseBackups) -> None:
    given_sql(
        backups.postgres,
        "INSERT INTO shq.audit_log (event_type, event_source, details) VALUES ("
        f'\'{DATABASE_BACKUP}\', \'s\', \'{{"destination": "local", "run_id": "run-1"}}\')',
    )
    assert backups.back_up()[1] == {}


def test_old_versions_go_only_when_a_newer_one_is_whole_there(backups: DatabaseBackups) -> None:
    backups.patch.setenv("OUTREACH_BACKUP_DATABASE_KEEP", "2")
    backups.patch.setenv("OUTREACH_BACKUP_DATABASE_KEEP_DAYS", "3")
    receipt, _ = backups.back_up()
    for version in ("20260505030201", "20260506030201"):
        copytree(backups.at_home / receipt.version, backups.at_home / version)
    cut_short = backups.at_home / "20260505000000"
    cut_short.mkdir()
    cut_short.joinpath("shq.users.parquet").write_bytes(b"half")
    assert len(backups.versions()) == 4
    _, outcomes = backups.back_up(now=NOW + 5 * A_DAY)
    assert outcomes["local"].removed == ["20260505030201", "20260504030201", "20260505000000"]
    assert backups.versions() == ["20260506030201", "20260509030201"]


@pytest.mark.slow
def test_a_key_that_may_not_delete_leaves_the_backup_there_and_says_so(
    backups: DatabaseBackups, tmp_path: Path
) -> None:
    backups.patch.setenv("OUTREACH_BACKUP_DATABASE_KEEP", "1")
    backups.patch.setenv("OUTREACH_BACKUP_DATABASE_KEEP_DAYS", "0")
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        backups.back_up("aws_s3")
        proxy.script("DELETE", "/neon/", *[Fault.ERROR_500] * 40)
        _, outcomes = backups.back_up("aws_s3", now=NOW + A_DAY)
    assert "20260505030201 is there, but older" in str(outcomes["aws_s3"].error)
    assert not outcomes["aws_s3"].may_pass
    found = tmp_path.glob("s3/aws/neon/*/manifest.json")
    assert sorted(path.parent.name for path in found) == ["20260504030201", "20260505030201"]


def test_what_is_kept_is_kept_by_number_and_by_days() -> None:
    versions = [f"{NOW + day * A_DAY:%Y%m%d%H%M%S}" for day in range(10)]
    later = NOW + 9 * A_DAY
    assert Keep(versions=2, days=5).beyond(versions, later) == versions[3::-1]
    assert Keep(versions=9, days=0).beyond(versions, later) == versions[:1]


@pytest.mark.slow
def test_with_a_passphrase_nothing_of_it_can_be_read_there_and_it_comes_back(
    backups: DatabaseBackups, empty: Postgres
) -> None:
    backups.back_up()
    backups.patch.setenv("OUTREACH_BACKUP_PASSPHRASE", "correct horse battery staple")
    backups.patch.setenv("OUTREACH_BACKUP_DATABASE_KEEP", "1")
    backups.patch.setenv("OUTREACH_BACKUP_DATABASE_KEEP_DAYS", "0")
    receipt, outcomes = backups.back_up(now=NOW + A_DAY)
    # What lay there in the clear goes by the same rule.
    assert (outcomes["local"].error, outcomes["local"].removed) == (None, ["20260504030201"])
    files = [path for path in backups.at_home.rglob("*") if path.is_file()]
    assert len(files) == len(receipt.tables) + 1
    assert {path.read_bytes()[:6] for path in files} == {b"RCLONE"}
    assert backups.restore(empty).rows == receipt.rows
    backups.patch.delenv("OUTREACH_BACKUP_PASSPHRASE")
    with pytest.raises(SettingsError, match="is encrypted: set OUTREACH_BACKUP_PASSPHRASE"):
        backups.restore(empty)


def test_any_flipped_byte_is_found_before_anything_is_made(
    backups: DatabaseBackups, empty: Postgres
) -> None:
    receipt, _ = backups.back_up()
    folder = backups.at_home / receipt.version
    for name, error in (
        ("marketing.people_master.parquet", BackupDamagedError),
        ("manifest.json", ReceiptUnreadableError),
    ):
        path = folder / name
        body = path.read_bytes()
        path.write_bytes(body[:-90] + bytes([body[-90] ^ 1]) + body[-89:])
        with pytest.raises(error):
            backups.restore(empty)
        path.write_bytes(body)
    folder.joinpath("shq.users.parquet").unlink()
    with pytest.raises(BackupDamagedError, match=r"shq.users.parquet is not there"):
        backups.restore(empty)
    assert rows_of(empty, "SELECT to_regnamespace('shq')") == [(None,)]


def test_a_destination_that_holds_other_bytes_than_were_sent_is_not_believed(
    backups: DatabaseBackups, tmp_path: Path
) -> None:
    with RcloneS3(tmp_path / "s3", "aws") as server, FaultProxy(server) as proxy:
        backups.given_bucket("aws_s3", proxy.endpoint, server, "aws")
        proxy.script("PUT", "/shq.users.parquet", *[Fault.FLIP_UP] * 40)
        _, outcomes = backups.back_up("aws_s3")
    assert "shq.users.parquet" in str(outcomes["aws_s3"].error)
    assert not list(tmp_path.glob("s3/aws/neon/*/manifest.json"))


def test_what_cannot_be_made_there_leaves_nothing(
    backups: DatabaseBackups, empty: Postgres
) -> None:
    given_sql(backups.postgres, "CREATE TABLE marketing.composed (of shq.users)")
    backups.back_up()
    with pytest.raises(CannotRebuildError, match=r"table marketing.composed .* nothing is kept"):
        backups.restore(empty)
    assert rows_of(empty, "SELECT to_regnamespace('shq')") == [(None,)]


def test_rows_that_come_back_different_leave_nothing(
    backups: DatabaseBackups, empty: Postgres
) -> None:
    given_sql(
        backups.postgres,
        "CREATE FUNCTION marketing.here() RETURNS text STABLE LANGUAGE sql AS "
        "$$ SELECT current_database()::text $$",
        "CREATE FUNCTION marketing.lies() RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN marketing.here(); END $$",
        "CREATE TABLE marketing.lying (id integer, "
        "place text GENERATED ALWAYS AS (marketing.lies()) STORED)",
        "INSERT INTO marketing.lying VALUES (1)",
    )
    backups.back_up()
    with pytest.raises(RestoreDiffersError, match=r"marketing.lying \(1 rows of 1\)"):
        backups.restore(empty)
    assert rows_of(empty, "SELECT to_regnamespace('shq')") == [(None,)]


def test_a_value_that_arrives_as_another_fails_the_backup(
    backups: DatabaseBackups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the scanner does to a numeric NaN, were it handed over as it is."""
    given_sql(
        backups.postgres,
        "CREATE TABLE marketing.trap (amount numeric(5,2))",
        "INSERT INTO marketing.trap VALUES ('NaN'), (1)",
    )
    monkeypatch.setattr(contents, "AS_THEY_ARE", re.compile(".*"))
    monkeypatch.setattr(contents, "SCHEMAS", ("marketing",))
    with pytest.raises(ValuesAlteredError, match="marketing"):
        backups.back_up()
    assert not backups.at_home.exists()


def test_a_database_without_our_tables_says_what_to_do(
    backups: DatabaseBackups, empty: Postgres
) -> None:
    backups.postgres, full = empty, backups.postgres
    with pytest.raises(AuditLogMissingError, match="outreach db migrate"):
        backups.back_up()
    given_sql(full, "ALTER TABLE marketing.people_master RENAME TO elsewhere")
    backups.postgres = full
    with pytest.raises(MasterHiddenError, match=r"marketing.people_master .* not there"):
        backups.back_up()


def test_a_table_that_may_not_be_read_is_named_and_a_master_is_needed(
    backups: DatabaseBackups,
) -> None:
    with backups.postgres.connect() as connection:
        for statement in (
            "CREATE TABLE marketing.hidden ()",
            "CREATE ROLE half_blind",
            "GRANT USAGE ON SCHEMA marketing, shq TO half_blind",
            "GRANT SELECT ON ALL TABLES IN SCHEMA marketing, shq TO half_blind",
            "REVOKE SELECT ON marketing.hidden FROM half_blind",
            "SET LOCAL ROLE half_blind",
            contents.AS_TEXT,
        ):
            connection.execute(statement.encode())
        left_out = {one.name: one.why for one in contents.find_contents(connection).left_out}
        assert left_out["marketing.hidden"] == "NEON_USER may not read it"
        connection.execute("RESET ROLE")
        connection.execute("REVOKE SELECT ON marketing.people_master FROM half_blind")
        connection.execute("SET LOCAL ROLE half_blind")
        with pytest.raises(MasterHiddenError, match="NEON_USER may not read it"):
            contents.find_contents(connection)
        connection.rollback()


def test_two_runs_at_once_do_not_meet(backups: DatabaseBackups) -> None:
    with backups.a_database_run()._alone(), pytest.raises(PlaceBusyError):
        backups.back_up()


def test_a_version_that_is_not_there_is_named(backups: DatabaseBackups, empty: Postgres) -> None:
    with pytest.raises(NoSuchBackupError, match="local holds no backup of the database"):
        backups.restore(empty)
    backups.back_up()
    with pytest.raises(NoSuchBackupError, match="local has no version 2020"):
        backups.restore(empty, version="2020")


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ODD_ROW = st.tuples(
    st.none() | TEXT,
    st.none() | st.lists(st.none() | TEXT, max_size=3),
    st.none() | st.just(Decimal("NaN")) | st.decimals(allow_nan=False),
    st.none() | st.floats(),
    st.none() | st.datetimes(),
    st.none() | st.binary(max_size=9),
    st.none() | st.recursive(TEXT | st.booleans() | st.none(), st.lists, max_leaves=4),
)


@pytest.mark.parametrize("examples", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_any_rows_come_back_as_they_were(
    backups: DatabaseBackups, empty: Postgres, examples: int, tmp_path: Path
) -> None:
    columns = "t text, a text[], n numeric, f float8, at timestamp, b bytea, j json"
    for postgres in (backups.postgres, empty):
        given_sql(postgres, "CREATE SCHEMA IF NOT EXISTS marketing")
        given_sql(postgres, f"CREATE TABLE marketing.any ({columns})")

    # Few examples of many rows: an example costs a dump, a row next to nothing.
    @settings(max_examples=examples, deadline=None, phases=[Phase.explicit, Phase.generate])
    @given(rows=st.lists(ODD_ROW, min_size=5, max_size=25))
    def come_back(rows: list[tuple[object, ...]]) -> None:
        given_sql(backups.postgres, "TRUNCATE marketing.any")
        given_sql(empty, "TRUNCATE marketing.any")
        with backups.postgres.connect() as connection, connection.cursor() as cursor:
            values = [(*row[:6], json.dumps(row[6])) for row in rows]
            query = "INSERT INTO marketing.any VALUES (%s, %s, %s, %s, %s, %s, %s)"
            cursor.executemany(query, values)
        with TemporaryDirectory() as name, a_duck(tmp_path) as duck:
            folder = Path(name)
            receipt = dump(duck, backups.postgres, folder, version="1", run_id="")
            (table,) = (one for one in receipt.tables if one.name == 'marketing."any"')
            with empty.connect() as connection:
                _copy(connection, duck, table, folder)
        query = "SELECT x::text FROM marketing.any AS x ORDER BY 1"
        assert rows_of(empty, query) == rows_of(backups.postgres, query)

    come_back()


@pytest.mark.pgbouncer
def test_it_works_through_a_transaction_pooler(
    backups: DatabaseBackups, empty: Postgres, tmp_path: Path
) -> None:
    with pgbouncer(backups.postgres, tmp_path) as pooled:
        backups.postgres = pooled
        receipt, outcomes = backups.back_up()
        assert outcomes["local"].error is None
        # Nothing of the session's settings stays with the pooler's connections.
        assert rows_of(pooled, "SHOW search_path") == [('"$user", public',)]
    tmp_path.joinpath("other").mkdir()
    with pgbouncer(empty, tmp_path / "other") as pooled:
        assert backups.restore(pooled).rows == receipt.rows


@pytest.mark.slow
def test_a_backup_is_of_one_moment_while_others_write(
    backups: DatabaseBackups, empty: Postgres
) -> None:
    """Every transaction moves a company and its person together; none is ever seen alone."""
    load_sample(
        backups.postgres,
        size=SampleSize.S,
        seed=1,
        target=SampleTarget.EMBEDDED,
        existing=ExistingRows.REPLACE,
        progress=lambda *_: None,
    )
    is_over = threading.Event()
    writes = 0

    def write() -> None:
        nonlocal writes
        while not is_over.is_set():
            writes += 1
            given_sql(
                backups.postgres,
                f"INSERT INTO marketing.company_master (company_unique_id) VALUES ('w{writes}')",
                "INSERT INTO marketing.people_master (unique_id, company_unique_id) "
                f"VALUES ('w{writes}', 'w{writes}')",
                f"DELETE FROM marketing.company_master WHERE company_unique_id = 'w{writes - 9}'",
                f"DELETE FROM marketing.people_master WHERE unique_id = 'w{writes - 9}'",
            )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backups.back_up()
    finally:
        is_over.set()
        writer.join()
    backups.restore(empty)
    assert writes > 20
    companies, people = (
        rows_of(empty, f"SELECT {key} FROM marketing.{table} WHERE {key} LIKE 'w%' ORDER BY 1")
        for table, key in (("company_master", "company_unique_id"), ("people_master", "unique_id"))
    )
    assert companies == people
    assert 0 < len(companies) <= 9
