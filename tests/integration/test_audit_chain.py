"""The audit log as a chain: nothing can be changed, and who does it all the same is found out.

What is found by comparing with exported days is in outreach_assets/steps/test_audit_export.py.
"""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from outreach_core.audit import (
    AuditEvent,
    AuditLogMissingError,
    EventFilter,
    latest_events,
    outcomes_of,
    write_event,
    write_outcome,
)
from outreach_core.audit_chain import Break, check_chain
from outreach_core.migrate import MigrationFailedError, migrate, shipped_migrations
from outreach_core.postgres import DatabaseError, Postgres
from tests.given import given_sql
from tests.servers.pgbouncer import pgbouncer
from tests.tampering import given_events, rehash, tamper

BEFORE = [m for m in shipped_migrations() if m.name < "0009"]
CHAIN = next(m for m in shipped_migrations() if m.name.startswith("0009"))
OUTCOME = AuditEvent(
    event_type="outreach_run_finished", event_source="test", details={"run_id": "r1"}
)
# Writes an event, says so, and waits to be killed before it commits.
WRITER = """
import sys, time
from outreach_core.audit import AuditEvent, write_event
from outreach_core.postgres import Postgres
postgres = Postgres(conninfo=sys.stdin.readline().strip(), name="the test's")
with postgres.connect() as connection:
    for _ in range(10):
        write_event(connection, AuditEvent(event_type="lost", event_source="t", details={}))
    print("written", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def log(postgres: Postgres) -> Postgres:
    """Migrated, with events at positions 3 to 12: 1 seals what was before, 2 is the migration's."""
    given_events(postgres, 10)
    return postgres


def found(postgres: Postgres) -> list[tuple[str, int | None]]:
    """Every break by kind and position."""
    return [(link.kind, link.position) for link in check_chain(postgres).breaks]


def positions(postgres: Postgres) -> list[int]:
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT chain_position FROM shq.audit_log ORDER BY chain_position"
        ).fetchall()
    return [position for (position,) in rows]


def test_a_log_that_nobody_touched_is_whole(log: Postgres) -> None:
    report = check_chain(log)
    assert (report.breaks, report.rows, report.position) == ((), 12, 12)


SET_COUNT = "UPDATE shq.audit_log SET details = '{\"number\": 0}' WHERE chain_position = 5"
UPSERT = (
    "INSERT INTO shq.audit_log (id, event_type, event_source) VALUES (1, 'x', 'y') "
    "ON CONFLICT (id) DO UPDATE SET event_type = 'z'"
)
COPY_ROW = (
    "INSERT INTO shq.audit_log (event_type, event_source, details, chain_position, chained_at, "
    "previous_hash, hashed_columns) SELECT event_type, event_source, details, 13, chained_at, "
    "row_hash, hashed_columns FROM shq.audit_log WHERE chain_position = 12"
)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([SET_COUNT], [(Break.ALTERED, 5)]),
        (
            ["UPDATE shq.audit_log SET details = NULL WHERE chain_position = 5"],
            [(Break.ALTERED, 5)],
        ),
        (
            ["UPDATE shq.audit_log SET created_at = '2020-01-01' WHERE chain_position = 5"],
            [(Break.ALTERED, 5)],
        ),
        (["DELETE FROM shq.audit_log WHERE chain_position = 5"], [(Break.REMOVED, 5)]),
        (["DELETE FROM shq.audit_log WHERE chain_position IN (5, 6)"], [(Break.REMOVED, 5)]),
        (["DELETE FROM shq.audit_log WHERE chain_position = 12"], [(Break.CUT, 12)]),
        (["DELETE FROM shq.audit_log WHERE chain_position > 9"], [(Break.CUT, 10)]),
        (
            ["INSERT INTO shq.audit_log (event_type, event_source) VALUES ('x', 'y')"],
            [(Break.INSERTED, None)],
        ),
        (
            [COPY_ROW, rehash(13), "UPDATE shq.audit_head SET position = 12"],
            [(Break.INSERTED, 13)],
        ),
        (
            [
                SET_COUNT,
                rehash(5),
                "UPDATE shq.audit_log SET previous_hash = row_hash WHERE chain_position = 9",
            ],
            [(Break.ALTERED, 9)],
        ),
        ([SET_COUNT, rehash(5, 5)], [(Break.REWRITTEN, 5)]),
        (
            ["UPDATE shq.audit_head SET hash = repeat('a', 64)"],
            [(Break.REWRITTEN, 12)],
        ),
    ],
)
def test_what_the_owner_did_is_found_by_its_position(
    log: Postgres, statements: list[str], expected: list[tuple[str, int | None]]
) -> None:
    tamper(log, *statements)
    assert found(log) == expected


def test_an_event_slipped_between_two_and_all_positions_moved_is_found(log: Postgres) -> None:
    tamper(
        log,
        "DROP INDEX shq.audit_log_chain_position",
        "UPDATE shq.audit_log SET chain_position = chain_position + 1 WHERE chain_position > 5",
        COPY_ROW.replace("details, 13", "details, 6").replace("= 12", "= 5"),
    )
    assert found(log)[:2] == [(Break.ALTERED, 6), (Break.ALTERED, 7)]


def test_a_cut_tail_is_not_hidden_by_later_events(log: Postgres) -> None:
    tamper(log, "DELETE FROM shq.audit_log WHERE chain_position > 10")
    given_events(log, 1)
    assert positions(log)[-2:] == [10, 13]
    assert found(log) == [(Break.REMOVED, 11)]


def test_a_disabled_trigger_is_found(log: Postgres) -> None:
    given_sql(log, "ALTER TABLE shq.audit_log DISABLE TRIGGER audit_log_is_append_only")
    [link] = check_chain(log).breaks
    assert (link.kind, "audit_log_is_append_only" in link.says) == (Break.UNGUARDED, True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE shq.audit_log SET details = NULL",
        "DELETE FROM shq.audit_log WHERE id = 1",
        "TRUNCATE shq.audit_log",
        UPSERT,
    ],
)
def test_a_change_is_refused_to_a_superuser(log: Postgres, statement: str) -> None:
    with pytest.raises(DatabaseError, match=r"append-only: (UPDATE|DELETE|TRUNCATE)"):
        given_psycopg(log, statement)
    assert found(log) == []


def given_psycopg(postgres: Postgres, statement: str) -> None:
    """Without the door's own errors."""
    with psycopg.connect(postgres.conninfo) as connection:
        connection.execute(statement.encode())


def test_another_program_may_insert_and_nothing_else(log: Postgres) -> None:
    role = f"program_{token_hex(6)}"
    given_sql(
        log,
        f"CREATE ROLE {role}",
        f"GRANT USAGE ON SCHEMA shq TO {role}",
        f"GRANT INSERT, SELECT ON shq.audit_log TO {role}",
        f"GRANT USAGE ON SEQUENCE shq.audit_log_id_seq TO {role}",
    )
    insert = "INSERT INTO shq.audit_log (event_type, event_source, details) VALUES ('x', 'y', '{}')"
    try:
        given_sql(log, f"SET LOCAL ROLE {role}", "SET LOCAL timezone = 'Asia/Kolkata'", insert)
        for refused in ("UPDATE shq.audit_head SET position = 1", "SELECT * FROM shq.audit_head"):
            with pytest.raises(DatabaseError, match="permission denied"):
                given_psycopg(log, f"SET LOCAL ROLE {role}; {refused}")
        assert positions(log)[-1] == 13
        assert found(log) == []
    finally:
        given_sql(log, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_rows_that_are_dropped_or_rolled_back_leave_no_gap(log: Postgres) -> None:
    values = "VALUES ('x', 'y'), ('x', 'y')"
    given_sql(
        log,
        "INSERT INTO shq.audit_log (id, event_type, event_source) VALUES (1, 'x', 'y') "
        "ON CONFLICT DO NOTHING",
        f"INSERT INTO shq.audit_log (event_type, event_source) {values}",
        "SAVEPOINT here",
        f"INSERT INTO shq.audit_log (event_type, event_source) {values}",
        "ROLLBACK TO here",
        f"WITH a AS (INSERT INTO shq.audit_log (event_type, event_source) {values}) "
        f"INSERT INTO shq.audit_log (event_type, event_source) {values}",
    )
    assert positions(log) == list(range(1, 19))
    assert found(log) == []


def test_columns_that_come_later_are_hashed_from_then_on(log: Postgres) -> None:
    given_sql(
        log,
        "ALTER TABLE shq.audit_log ADD later text DEFAULT 'a', ADD at timestamptz DEFAULT now(), "
        "ADD part double precision DEFAULT 0.1, ADD raw bytea DEFAULT '\\xff', "
        "ADD twice int GENERATED ALWAYS AS (length(event_type) * 2) STORED",
        "SET LOCAL timezone = 'Asia/Kolkata'",
        "SET LOCAL extra_float_digits = -3",
        "SET LOCAL bytea_output = 'escape'",
        "INSERT INTO shq.audit_log (event_type, event_source, later) VALUES ('x', 'y', '')",
    )
    assert found(log) == []
    tamper(log, "UPDATE shq.audit_log SET later = NULL WHERE chain_position = 13")
    assert found(log) == [(Break.ALTERED, 13)]
    given_sql(log, "ALTER TABLE shq.audit_log DROP later")
    [link] = check_chain(log).breaks
    assert link.says.endswith("was altered: its column later is gone")


def test_two_writers_at_once_make_one_chain(postgres: Postgres) -> None:

    def write(writer: int) -> None:
        for _ in range(10):
            given_events(postgres, 50, f"writer_{writer}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert positions(postgres) == list(range(1, 1003))
    assert found(postgres) == []


def test_a_writer_killed_before_it_commits_leaves_no_gap(log: Postgres) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(log.conninfo + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "written\n"
        process.kill()
    given_events(log, 1)
    assert positions(log) == list(range(1, 14))
    assert found(log) == []


def test_a_run_has_one_outcome_whoever_writes_it_how_often(log: Postgres) -> None:
    def write(_: int) -> bool:
        with log.connect() as connection:
            return write_outcome(connection, OUTCOME)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(8))) == [False] * 7 + [True]
    with log.connect() as connection:
        assert outcomes_of(connection, ["r1", "r2"]) == {"r1"}
    assert found(log) == []


def test_rows_older_than_the_chain_are_sealed_as_they_are(empty_postgres: Postgres) -> None:
    migrate(empty_postgres, BEFORE)
    given_events(empty_postgres, 30)
    given_sql(
        empty_postgres,
        "INSERT INTO shq.audit_log (id, event_type, event_source) VALUES (900000, 'x', 'y')",
    )
    migrate(empty_postgres)
    given_sql(empty_postgres, CHAIN.sql)  # a second time, whatever the record says
    report = check_chain(empty_postgres)
    assert (report.breaks, report.older_rows) == ((), 32)
    tamper(empty_postgres, "UPDATE shq.audit_log SET event_type = 'z' WHERE id = 7")
    assert [link.kind for link in check_chain(empty_postgres).breaks] == [Break.ALTERED]
    tamper(empty_postgres, "DELETE FROM shq.audit_log WHERE id = 7")
    assert [link.kind for link in check_chain(empty_postgres).breaks] == [Break.REMOVED]


def test_a_log_without_its_chain_says_what_to_run(empty_postgres: Postgres) -> None:
    migrate(empty_postgres, BEFORE)
    with pytest.raises(AuditLogMissingError, match="outreach db migrate"):
        check_chain(empty_postgres)


@pytest.fixture
def stranger(empty_postgres: Postgres) -> Iterator[Postgres]:
    """A role that may write to the log and does not own it."""
    role = f"stranger_{token_hex(6)}"
    migrate(empty_postgres, BEFORE)
    given_sql(
        empty_postgres,
        f"CREATE ROLE {role}",
        f"GRANT ALL ON SCHEMA shq TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA shq TO {role}",
    )
    yield replace(empty_postgres, conninfo=f"{empty_postgres.conninfo} options='-c role={role}'")
    given_sql(empty_postgres, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_role_that_may_not_make_triggers_is_told_whose_they_are(stranger: Postgres) -> None:
    with pytest.raises(MigrationFailedError, match=r"shq\.audit_log belongs to .* once as"):
        migrate(stranger, [*BEFORE, CHAIN])


@pytest.mark.pgbouncer
def test_the_chain_is_written_and_judged_through_a_transaction_pooler(
    log: Postgres, tmp_path: Path
) -> None:
    with pgbouncer(log, tmp_path) as pooled:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: given_events(pooled, 5), range(8)))
        assert found(pooled) == []
    assert positions(log) == list(range(1, 53))


def test_events_are_found_by_what_they_are_about(log: Postgres) -> None:
    with log.connect() as connection:
        write_event(
            connection,
            AuditEvent(event_type="t", event_source="s", details={"state": "WV", "run_id": "r"}),
        )
        for wanted in (
            EventFilter(event_type="t"),
            EventFilter(state="WV"),
            EventFilter(run_id="r", state="WV"),
        ):
            [event] = latest_events(connection, wanted, limit=5)
            assert (event.chain_position, event.event_type) == (13, "t")
        newest = latest_events(connection, EventFilter(), limit=3)
    assert [event.chain_position for event in newest] == [13, 12, 11]
