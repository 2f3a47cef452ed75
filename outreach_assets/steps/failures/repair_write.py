"""Corrected rows back into their master table: all that are good, or none when one has moved on.

What they are worth was judged in repair.py. One transaction: rows locked and compared with what was
judged, updated, and an audit row for each. May be repeated: what is written is no change any more.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from outreach_assets.steps.failures.corrected_cells import cells_sql, say_types_as_text
from outreach_assets.steps.failures.repair import UPDATED_AT, Repair, RowRepair, fingerprint_sql
from outreach_assets.steps.record import NotMigratedError
from outreach_assets.tables.table import quoted
from outreach_core.audit import FAILURE_REPAIRED, AuditEvent, command_event, write_events
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.postgres import (
    Connection,
    DatabaseError,
    LockNotAvailable,
    Postgres,
    UndefinedSchema,
    UndefinedTable,
)

LOCK_SECONDS = 30
NAMED_KEYS = 20
REFUSED_VALUES = ("22", "23", "27", "428C9", "44", "P0")
"""How the SQL states begin by which a constraint, a trigger or a type refuses a row."""


class ChangedMeanwhileError(RetryableError):
    """Rows are not what was judged any more; nothing was written."""


class MasterBusyError(RetryableError):
    """Somebody else holds the rows; nothing was written."""


class MasterRefusedError(PermanentError):
    """The master table does not take the corrections; nothing was written."""


def write_repair(postgres: Postgres, repair: Repair) -> int:
    """Write the good rows to their master, their changed columns only; how many they were.

    Raises ChangedMeanwhileError, MasterBusyError, MasterRefusedError, NotMigratedError or what
    `Postgres.connect` raises, and then nothing was written.
    """
    rows = repair.to_write
    if not rows:
        return 0
    with _refusals(repair.table.source), postgres.connect() as connection:
        say_types_as_text(connection)
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
        _hold_to_judged(connection, repair, rows)
        for columns, group in _by_columns(rows).items():
            _update(connection, repair, columns, group)
        write_events(connection, [_event(repair, row) for row in rows])
    return len(rows)


def _hold_to_judged(connection: Connection, repair: Repair, rows: Sequence[RowRepair]) -> None:
    """Lock the rows; raise ChangedMeanwhileError unless each is still the one that was judged."""
    key = f"outreach_row.{quoted(repair.table.key)}::text"
    found: dict[str, str] = dict(
        connection.execute(
            f"""SELECT {key}, {fingerprint_sql("outreach_row")}
                FROM {repair.table.source} AS outreach_row
                WHERE {key} = ANY(%s) ORDER BY {key} FOR UPDATE""".encode(),
            ([row.key for row in rows],),
        ).fetchall()
    )
    moved = [row.key for row in rows if found.get(row.key) != row.fingerprint]
    if moved:
        more = f" and {len(moved) - NAMED_KEYS} more" if len(moved) > NAMED_KEYS else ""
        raise ChangedMeanwhileError(
            f"{repair.table.source}: somebody has changed {', '.join(moved[:NAMED_KEYS])}{more} "
            "since the corrections were judged, so nothing was written: run it again"
        )


def _by_columns(rows: Sequence[RowRepair]) -> Mapping[tuple[str, ...], list[RowRepair]]:
    """The rows by the columns that change: as many statements as there are such sets."""
    groups: dict[tuple[str, ...], list[RowRepair]] = {}
    for row in rows:
        groups.setdefault(tuple(sorted(row.changes)), []).append(row)
    return groups


def _update(
    connection: Connection, repair: Repair, columns: Sequence[str], rows: Sequence[RowRepair]
) -> None:
    key = quoted(repair.table.key)
    sets = ", ".join(f"{quoted(c)} = n.{quoted(c)}::{repair.types[c]}" for c in columns)
    given = [
        {repair.table.key: row.key, **{c: change.after for c, change in row.changes.items()}}
        for row in rows
    ]
    done = connection.execute(
        f"""UPDATE {repair.table.source} AS m SET {sets}, {quoted(UPDATED_AT)} = now()
            FROM {cells_sql("n", "%s", [repair.table.key, *columns])}
            WHERE m.{key}::text = n.{key}""".encode(),
        (json.dumps(given),),
    )
    if done.rowcount != len(rows):
        raise MasterRefusedError(
            f"{repair.table.source} took {done.rowcount} of {len(rows)} corrected rows, so nothing "
            "was written: look for a trigger or a policy of its own"
        )


def _event(repair: Repair, row: RowRepair) -> AuditEvent:
    return command_event(
        FAILURE_REPAIRED,
        {
            "table": repair.table.source,
            "key": row.key,
            "columns": sorted(row.changes),
            "reasons_before": list(row.reasons_before),
        },
    )


@contextmanager
def _refusals(source: str) -> Iterator[None]:
    """What the database says inside the block in our words, which hold no value of a row."""
    try:
        yield
    except LockNotAvailable:
        raise MasterBusyError(
            f"{source} or shq.audit_log: somebody has held a lock for {LOCK_SECONDS} seconds, "
            "so nothing was written: run it again"
        ) from None
    except (UndefinedTable, UndefinedSchema):
        raise NotMigratedError(
            "the database has no shq.audit_log, so nothing was written: run `outreach db migrate`"
        ) from None
    except DatabaseError as error:
        if not (error.sqlstate or "").startswith(REFUSED_VALUES):
            raise
        by = error.diag.constraint_name or "a rule of its own"
        raise MasterRefusedError(
            f"{source} refused the corrections by {by} (SQL state {error.sqlstate}), "
            "so nothing was written"
        ) from None
