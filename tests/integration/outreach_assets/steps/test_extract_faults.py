"""A database that changes, refuses, goes away or stands behind a pooler while rows are read."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outreach_assets.steps.extract import ExtractError
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.catalogue import TABLES
from outreach_core.errors import OutreachError
from outreach_core.postgres import DatabaseRefusedError, DatabaseUnreachableError, Postgres
from outreach_core.states import ALL_STATES
from tests.given import a_company, a_duck, a_person, extracted, given_rows, given_sql, raw_rows
from tests.servers.pgbouncer import free_port, pgbouncer

ONE_STATE = ("WV",)
SOME_OR_ALL = pytest.mark.parametrize("states", [ONE_STATE, ALL_STATES], ids=["some", "all"])


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Duck]:
    with a_duck(tmp_path) as opened:
        yield opened


class Interrupted:
    """A DuckDB connection that does something of the test's before its nth CREATE TABLE."""

    def __init__(self, duck: Duck, nth: int, interruption: Callable[[], None]) -> None:
        self._duck, self._nth, self._interruption = duck, nth, interruption

    def execute(self, statement: str) -> Duck:
        if statement.lstrip().startswith("CREATE TABLE"):
            self._nth -= 1
            if self._nth == 0:
                self._interruption()
        return self._duck.execute(statement)


def elsewhere(postgres: Postgres, *statements: str) -> Callable[[], None]:
    """The statements, committed by another connection."""
    return lambda: given_sql(postgres, *statements)


@SOME_OR_ALL
@pytest.mark.parametrize("nth", [1, 2])
def test_what_is_committed_while_rows_are_read_is_not_seen(
    postgres: Postgres, duck: Duck, states: Sequence[str], nth: int
) -> None:
    given_rows(postgres, [a_company("c1"), a_company("c2")], [a_person("p1"), a_person("p2")])
    change = elsewhere(
        postgres,
        "DELETE FROM marketing.people_master WHERE unique_id = 'p1'",
        "DELETE FROM marketing.company_master WHERE company_unique_id = 'c1'",
        "UPDATE marketing.people_master SET title = 'changed', company_unique_id = 'c3'",
        "INSERT INTO marketing.company_master (company_unique_id, address_state) "
        "VALUES ('c3', 'WV')",
        "INSERT INTO marketing.people_master (unique_id, company_unique_id) VALUES ('p3', 'c3')",
    )
    extracted(Interrupted(duck, nth, change), postgres, TABLES, states)
    keys = [[key for _, key, _ in raw_rows(duck, table)] for table in TABLES]
    assert keys == [["c1", "c2"], ["p1", "p2"]]
    assert duck.execute("SELECT DISTINCT title FROM people_raw").fetchall() == [("CFO",)]


def test_a_scan_in_several_connections_is_one_snapshot(postgres: Postgres, duck: Duck) -> None:
    """Large enough for the scanner to read one table in parallel, while rows come and go."""
    given_rows(postgres, [a_company()])
    given_sql(
        postgres,
        "INSERT INTO marketing.people_master (unique_id, company_unique_id, bio) "
        "SELECT 'p' || n, 'c1', repeat('x', 400) FROM generate_series(1, 40000) AS n",
    )
    stop = threading.Event()

    def replace_rows() -> None:
        while not stop.is_set():
            given_sql(
                postgres,
                "WITH gone AS (DELETE FROM marketing.people_master WHERE unique_id IN (SELECT "
                "unique_id FROM marketing.people_master ORDER BY random() LIMIT 50) RETURNING 1) "
                "INSERT INTO marketing.people_master (unique_id, company_unique_id) "
                "SELECT 'q' || gen_random_uuid(), 'c1' FROM gone",
            )

    writer = threading.Thread(target=replace_rows)
    writer.start()
    try:
        found = extracted(duck, postgres, TABLES, ALL_STATES)
    finally:
        stop.set()
        writer.join(timeout=60)
    assert found["people"].rows == {"WV": 40_000}
    found = duck.execute("SELECT count(DISTINCT unique_id) FROM people_raw").fetchall()
    assert found == [(40_000,)]


def with_parts(postgres: Postgres, **parts: object) -> Postgres:
    return Postgres(
        conninfo=make_conninfo(postgres.conninfo, **parts),
        name="NEON_HOST db.example",
    )


def assert_no_secret(error: pytest.ExceptionInfo[OutreachError], postgres: Postgres) -> None:
    password = str(conninfo_to_dict(postgres.conninfo)["password"])
    seen: BaseException | None = error.value
    while seen is not None:
        assert password not in str(seen)
        seen = None if seen.__suppress_context__ else seen.__context__


def test_a_wrong_password_is_refused_for_good(postgres: Postgres, duck: Duck) -> None:
    wrong = with_parts(postgres, password="not it'; DROP")
    with pytest.raises(DatabaseRefusedError, match=r"NEON_HOST db\.example") as error:
        extracted(duck, wrong, TABLES, ONE_STATE)
    assert_no_secret(error, wrong)


def test_a_database_that_does_not_exist_is_refused_for_good(postgres: Postgres, duck: Duck) -> None:
    with pytest.raises(DatabaseRefusedError, match="no_such_database") as error:
        extracted(duck, postgres.database("no_such_database"), TABLES, ONE_STATE)
    assert_no_secret(error, postgres)


def test_nobody_there_may_pass(postgres: Postgres, duck: Duck) -> None:
    gone = with_parts(postgres, port=free_port(), connect_timeout=5)
    with pytest.raises(DatabaseUnreachableError, match=r"NEON_HOST db\.example") as error:
        extracted(duck, gone, TABLES, ONE_STATE)
    assert_no_secret(error, postgres)


@SOME_OR_ALL
@pytest.mark.parametrize("nth", [1, 2])
def test_a_backend_that_is_terminated_may_pass(
    postgres: Postgres, duck: Duck, states: Sequence[str], nth: int
) -> None:
    given_rows(postgres, [a_company()], [a_person()])
    terminate = elsewhere(
        postgres,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    with pytest.raises(DatabaseUnreachableError) as error:
        extracted(Interrupted(duck, nth, terminate), postgres, TABLES, states)
    assert_no_secret(error, postgres)


def test_a_table_one_may_not_read_is_named(postgres: Postgres, duck: Duck) -> None:
    given_rows(postgres)
    given_sql(
        postgres,
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reads_nothing') THEN "
        "CREATE ROLE reads_nothing LOGIN PASSWORD 'secret-word'; END IF; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        "GRANT USAGE ON SCHEMA marketing TO reads_nothing",
    )
    reader = with_parts(postgres, user="reads_nothing", password="secret-word")
    with pytest.raises(ExtractError, match="permission denied for table company_master") as error:
        extracted(duck, reader, TABLES, ONE_STATE)
    assert_no_secret(error, reader)


@pytest.mark.pgbouncer
@SOME_OR_ALL
def test_a_pooler_in_transaction_mode_makes_no_difference(
    postgres: Postgres, tmp_path: Path, states: Sequence[str]
) -> None:
    given_rows(postgres, [a_company()], [a_person()])
    given_sql(
        postgres,
        "INSERT INTO marketing.people_master (unique_id, company_unique_id, bio) "
        "SELECT 'n' || n, 'c1', repeat('x', 400) FROM generate_series(1, 20000) AS n",
    )
    change = elsewhere(postgres, "DELETE FROM marketing.people_master WHERE unique_id > 'n5'")
    with pgbouncer(postgres, tmp_path) as pooled:
        for interruption, rows in ((change, 20_001), (lambda: None, None)):
            with a_duck(tmp_path) as duck:
                found = extracted(Interrupted(duck, 2, interruption), pooled, TABLES, states)
                if rows is not None:
                    assert found["people"].rows == {"WV": rows}
