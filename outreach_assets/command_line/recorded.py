"""What a command changes, told to the audit log: once, when it is done or has failed half-way.

Runs tell it themselves (steps/record.py, sensors/run_outcomes.py), and so does a migration.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outreach_core.settings import Settings


@contextmanager
def recorded(settings: "Settings", event_type: str) -> Iterator[dict[str, object]]:
    """One event with what the block puts into the dictionary; none when it puts nothing there.

    The log is asked first: a command whose doings nobody could record does nothing. What a block
    has changed before it raised is recorded with the kind of error. Raises AuditLogMissingError and
    what `Postgres.connect` raises.
    """
    from outreach_core.audit import command_event, open_log, write_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    postgres = open_neon(settings)
    with open_log(postgres) as connection:
        connection.execute("SELECT FROM shq.audit_log LIMIT 0")
    details: dict[str, object] = {}
    try:
        yield details
    except BaseException as error:
        if details:
            details["error"] = type(error).__name__
        raise
    finally:
        if details:
            with open_log(postgres) as connection:
                write_event(connection, command_event(event_type, details))
