"""The audit log: what an event is, which there are, and the table that takes them.

Readers run `SELECT * FROM shq.audit_log WHERE event_type = 'outreach_validation_run' ORDER BY
created_at DESC`. Which runs owe it a row is in outreach_assets/steps/record.py; that nobody has
altered it is found out in audit_chain.py.

Whoever writes an event holds the end of the chain (migrations/0009_audit_chain.sql) until commit:
write events last in a transaction, lock nothing after them, and commit. Then two transactions
cannot wait for each other, and others wait for milliseconds.
"""

import getpass
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from outreach_core.errors import PermanentError
from outreach_core.postgres import (
    Connection,
    Postgres,
    UndefinedColumn,
    UndefinedSchema,
    UndefinedTable,
)

SOURCE = "outreach_workbench"
"""`event_source` of our own events."""

VALIDATION_RUN = "outreach_validation_run"
"""How a run ended in a state, with counts and places."""

RUN_FINISHED = "outreach_run_finished"
"""How a Dagster run ended, and who started it: one event for each run."""

CHAIN_STARTED = "outreach_audit_chain_started"
AUDIT_EXPORTED = "outreach_audit_exported"
DATABASE_MIGRATED = "outreach_database_migrated"
SAMPLE_LOADED = "outreach_sample_loaded"
OBJECT_PUT = "outreach_object_put"
OBJECTS_REMOVED = "outreach_objects_removed"
STORE_MIGRATED = "outreach_store_migrated"
STORE_RECONCILED = "outreach_store_reconciled"
BUCKET_SET_UP = "outreach_bucket_set_up"
SNAPSHOT_REMOVED = "outreach_snapshot_removed"
SNAPSHOT_RESTORED = "outreach_snapshot_restored"
FAILURE_REPAIRED = "outreach_failure_repaired"
DROP_REFUSED = "outreach_drop_refused"

WHO_TAG = "outreach/who"
"""On a run that a command has started: for whom."""

STARTERS = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
}
"""Dagster's tags on a run, and what each says has started it."""


class AuditLogMissingError(PermanentError):
    """The database has no audit log, or one that is no chain yet."""


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One thing that happened. `details`: counts and names of objects, never what a row holds."""

    event_type: str
    event_source: str
    details: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class WrittenEvent:
    """An event as the table holds it."""

    id: int
    chain_position: int | None
    """None for a row that is older than the chain."""

    event_type: str
    event_source: str
    created_at: datetime
    details: Mapping[str, object] | None


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """Which events to read; None asks nothing."""

    event_type: str | None = None
    state: str | None = None
    run_id: str | None = None
    since: datetime | None = None
    """By `created_at`, which holds the database's local time."""


INSERT = """
    INSERT INTO shq.audit_log (event_type, event_source, details)
    VALUES (%s, %s, %s)"""

# The chain's head moves at the end of a statement, and a row that one transaction updates again and
# again gets slower each time: a repair of 9,150 rows took 6.9 s with a statement for each, now 2.0.
INSERT_MANY = """
    INSERT INTO shq.audit_log (event_type, event_source, details)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::jsonb[])"""

INSERT_UNLESS_THERE = """
    INSERT INTO shq.audit_log (event_type, event_source, details)
    VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"""

LATEST = """
    SELECT id, chain_position, event_type, event_source, created_at, details FROM shq.audit_log
    WHERE (%(event_type)s::text IS NULL OR event_type = %(event_type)s)
      AND (%(state)s::text IS NULL OR details ->> 'state' = %(state)s)
      AND (%(run_id)s::text IS NULL OR details ->> 'run_id' = %(run_id)s)
      AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
    ORDER BY id DESC LIMIT %(limit)s"""


def operator() -> str:
    """Who a command acts for: the account and the machine, `anna@laptop`."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        account = "unknown"
    return f"{account}@{socket.gethostname()}"


def started_by(tags: Mapping[str, str]) -> str:
    """Who a Dagster run acts for, by its tags: a person's account where one is known."""
    if WHO_TAG in tags:
        return tags[WHO_TAG]
    for tag, kind in STARTERS.items():
        if tag in tags:
            return f"{kind} {tags[tag]}"
    return "somebody in the Dagster UI"


def command_event(event_type: str, details: Mapping[str, object]) -> AuditEvent:
    """An event of a command that somebody ran on this machine; it says who."""
    return AuditEvent(
        event_type=event_type, event_source=SOURCE, details={"who": operator(), **details}
    )


def write_event(connection: Connection, event: AuditEvent) -> None:
    """Add the event, in the caller's transaction."""
    connection.execute(INSERT, _values(event))


def write_events(connection: Connection, events: Iterable[AuditEvent]) -> None:
    """Add many, in order, in the caller's transaction and one statement."""
    columns = [list(column) for column in zip(*map(_values, events), strict=True)]
    if columns:
        connection.execute(INSERT_MANY, columns)


def write_outcome(connection: Connection, event: AuditEvent) -> bool:
    """Add a RUN_FINISHED event unless its run has one; True when it was added.

    Two writers at once are told apart by a unique index on the run's id.
    """
    done = connection.execute(INSERT_UNLESS_THERE, _values(event))
    return done.rowcount == 1


def outcomes_of(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Those of the runs that have a RUN_FINISHED event."""
    rows = connection.execute(
        "SELECT details ->> 'run_id' FROM shq.audit_log "
        "WHERE event_type = 'outreach_run_finished' AND details ->> 'run_id' = ANY(%s)",
        (list(run_ids),),
    )
    return {run_id for (run_id,) in rows}


def published_manifests(postgres: Postgres) -> dict[tuple[str, str], str]:
    """By state and version, the sha256 of the manifest as it was published."""
    with postgres.connect() as connection:
        rows = connection.execute(
            "SELECT details ->> 'state', details ->> 'published_version', "
            "details ->> 'manifest_sha256' FROM shq.audit_log "
            "WHERE event_type = %s AND details ? 'manifest_sha256'",
            (VALIDATION_RUN,),
        ).fetchall()
    return {(state, version): sha256 for state, version, sha256 in rows}


def events_of_run(connection: Connection, run_id: str) -> Iterator[Mapping[str, object]]:
    """The details of a run's rows, one per state, in the order they were written."""
    yield from (
        row[0]
        for row in connection.execute(
            "SELECT details FROM shq.audit_log "
            "WHERE event_type = %s AND details ->> 'run_id' = %s ORDER BY id",
            (VALIDATION_RUN, run_id),
        )
    )


def latest_events(connection: Connection, wanted: EventFilter, *, limit: int) -> list[WrittenEvent]:
    """Those that match, the newest first."""
    rows = connection.execute(LATEST, {**vars(wanted), "limit": limit}).fetchall()
    return [
        WrittenEvent(
            id=id_,
            chain_position=position,
            event_type=event_type,
            event_source=source,
            created_at=created_at,
            details=details,
        )
        for id_, position, event_type, source, created_at, details in rows
    ]


@contextmanager
def open_log(postgres: Postgres) -> Iterator[Connection]:
    """A connection, in one transaction. Raises AuditLogMissingError, also inside the block."""
    try:
        with postgres.connect() as connection:
            yield connection
    except (UndefinedColumn, UndefinedSchema, UndefinedTable):
        raise AuditLogMissingError(
            f"{postgres.name} has no shq.audit_log, or one without its chain: "
            "run `outreach db migrate`"
        ) from None


def _values(event: AuditEvent) -> tuple[str, str, str]:
    return event.event_type, event.event_source, json.dumps(event.details)
