"""The books of the alerts: which causes are open, and what each channel was told of them.

A cause is open from the first sighting of trouble until a later sighting without it. Nothing is
sent from here: `claim` gives what a channel has not been told, for one caller alone; who told it
says so with `told`. Killed in between, the claim runs out and it is told again: an alert may come
twice then, and is never lost. Several processes may do all of this at once.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection, Postgres, UndefinedSchema, UndefinedTable

LEASE = "5 minutes"
"""Far longer than a sensor may take (60 s)."""

RECOVERED = "recovered"
"""What a channel was told when a cause is gone."""

PASSING = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b\d{14}\b")
"""A run's id or a version: another one is not another cause."""

KNOWN = """
    SELECT DISTINCT ON (cause) cause, id, fingerprint, seen_at, closed_at IS NULL
    FROM shq.alerts WHERE cause = ANY(%s) ORDER BY cause, id DESC"""
CLOSE = "UPDATE shq.alerts SET closed_at = %s, seen_at = %s, link = %s WHERE id = %s"
OPEN = """
    INSERT INTO shq.alerts
        (cause, kind, subject, place, sentence, fingerprint, link, opened_at, seen_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING id"""
CHANGE = """
    UPDATE shq.alerts
    SET kind = %s, subject = %s, place = %s, sentence = %s, fingerprint = %s, link = %s,
        seen_at = %s
    WHERE id = %s"""

# A channel that is new is told what is open, not what was.
OWE = """
    INSERT INTO shq.alert_deliveries (alert_id, channel)
    SELECT id, channel FROM shq.alerts, unnest(%s::text[]) AS channel WHERE closed_at IS NULL
    ON CONFLICT DO NOTHING"""

CLAIM = f"""
    UPDATE shq.alert_deliveries AS delivery SET not_before = now() + interval '{LEASE}'
    FROM shq.alerts AS alert
    WHERE alert.id = delivery.alert_id AND channel = %s AND not_before <= now()
      AND told IS DISTINCT FROM
          CASE WHEN closed_at IS NULL THEN fingerprint ELSE '{RECOVERED}' END
    RETURNING id, kind, subject, place, sentence, fingerprint, link,
              closed_at IS NOT NULL, told IS NOT NULL"""

TOLD = """
    UPDATE shq.alert_deliveries
    SET told = %s, told_at = now(), not_before = '-infinity', trouble = NULL
    WHERE alert_id = %s AND channel = %s"""
PUT_OFF = """
    UPDATE shq.alert_deliveries
    SET not_before = now() + make_interval(secs => %s), trouble = %s
    WHERE alert_id = ANY(%s) AND channel = %s"""

LIST = """
    SELECT alert.id, cause, kind, subject, place, sentence, link, opened_at, closed_at,
        coalesce(jsonb_object_agg(channel, jsonb_build_object(
            'told', CASE told WHEN fingerprint THEN 'yes' WHEN 'recovered' THEN 'recovered' END,
            'told_at', told_at, 'trouble', trouble)) FILTER (WHERE channel IS NOT NULL), '{}')
    FROM shq.alerts AS alert LEFT JOIN shq.alert_deliveries ON alert_id = alert.id
    WHERE closed_at IS NULL OR NOT %s
    GROUP BY alert.id ORDER BY alert.id DESC LIMIT %s"""


class AlertsNotMigratedError(PermanentError):
    """The database lacks the tables of the alerts."""


class Kind(StrEnum):
    """What is wrong; the first words of a message."""

    HELD = "held"
    FAILED = "failed"
    CHECK = "check failed"
    STALE = "stale"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong and where, as people read it; nothing personal, no secret."""

    kind: Kind
    place: str
    """A state, a job or an asset. Troubles that differ in nothing else are told as one."""

    sentence: str
    subject: str = ""
    """What is wrong there, where the kind alone does not say it: a check's name."""

    @property
    def fingerprint(self) -> str:
        """The same as long as the cause is, whichever run has met it."""
        said = "\n".join([self.kind, self.subject, PASSING.sub("", self.sentence)])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """How one thing was at one time."""

    cause: str
    """What is looked at, such as `state:WV`; it is open or not."""

    at: datetime
    link: str
    """Below OUTREACH_UI_URL: `runs/…`, `assets/…`."""

    trouble: Trouble | None
    """None when it is well."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Something a channel has not been told, claimed for us."""

    alert_id: int
    trouble: Trouble
    fingerprint: str
    link: str
    is_over: bool
    was_told: bool
    """Whether the channel heard of this alert before."""

    @property
    def tells(self) -> str:
        """What the channel knows when it was told this."""
        return RECOVERED if self.is_over else self.fingerprint


class Alert(NamedTuple):
    """A row of the books, for people."""

    alert_id: int
    cause: str
    kind: str
    subject: str
    place: str
    sentence: str
    link: str
    opened_at: datetime
    closed_at: datetime | None
    deliveries: dict[str, dict[str, str | None]]
    """By channel: told (yes, recovered or None), told_at, trouble."""


def note_sightings(
    postgres: Postgres, sightings: Sequence[Sighting], channels: Sequence[str]
) -> None:
    """Open, change and close causes; what is new is owed to these channels.

    A sighting that is not newer than what the books know of its cause changes nothing, so the
    same ones may come again, and in any order from several processes.
    """
    with _books(postgres) as connection:
        # One at a time, or two would open the same cause or overwrite newer by older.
        connection.execute("LOCK TABLE shq.alerts IN SHARE ROW EXCLUSIVE MODE")
        found = connection.execute(KNOWN, ([s.cause for s in sightings],))
        known = {cause: _Known(*row) for cause, *row in found}
        for sighting in sorted(sightings, key=lambda s: s.at):
            before = known.get(sighting.cause)
            if before is None or sighting.at > before.seen_at:
                after = _note(connection, sighting, before)
                known |= {sighting.cause: after} if after else {}
        connection.execute(OWE, (list(channels),))


class _Known(NamedTuple):
    """The newest row of a cause."""

    alert_id: int
    fingerprint: str
    seen_at: datetime
    is_open: bool


def _note(connection: Connection, sighting: Sighting, before: _Known | None) -> _Known | None:
    """Write what this sighting changes; what is known of its cause then, None for nothing new."""
    trouble, at, link = sighting.trouble, sighting.at, sighting.link
    is_open = before is not None and before.is_open
    if trouble is None:
        if before is None or not is_open:
            return None
        connection.execute(CLOSE, (at, at, link, before.alert_id))
        return before._replace(seen_at=at, is_open=False)
    says = (trouble.kind, trouble.subject, trouble.place, trouble.sentence, trouble.fingerprint)
    if before is not None and is_open:
        connection.execute(CHANGE, (*says, link, at, before.alert_id))
        return before._replace(fingerprint=trouble.fingerprint, seen_at=at)
    row = connection.execute(OPEN, (sighting.cause, *says, link, at, at)).fetchone()
    return _Known(row[0] if row else 0, trouble.fingerprint, at, is_open=True)


def claim(postgres: Postgres, channel: str) -> list[Pending]:
    """What this channel has not been told, in the order it came, for this caller alone."""
    with _books(postgres) as connection:
        rows = sorted(connection.execute(CLAIM, (channel,)))
    return [
        Pending(
            alert_id=alert_id,
            trouble=Trouble(kind=Kind(kind), subject=subject, place=place, sentence=sentence),
            fingerprint=fingerprint,
            link=link,
            is_over=over,
            was_told=was_told,
        )
        for alert_id, kind, subject, place, sentence, fingerprint, link, over, was_told in rows
    ]


def told(postgres: Postgres, channel: str, pendings: Iterable[Pending]) -> None:
    """The channel has taken these."""
    with _books(postgres) as connection, connection.cursor() as cursor:
        cursor.executemany(TOLD, [(p.tells, p.alert_id, channel) for p in pendings])


def put_off(
    postgres: Postgres,
    channel: str,
    pendings: Iterable[Pending],
    *,
    seconds: float,
    trouble: str | None,
) -> None:
    """The channel has not taken these; nobody tries again before so many seconds."""
    with _books(postgres) as connection:
        connection.execute(PUT_OFF, (seconds, trouble, [p.alert_id for p in pendings], channel))


def list_alerts(postgres: Postgres, *, only_open: bool, most: int) -> list[Alert]:
    """The newest alerts, newest first."""
    with _books(postgres) as connection:
        rows = connection.execute(LIST, (only_open, most)).fetchall()
    return [Alert(*row) for row in rows]


@contextmanager
def _books(postgres: Postgres) -> Iterator[Connection]:
    """A transaction on the books. Raises AlertsNotMigratedError where there are none."""
    try:
        with postgres.connect() as connection:
            yield connection
    except (UndefinedTable, UndefinedSchema):
        raise AlertsNotMigratedError(
            f"{postgres.name} has no shq.alerts: run `outreach db migrate`"
        ) from None
