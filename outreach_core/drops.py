"""Files in somebody's inbox as Postgres knows them: announced, put off, refused. Not their bytes.

A key is announced by whoever sees it, and settled when it has become a task, is gone, or must stay
where it is. What a drop becomes is in b2_resources/inbox.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outreach_core.audit import DROP_REFUSED, SOURCE, AuditEvent, write_event
from outreach_core.postgres import Connection


@dataclass(frozen=True, kw_only=True)
class AnnouncedDrop:
    """A key that was seen in an inbox."""

    key: str
    announced_at: datetime
    """Later when it is seen again: then there may be another file under it."""


class Standing(StrEnum):
    """What a user may do."""

    UNKNOWN = "UNKNOWN"
    REVOKED = "REVOKED"
    """No token is good any more."""

    GOOD = "GOOD"


def announce_drops(
    connection: Connection, keys: Collection[str], *, now: datetime, due_at: datetime
) -> None:
    """These have been seen; from `due_at` on anybody may take them in."""
    connection.execute(
        "INSERT INTO shq.announced_drops (key, announced_at, due_at) "
        "SELECT key, %s, %s FROM unnest(%s::text[]) AS key "
        "ON CONFLICT (key) DO UPDATE SET announced_at = excluded.announced_at",
        [now, due_at, sorted(set(keys))],  # in order, so that no two wait for each other
    )


def due_drops(connection: Connection, *, now: datetime, limit: int) -> list[AnnouncedDrop]:
    """Those to be taken in, the one that has waited longest first."""
    rows = connection.execute(
        "SELECT key, announced_at FROM shq.announced_drops WHERE due_at <= %s "
        "ORDER BY due_at, key LIMIT %s",
        [now, limit],
    ).fetchall()
    return [AnnouncedDrop(key=key, announced_at=at) for key, at in rows]


def settle_drop(connection: Connection, drop: AnnouncedDrop) -> None:
    """Nothing is left to do, unless it was announced again meanwhile."""
    connection.execute(
        "DELETE FROM shq.announced_drops WHERE key = %s AND announced_at = %s",
        [drop.key, drop.announced_at],
    )


def put_off_drop(connection: Connection, key: str, *, due_at: datetime) -> None:
    """Not now."""
    connection.execute("UPDATE shq.announced_drops SET due_at = %s WHERE key = %s", [due_at, key])


def lock_drop(connection: Connection, key: str) -> bool:
    """True when the caller alone takes it in, until its transaction ends, however it does."""
    row = connection.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"drop {key}"]
    ).fetchone()
    return bool(row and row[0])


def standing_of(connection: Connection, user_id: str) -> Standing:
    """What this user may do; anybody at all may be asked about."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM shq.user_tokens WHERE user_id = users.id "
        "AND revoked_at IS NULL) FROM shq.users AS users WHERE id = %s",
        [user_id],
    ).fetchone()
    if row is None:
        return Standing.UNKNOWN
    return Standing.GOOD if row[0] else Standing.REVOKED


def has_task(connection: Connection, task_id: str) -> bool:
    """True when there is, or was, such a task of anybody's."""
    found = connection.execute("SELECT FROM shq.tasks WHERE id = %s", [task_id]).fetchone()
    return found is not None


def note_refused(
    connection: Connection, key: str, modified_at: datetime, reason: str, *, now: datetime
) -> bool:
    """The drop stays where it is; True the first time this is said of it."""
    done = connection.execute(
        "INSERT INTO shq.refused_drops (key, modified_at, reason, refused_at) "
        "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [key, modified_at.replace(microsecond=0), reason, now],
    )
    return done.rowcount == 1


def tell_refused(connection: Connection, key: str, reason: str) -> None:
    """An event of a drop that nobody's task can tell of; the last thing in a transaction."""
    details = {"who": "inbox", "key": key, "reason": reason}
    write_event(
        connection, AuditEvent(event_type=DROP_REFUSED, event_source=SOURCE, details=details)
    )


def refused_drops(connection: Connection, keys: Sequence[str]) -> set[tuple[str, datetime]]:
    """Of these keys, which file was refused: its key and time, in whole seconds."""
    rows = connection.execute(
        "SELECT key, modified_at FROM shq.refused_drops WHERE key = ANY(%s)", [list(keys)]
    )
    return {(key, at) for key, at in rows.fetchall()}


def all_user_ids(connection: Connection) -> list[str]:
    """Of every user, also of those without a good token."""
    rows = connection.execute("SELECT id FROM shq.users ORDER BY id").fetchall()
    return [user_id for (user_id,) in rows]
