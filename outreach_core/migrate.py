"""Apply the numbered SQL files of migrations/ to a database, each once and in order.

Safe to run twice, from many processes at once, and behind a transaction pooler. What the files
create is said by them; which database they go to is decided by the caller.

A file runs in one transaction with its record in shq.outreach_migrations. One whose first line is
`-- outside a transaction, builds <schema>.<index>` holds a single CREATE INDEX CONCURRENTLY IF NOT
EXISTS; an invalid index that a killed attempt left behind is dropped first.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from outreach_core.audit import DATABASE_MIGRATED, command_event, write_event
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.postgres import (
    Connection,
    DatabaseError,
    LockNotAvailable,
    Postgres,
    UndefinedTable,
)

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(8031453545161122664)"  # "outreach" as a number
WAIT_SECONDS = 600.0
POLL_SECONDS = 0.1
OUTSIDE = re.compile(r"-- outside a transaction, builds (?P<index>[a-z_0-9]+\.[a-z_0-9]+)\n")

RECORD = "shq.outreach_migrations"
RECORD_TABLE = """
DO $$ BEGIN
  IF to_regnamespace('shq') IS NULL THEN CREATE SCHEMA shq; END IF;
  IF to_regclass('shq.outreach_migrations') IS NULL THEN
    CREATE TABLE shq.outreach_migrations (
      name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
  END IF;
END $$
"""


class MigrationChangedError(PermanentError):
    """A file differs from what was applied under its name."""


class MigrationFailedError(PermanentError):
    """Postgres refused a migration; nothing of that file stays applied."""


class MigrationBusyError(RetryableError):
    """Somebody else migrates, or holds a table that a migration needs, for too long."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One numbered file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Of the text with plain line ends, so that a checkout on Windows reads the same."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()

    @property
    def concurrent_index(self) -> str | None:
        """The `schema.index` built outside a transaction, None for an ordinary file."""
        found = OUTSIDE.match(self.sql.replace("\r\n", "\n"))
        return found["index"] if found else None


@dataclass(frozen=True, kw_only=True)
class MigrationStatus:
    """One migration of ours and when this database got it; None when it has not."""

    name: str
    applied_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class _Record:
    sha256: str
    applied_at: datetime


def shipped_migrations() -> tuple[Migration, ...]:
    """The files that come with this package, in the order they are applied."""
    folder = resources.files("outreach_core") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(Migration(name=f.name, sql=f.read_text(encoding="utf-8")) for f in files)


def migrate(
    postgres: Postgres,
    migrations: Sequence[Migration] | None = None,
    *,
    wait_seconds: float = WAIT_SECONDS,
) -> list[str]:
    """Apply what this database lacks; the names applied by this call, in order.

    Raises MigrationChangedError, MigrationFailedError or MigrationBusyError, and the errors of
    `Postgres.connect`.
    """
    wanted = shipped_migrations() if migrations is None else tuple(migrations)
    with postgres.connect() as connection, _named_errors(postgres, RECORD):
        if not _pending(connection, wanted):
            return []  # the everyday case: one query, no lock, no right to create needed
    with _one_at_a_time(postgres, wait_seconds), postgres.connect(autocommit=True) as connection:
        with _named_errors(postgres, RECORD):
            connection.execute(RECORD_TABLE)
            pending = _pending(connection, wanted)
        for migration in pending:
            with _named_errors(postgres, migration.name):
                _apply(connection, migration)
        with _named_errors(postgres, "the audit log"):
            _tell(connection, [migration.name for migration in pending])
    return [migration.name for migration in pending]


def migration_status(
    postgres: Postgres, migrations: Sequence[Migration] | None = None
) -> list[MigrationStatus]:
    """Every migration in order, and when it was applied. Raises MigrationChangedError."""
    wanted = shipped_migrations() if migrations is None else tuple(migrations)
    with postgres.connect() as connection, _named_errors(postgres, RECORD):
        records = _records(connection)
    _refuse_changed(wanted, records)
    return [
        MigrationStatus(
            name=m.name, applied_at=records[m.name].applied_at if m.name in records else None
        )
        for m in wanted
    ]


def _pending(connection: Connection, wanted: Sequence[Migration]) -> list[Migration]:
    records = _records(connection)
    _refuse_changed(wanted, records)
    return [m for m in wanted if m.name not in records]


def _records(connection: Connection) -> dict[str, _Record]:
    try:
        with connection.transaction():
            rows = connection.execute(
                "SELECT name, sha256, applied_at FROM shq.outreach_migrations"
            ).fetchall()
    except UndefinedTable:
        return {}
    return {name: _Record(sha256=sha256, applied_at=at) for name, sha256, at in rows}


def _refuse_changed(wanted: Sequence[Migration], records: dict[str, _Record]) -> None:
    changed = [m.name for m in wanted if m.name in records and records[m.name].sha256 != m.sha256]
    if changed:
        raise MigrationChangedError(
            f"{', '.join(changed)} changed after it was applied to this database: put the file "
            "back as it was and write the change as a new migration"
        )


@contextmanager
def _one_at_a_time(postgres: Postgres, wait_seconds: float) -> Iterator[None]:
    """Hold the migration lock for the block, in a connection that does nothing else.

    Waiters ask again and again instead of waiting inside Postgres: a waiting statement holds a
    snapshot, CREATE INDEX CONCURRENTLY waits for all snapshots, and the two would wait for ever.
    """
    deadline = time.monotonic() + wait_seconds
    with postgres.connect(autocommit=True) as connection:
        while time.monotonic() < deadline:
            with connection.transaction():
                # Building an index may leave this transaction idle for long.
                connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                # Without parameters: a portal of the extended protocol would keep its snapshot
                # until this transaction ends, and CREATE INDEX CONCURRENTLY would wait for it.
                row = connection.execute(TRY_LOCK).fetchone()
                if row == (True,):
                    yield
                    return
            time.sleep(POLL_SECONDS)
    raise MigrationBusyError(
        f"{postgres.name}: another process has been migrating for {wait_seconds:.0f} s; "
        "wait for it or end it, then run `outreach db migrate` again"
    )


def _apply(connection: Connection, migration: Migration) -> None:
    index = migration.concurrent_index
    if index is not None:
        _build_index(connection, migration, index)
    with connection.transaction():
        if index is None:
            # An ALTER that waits for a long reader keeps every later reader waiting: give up soon.
            connection.execute("SET LOCAL lock_timeout = '10s'")
            connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO shq.outreach_migrations (name, sha256) VALUES (%s, %s)",
            [migration.name, migration.sha256],
        )


def _tell(connection: Connection, applied: Sequence[str]) -> None:
    """Write the audit event, where the files have made the table for it."""
    there = connection.execute("SELECT to_regclass('shq.audit_log') IS NOT NULL").fetchone()
    if applied and there == (True,):
        write_event(connection, command_event(DATABASE_MIGRATED, {"applied": applied}))


def _build_index(connection: Connection, migration: Migration, index: str) -> None:
    """Build an index outside a transaction, anew when an earlier attempt was cut short."""
    invalid = connection.execute(
        "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [index]
    ).fetchone()
    if invalid:
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}".encode())
    connection.execute(migration.sql.encode())


@contextmanager
def _named_errors(postgres: Postgres, name: str) -> Iterator[None]:
    """Turn what Postgres says about a migration into an error that names it."""
    try:
        yield
    except LockNotAvailable:
        raise MigrationBusyError(
            f"{name}: a table it changes is in use; run `outreach db migrate` again when the long "
            "query or transaction on it has ended"
        ) from None
    except DatabaseError as error:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            raise  # a lost connection is named by Postgres.connect
        says = postgres.redacted(str(error))
        raise MigrationFailedError(f"{name} was refused by {postgres.name}: {says}") from error
