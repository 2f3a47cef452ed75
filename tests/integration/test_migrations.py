"""Migrations against a real Postgres: once each, in order, from many processes, never twice."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from outreach_core.migrate import (
    TRY_LOCK,
    Migration,
    MigrationBusyError,
    MigrationChangedError,
    MigrationFailedError,
    migrate,
    migration_status,
    shipped_migrations,
)
from outreach_core.postgres import Postgres

NAMES = [m.name for m in shipped_migrations()]
INDEX = "idx_validation_failures_b2_export"
MIGRATE_SCRIPT = """
import sys
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
print(*migrate(Postgres(conninfo=sys.stdin.read(), name="the test server")), sep="\\n")
"""


def rows(postgres: Postgres, sql: str) -> list[tuple]:
    with postgres.connect() as connection:
        return connection.execute(sql).fetchall()


def execute(postgres: Postgres, sql: str) -> None:
    with postgres.connect() as connection:
        connection.execute(sql)


def columns(postgres: Postgres, table: str) -> dict[str, str]:
    return dict(
        rows(
            postgres,
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped",
        )
    )


@pytest.fixture
def postgres(empty_postgres: Postgres) -> Postgres:
    """Not even migrated."""
    return empty_postgres


@pytest.fixture
def migrator(postgres: Postgres) -> Iterator[str]:
    """A role of its own for one test: roles belong to the whole server."""
    role = f"migrator_{secrets.token_hex(6)}"
    execute(postgres, f"CREATE ROLE {role}")
    yield role
    execute(postgres, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_an_empty_database_gets_every_migration_in_order(postgres: Postgres) -> None:
    assert migrate(postgres) == NAMES
    assert [s.name for s in migration_status(postgres) if s.applied_at] == NAMES


def test_before_the_first_migration_the_status_says_none_is_applied(postgres: Postgres) -> None:
    assert {s.applied_at for s in migration_status(postgres)} == {None}


def test_a_second_run_applies_nothing(postgres: Postgres) -> None:
    migrate(postgres)
    assert migrate(postgres) == []


def test_the_source_tables_have_their_29_columns(postgres: Postgres) -> None:
    migrate(postgres)
    companies = columns(postgres, "marketing.company_master")
    people = columns(postgres, "marketing.people_master")
    assert (len(companies), len(people)) == (29, 29)
    assert companies["data_quality_score"] == "numeric(5,2)"
    assert people["skills"] == people["certifications"] == "text[]"


def test_eight_threads_at_once_apply_each_file_once(postgres: Postgres) -> None:
    with ThreadPoolExecutor(8) as pool:
        applied = [name for names in pool.map(migrate, [postgres] * 8) for name in names]
    assert sorted(applied) == NAMES


def test_four_processes_at_once_apply_each_file_once(postgres: Postgres) -> None:
    command = [sys.executable, "-c", MIGRATE_SCRIPT]

    def run(_: int) -> list[str]:
        done = subprocess.run(
            command, input=postgres.conninfo, capture_output=True, text=True, check=True, timeout=90
        )
        return done.stdout.split()

    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(run, range(4)) for name in names]
    assert sorted(applied) == NAMES


def test_a_changed_file_is_refused_by_name(postgres: Postgres) -> None:
    migrate(postgres)
    first, *others = shipped_migrations()
    with pytest.raises(MigrationChangedError, match=r"0001_source_tables\.sql changed"):
        migrate(postgres, [replace(first, sql=first.sql + "-- more"), *others])


def test_line_ends_of_another_system_are_no_change(postgres: Postgres) -> None:
    migrate(postgres)
    crlf = [replace(m, sql=m.sql.replace("\n", "\r\n")) for m in shipped_migrations()]
    assert migrate(postgres, crlf) == []


def test_a_failing_file_leaves_nothing_of_itself(postgres: Postgres) -> None:
    bad = Migration(name="0007_bad.sql", sql="CREATE TABLE shq.half (a int); SELECT 1/0;")
    with pytest.raises(MigrationFailedError, match=r"0007_bad\.sql"):
        migrate(postgres, [*shipped_migrations(), bad])
    assert rows(postgres, "SELECT to_regclass('shq.half')") == [(None,)]
    assert [s.name for s in migration_status(postgres) if s.applied_at] == NAMES


def test_a_table_in_use_is_busy(postgres: Postgres) -> None:
    migrate(postgres)
    alter = Migration(
        name="0007_alter.sql",
        sql="SET LOCAL lock_timeout = '100ms'; ALTER TABLE shq.open_runs ADD COLUMN more text;",
    )
    with postgres.connect() as reader:
        reader.execute("SELECT count(*) FROM shq.open_runs")
        with pytest.raises(MigrationBusyError, match="in use"):
            migrate(postgres, [*shipped_migrations(), alter])


def test_a_migration_that_goes_on_for_too_long_is_busy(postgres: Postgres) -> None:
    with postgres.connect() as other:
        other.execute(TRY_LOCK)
        with pytest.raises(MigrationBusyError, match="another process"):
            migrate(postgres, wait_seconds=0.2)


def test_a_production_master_is_left_as_it_is(postgres: Postgres) -> None:
    execute(
        postgres,
        "CREATE SCHEMA marketing; CREATE TABLE marketing.company_master (company_unique_id text);"
        "CREATE TABLE marketing.people_master (unique_id text, added_later int)",
    )
    migrate(postgres)
    assert columns(postgres, "marketing.company_master") == {"company_unique_id": "text"}
    assert columns(postgres, "marketing.people_master") == {
        "unique_id": "text",
        "added_later": "integer",
    }
    assert not rows(postgres, "SELECT 1 FROM pg_indexes WHERE tablename LIKE '%\\_master'")


def test_a_role_that_may_not_create_in_production_schemas_can_migrate(
    postgres: Postgres, migrator: str
) -> None:
    """As in production: marketing and its tables belong to somebody else, shq is ours."""
    log_columns = "exported_to_b2 boolean, exported_to_b2_at timestamp, failure_type text"
    execute(
        postgres,
        "CREATE SCHEMA marketing; CREATE SCHEMA shq;"
        "CREATE TABLE marketing.company_master (company_unique_id text);"
        "CREATE TABLE marketing.people_master (unique_id text);"
        f"CREATE TABLE marketing.validation_failures_log ({log_columns});"
        f"GRANT USAGE ON SCHEMA marketing TO {migrator};"
        f"GRANT USAGE, CREATE ON SCHEMA shq TO {migrator}",
    )
    with postgres.connect() as connection:
        connection.execute(f"SET LOCAL ROLE {migrator}")
        for migration in shipped_migrations()[:5]:
            connection.execute(migration.sql)


def test_a_role_that_may_not_create_a_schema_is_told_what_was_refused(
    postgres: Postgres, migrator: str
) -> None:
    as_migrator = replace(postgres, conninfo=f"{postgres.conninfo} options='-c role={migrator}'")
    with pytest.raises(MigrationFailedError, match=r"outreach_migrations was refused .*permission"):
        migrate(as_migrator)


def test_failures_logged_before_the_migration_have_null_in_exported_to_b2(
    postgres: Postgres,
) -> None:
    insert = (
        "INSERT INTO marketing.validation_failures_log "
        "(company_id, fail_reason, pipeline_id, failure_type) VALUES ('{}', 'x', 'p', 'company')"
    )
    migrate(postgres, shipped_migrations()[:4])
    execute(postgres, insert.format("old"))
    migrate(postgres)
    execute(postgres, insert.format("new"))
    found = rows(
        postgres, "SELECT company_id, exported_to_b2 FROM marketing.validation_failures_log"
    )
    assert dict(found) == {"old": None, "new": False}


def test_an_invalid_index_is_built_anew(postgres: Postgres) -> None:
    migrate(postgres, shipped_migrations()[:5])
    execute(
        postgres,
        f"CREATE INDEX {INDEX} ON marketing.validation_failures_log (failure_type);"
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'marketing.{INDEX}'::regclass",
    )
    assert migrate(postgres) == NAMES[5:]
    [(is_valid, definition)] = rows(
        postgres,
        "SELECT indisvalid, pg_get_indexdef(indexrelid) FROM pg_index "
        f"WHERE indexrelid = 'marketing.{INDEX}'::regclass",
    )
    assert is_valid
    assert "(exported_to_b2, failure_type) WHERE (exported_to_b2 = false)" in definition
