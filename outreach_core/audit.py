"""The audit log: an event, and the table that takes it.

Readers run `SELECT * FROM shq.audit_log WHERE event_type = 'outreach_validation_run' ORDER BY
created_at DESC`. Which runs owe it a row is in outreach_assets/steps/record.py.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outreach_core.postgres import Connection

VALIDATION_RUN = "outreach_validation_run"
SNAPSHOT_REMOVED = "outreach_snapshot_removed"
SNAPSHOT_RESTORED = "outreach_snapshot_restored"


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
