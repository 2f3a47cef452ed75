"""A backup of the database into an empty PostgreSQL: all of it, compared, or nothing.

Rows go through a CSV file, which Postgres copies, as in snapshots/restore_postgres.py: every value
is read by the type that wrote it. Which destination it comes from is for who calls (shelf.py).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from b2_resources.files import read_blocks
from outreach_assets.steps.backups.database.contents import AS_TEXT, hash_sql
from outreach_assets.steps.backups.database.receipt import Receipt, Stage, TableFacts
from outreach_assets.steps.backups.database.shelf import Shelf
from outreach_assets.steps.private_duckdb import Duck, disk_errors, own_folder
from outreach_assets.steps.snapshots.restore import RestoreDiffersError, TargetInUseError
from outreach_assets.tables.table import literal, quoted
from outreach_core.audit import command_event, write_event
from outreach_core.audit_chain import check_chain
from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection, DatabaseError, Postgres

DATABASE_RESTORED = "outreach_database_restored"

IN_USE = """
    SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL ORDER BY name"""


class CannotRebuildError(PermanentError):
    """The database refuses something that the backup holds."""


@dataclass(frozen=True, kw_only=True)
class RestoredDatabase:
    """A backup that is back, compared row by row hash."""

    version: str
    tables: int
    rows: int
    size_bytes: int
    breaks: list[str]
    """What is wrong with its audit log's chain; it was so when it was backed up."""


@dataclass(frozen=True, kw_only=True)
class Restoring:
    """Where a backup comes from, and what it takes on this machine meanwhile."""

    shelf: Shelf
    folder: Path
    """OUTREACH_HOME/spill."""

    open_duck: Callable[[], AbstractContextManager[Duck]]

    def into(self, postgres: Postgres, version: str | None = None) -> RestoredDatabase:
        """Restore that version, or the newest, into a database without any of its tables.

        Raises TargetInUseError naming tables that are there, RestoreDiffersError,
        CannotRebuildError, and what the shelf and the database raise: then nothing was made.
        """
        with own_folder(self.folder) as spill, disk_errors(self.folder):
            path = self.shelf.path_of(version)
            receipt = self.shelf.receipt(path, spill)
            with postgres.connect() as connection:
                _refuse_in_use(connection, receipt)
            self.shelf.fetch(path, receipt, spill)
            with postgres.connect() as connection:
                self._restore(connection, receipt, spill)
        return RestoredDatabase(
            version=receipt.version,
            tables=len(receipt.tables),
            rows=receipt.rows,
            size_bytes=receipt.size_bytes,
            breaks=[one.says for one in check_chain(postgres).breaks],
        )

    def _restore(self, connection: Connection, receipt: Receipt, spill: Path) -> None:
        connection.execute(AS_TEXT)
        # A function may name tables that come after it.
        connection.execute("SET LOCAL check_function_bodies = off")
        _refuse_in_use(connection, receipt)
        _make(connection, receipt, Stage.BEFORE_ROWS)
        with self.open_duck() as duck:
            for table in receipt.tables:
                with _refused(f"the rows of {table.name}"):
                    _copy(connection, duck, table, spill)
        _make(connection, receipt, Stage.AFTER_ROWS)
        _compare(connection, receipt)
        details = {"version": receipt.version, "from": self.shelf.destination.name}
        write_event(connection, command_event(DATABASE_RESTORED, details))


def _refuse_in_use(connection: Connection, receipt: Receipt) -> None:
    names = [one.name for one in receipt.statements if one.kind in ("table", "view")]
    found = [name for (name,) in connection.execute(IN_USE, (names,))]
    if found:
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise TargetInUseError(
            f"the database already has {shown}: a backup is restored into an empty one only"
        )


def _make(connection: Connection, receipt: Receipt, stage: Stage) -> None:
    for one in receipt.at(stage):
        with _refused(f"{one.kind} {one.name}"):
            connection.execute(one.sql.encode())


def _copy(connection: Connection, duck: Duck, table: TableFacts, spill: Path) -> None:
    """All rows at once, past no trigger: those are not there yet."""
    names = ", ".join(quoted(column.name) for column in table.columns if not column.is_generated)
    csv = spill / f"{table.file}.csv"
    # Quoted is a value, not quoted is NULL: an empty text stays one.
    duck.execute(
        f"COPY (SELECT {names} FROM read_parquet({literal(str(spill / table.file))})) "
        f"TO {literal(str(csv))} (FORMAT csv, HEADER false, FORCE_QUOTE *, NULLSTR '')"
    )
    copying = f"COPY {table.name} ({names}) FROM STDIN (FORMAT csv)"
    with connection.cursor() as cursor, cursor.copy(copying.encode()) as copy:
        for block in read_blocks(csv):
            copy.write(block)
    csv.unlink()


def _compare(connection: Connection, receipt: Receipt) -> None:
    """Raise RestoreDiffersError unless every table holds the rows that were backed up."""
    wrong = []
    for table in receipt.tables:
        row = connection.execute(hash_sql(table.name, table.columns).encode()).fetchone()
        if row is None or (row[0], str(row[1])) != (table.rows, table.row_hash):
            wrong.append(f"{table.name} ({row[0] if row else 0:,} rows of {table.rows:,})")
    if wrong:
        raise RestoreDiffersError(
            f"not the rows that were backed up: {', '.join(wrong)}; nothing is kept"
        )


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Name what Postgres refuses; a lost connection is named by `Postgres.connect`."""
    try:
        yield
    except DatabaseError as error:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57", "53")):
            raise
        says = error.diag.message_primary or type(error).__name__
        raise CannotRebuildError(f"{what} cannot be made there: {says}; nothing is kept") from error
