"""Whether the audit log is as it was written: every hash computed again, every link followed.

What a row's hash covers is said in migrations/0009_audit_chain.sql; here it is computed by
statements of our own, so that nothing rests on functions which the database's owner can replace.
Closing hashes in the bucket are compared in outreach_assets/steps/audit_export.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from outreach_core.audit import CHAIN_STARTED, AuditLogMissingError, open_log
from outreach_core.postgres import Connection, Postgres

GENESIS = "0" * 64
"""What the first row names as the hash before it."""

BLOCK = 100_000
"""Positions judged by one statement: its sort stays small, however long the chain is."""

MOST_BREAKS = 20
"""Of a kind of mistake; the first one is what matters."""

# How values are written as text is the session's choice; the trigger chose the same (0009).
AS_HASHED = """
    SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY';
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 1;
    SET LOCAL bytea_output = 'hex'"""

COLUMNS = """
    SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
    WHERE attrelid = 'shq.audit_log'::regclass AND attnum > 0 AND NOT attisdropped"""

HASHED = """
    SELECT id, chain_position AS position, chained_at, previous_hash, row_hash, hashed_columns,
        (to_jsonb(log) - ARRAY(
            SELECT name FROM unnest(%(columns)s::text[]) AS name
            WHERE name <> ALL (coalesce(hashed_columns, '{}'))))::text AS hashed_row
    FROM shq.audit_log AS log"""
"""Every row of the chain with the text its hash covers."""

BROKEN = f"""
    SELECT id, position, position_before, id_before,
        ARRAY(SELECT unnest(hashed_columns) EXCEPT SELECT unnest(%(columns)s::text[])),
        row_hash IS DISTINCT FROM computed, previous_hash IS DISTINCT FROM hash_before
    FROM (
        SELECT *, lag(position, 1, 0::bigint) OVER chain AS position_before,
            lag(row_hash, 1, %(genesis)s) OVER chain AS hash_before,
            lag(id) OVER chain AS id_before
        FROM (
            SELECT *, encode(sha256(convert_to(hashed_row, 'UTF8')), 'hex') AS computed
            FROM ({HASHED} WHERE chain_position BETWEEN %(first)s - 1 AND %(last)s) AS hashed
        ) AS computed
        WINDOW chain AS (ORDER BY position)
    ) AS linked
    WHERE position >= %(first)s AND (
        row_hash IS DISTINCT FROM computed OR position <> position_before + 1
        OR previous_hash IS DISTINCT FROM hash_before)
    ORDER BY position, id LIMIT %(most)s"""  # noqa: S608 both are written here

END = """
    SELECT count(chain_position), max(chain_position), count(*) - count(chain_position)
    FROM shq.audit_log"""

SEALED = """
    SELECT coalesce(sum(rows), 0)::bigint,
        encode(sha256(coalesce(string_agg(hash, '' ORDER BY number), '')), 'hex')
    FROM (
        SELECT id / 10000 AS number, count(*) AS rows,
            sha256(string_agg(sha256(convert_to((to_jsonb(older) - ARRAY(
                SELECT name FROM unnest(%(columns)s::text[]) AS name
                WHERE name <> ALL (%(sealed)s)))::text, 'UTF8')), '' ORDER BY id)) AS hash
        FROM shq.audit_log AS older
        WHERE chain_position IS NULL AND id <= %(last_id)s GROUP BY 1
    ) AS groups"""

PAST_THE_CHAIN = """
    SELECT id FROM shq.audit_log WHERE chain_position IS NULL AND id > %s ORDER BY id LIMIT %s"""

TRIGGERS = (
    "zz_audit_log_chain",
    "zz_audit_log_head",
    "audit_log_is_append_only",
    "audit_log_is_never_emptied",
)
ENABLED = """
    SELECT tgname::text FROM pg_trigger
    WHERE tgrelid = 'shq.audit_log'::regclass AND tgenabled IN ('O', 'A')"""


class Break(StrEnum):
    """What is wrong with the log."""

    ALTERED = "altered"
    REMOVED = "removed"
    INSERTED = "inserted"
    CUT = "cut"
    """Rows are gone from the end."""

    REWRITTEN = "rewritten"
    """A row, or all from one on, was hashed anew."""

    UNGUARDED = "unguarded"
    """Nothing would stop the next change."""

    UNPROVEN = "unproven"
    """An export that would prove a part of the chain is missing."""


@dataclass(frozen=True, kw_only=True)
class BrokenLink:
    """One thing that is wrong, and where."""

    kind: Break
    says: str
    position: int | None = None
    id: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChainReport:
    """What was found; the chain is whole when there is no break."""

    rows: int
    """In the chain."""

    older_rows: int
    """Written before it began."""

    position: int
    closing_hash: str
    breaks: tuple[BrokenLink, ...]


def check_chain(postgres: Postgres) -> ChainReport:
    """Judge the whole log in one snapshot of it. Raises AuditLogMissingError."""
    with open_log(postgres) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        rows, last, older = _one(connection, END)
        head = connection.execute("SELECT position, hash FROM shq.audit_head").fetchone()
        if head is None:
            raise AuditLogMissingError(f"{postgres.name}: shq.audit_head has lost its row")
        end = max(int(last or 0), int(head[0]))
        found = [
            *_ordered_breaks(connection, end),
            *_end_breaks(connection, int(last or 0), int(head[0]), str(head[1])),
            *_older_breaks(connection),
            *_missing_guards(connection),
        ]
    return ChainReport(
        rows=rows,
        older_rows=older,
        position=int(head[0]),
        closing_hash=str(head[1]),
        breaks=tuple(found),
    )


def broken_links(connection: Connection, first: int, last: int) -> list[BrokenLink]:
    """What is wrong between two positions, the link to the row before them included."""
    between = {"first": first, "last": last, **hashing(connection)}
    values = {**between, "genesis": GENESIS, "most": MOST_BREAKS}
    rows = connection.execute(BROKEN.encode(), values).fetchall()
    return [link for row in rows for link in _named(*row)]


def hashing(connection: Connection) -> Mapping[str, object]:
    """Make this transaction write values as the trigger did; what HASHED wants bound."""
    connection.execute(AS_HASHED)
    return {"columns": _one(connection, COLUMNS)[0]}


def _ordered_breaks(connection: Connection, last: int) -> Iterator[BrokenLink]:
    """Those of the chain, in order, until there are enough to see what happened."""
    for first in range(1, last + 1, BLOCK):
        found = broken_links(connection, first, min(first + BLOCK - 1, last))
        yield from found
        if found:
            return


def _named(
    id_: int,
    position: int,
    before: int,
    id_before: int | None,
    gone_columns: Sequence[str],
    *wrong: bool,
) -> Iterator[BrokenLink]:
    """What is wrong at a row; a gap explains a wrong link, and so says it all."""
    altered, unlinked = wrong
    if position == before:
        yield BrokenLink(
            kind=Break.INSERTED,
            position=position,
            id=id_,
            says=f"position {position} is there twice: as id {id_before} and as id {id_}",
        )
    elif position > before + 1:
        gone = f"{before + 1}" if position == before + 2 else f"{before + 1} to {position - 1}"
        yield BrokenLink(
            kind=Break.REMOVED,
            position=before + 1,
            says=f"position {gone} was removed, before id {id_}",
        )
    if altered:
        yield BrokenLink(
            kind=Break.ALTERED,
            position=position,
            id=id_,
            says=f"the row at position {position} (id {id_}) was altered"
            + (f": its column {', '.join(gone_columns)} is gone" if gone_columns else ""),
        )
    elif unlinked and position == before + 1:
        yield BrokenLink(
            kind=Break.REWRITTEN,
            position=before,
            id=id_before,
            says=f"the row at position {before} (id {id_before}) was replaced by another: "
            f"position {position} was chained to a different one",
        )


def _end_breaks(
    connection: Connection, last: int, head: int, head_hash: str
) -> Iterator[BrokenLink]:
    """Where the rows end against where the head says that they end."""
    if last < head:
        gone = f"{head}" if last + 1 == head else f"{last + 1} to {head}"
        yield BrokenLink(
            kind=Break.CUT, position=last + 1, says=f"position {gone} was cut off the end"
        )
        return
    rows = connection.execute(
        "SELECT id, row_hash FROM shq.audit_log WHERE chain_position = %s", (head + (last > head),)
    ).fetchall()
    for id_, row_hash in rows[:1]:
        if last > head:
            yield BrokenLink(
                kind=Break.INSERTED,
                position=head + 1,
                id=id_,
                says=f"the row at position {head + 1} (id {id_}) was inserted past the triggers: "
                f"the chain ends at {head}",
            )
        elif row_hash != head_hash:
            yield BrokenLink(
                kind=Break.REWRITTEN,
                position=head,
                id=id_,
                says=f"the last row, at position {head} (id {id_}), is not the one that the head "
                "of the chain names",
            )


def _older_breaks(connection: Connection) -> Iterator[BrokenLink]:
    """Rows outside the chain: those it began with are sealed, and there may be no others."""
    row = connection.execute(
        "SELECT event_type, details FROM shq.audit_log WHERE chain_position = 1"
    ).fetchone()
    if row is None or row[0] != CHAIN_STARTED:
        yield BrokenLink(
            kind=Break.REMOVED if row is None else Break.REWRITTEN,
            position=1,
            says="the first row of the chain, which seals the rows before it, is not there",
        )
        return
    sealed = row[1]
    values = {"sealed": sealed["sealed_columns"], "last_id": sealed["sealed_last_id"]}
    count, now = _one(connection, SEALED, {**hashing(connection), **values})
    was = sealed["sealed_rows"]
    if count != was:
        yield BrokenLink(
            kind=Break.REMOVED if count < was else Break.INSERTED,
            says=f"of {was} rows older than the chain there are now {count}",
        )
    elif now != sealed["sealed_hash"]:
        yield BrokenLink(kind=Break.ALTERED, says="a row older than the chain was altered")
    for (id_,) in connection.execute(PAST_THE_CHAIN, (sealed["sealed_last_id"], MOST_BREAKS)):
        yield BrokenLink(
            kind=Break.INSERTED, id=id_, says=f"the row with id {id_} was inserted past the chain"
        )


def _missing_guards(connection: Connection) -> Iterator[BrokenLink]:
    there = {name for (name,) in connection.execute(ENABLED)}
    for name in TRIGGERS:
        if name not in there:
            yield BrokenLink(
                kind=Break.UNGUARDED,
                says=f"the trigger {name} on shq.audit_log is missing or disabled: ALTER TABLE "
                f"shq.audit_log ENABLE TRIGGER {name}",
            )


def _one(
    connection: Connection, query: str, values: Mapping[str, object] | None = None
) -> tuple[Any, ...]:
    """The row of a query that always has one."""
    (row,) = connection.execute(query.encode(), values).fetchall()
    return row
