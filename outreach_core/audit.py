"""The audit log: an event, and the table that takes it.

Readers run `SELECT * FROM shq.audit_log WHERE event_type = 'outreach_validation_run' ORDER BY
created_at DESC`. Which runs owe it a row is in outreach_assets/steps/record.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from outreach_core.postgres import Connection

VALIDATION_RUN = "outreach_validation_run"


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One thing that happened. `details`: counts and names of objects, never what a row holds."""

    event_type: str
    event_source: str
    details: Mapping[str, object]


INSERT = """
    INSERT INTO shq.audit_log (event_type, event_source, details)
    VALUES (%s, %s, %s)"""


def write_event(connection: Connection, event: AuditEvent) -> None:
    """Add the event, in the caller's transaction."""
    connection.execute(
        INSERT,
        (
            event.event_type,
            event.event_source,
            json.dumps(event.details),
        ),
    )


def write_events(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Add many events, in the caller's transaction and without a round trip for each."""
    with connection.cursor() as cursor:
        cursor.executemany(
            INSERT, [(e.event_type, e.event_source, json.dumps(e.details)) for e in events]
        )


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
