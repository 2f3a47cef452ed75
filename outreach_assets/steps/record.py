"""Which run is at work in which state, and the one audit row that every such run leaves.

A run claims its states: a row in shq.open_runs each, and a lock that Postgres drops when the
process dies. Closing a state deletes the open row and writes the audit row in one transaction, so
there is exactly one, whether the run succeeds, fails, or is killed and swept by the next one.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from outreach_core.audit import SOURCE, VALIDATION_RUN, AuditEvent, events_of_run, write_events
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.postgres import (
    Connection,
    DatabaseError,
    DatabaseUnreachableError,
    Postgres,
    UndefinedSchema,
    UndefinedTable,
)
from outreach_core.states import ALL_STATES

KILLED = "the run died without a word; whoever came next found its claim open"
LOCK = 0x0047EAC4  # the first half of our advisory lock keys; the second is the state's number


# Longer than any retry waits (retries.py), and than Dagster takes to come back to it.
WAIT = """
    UPDATE shq.open_runs
    SET details = details || jsonb_build_object('waits_until', now() + interval '3 minutes')
    WHERE run_id = %s"""

NOTE = """
    UPDATE shq.open_runs SET details = details || jsonb_build_object('ending', %s::jsonb)
    WHERE run_id = %s AND state = %s"""

NOTED = "SELECT state, details -> 'ending' FROM shq.open_runs WHERE run_id = %s"

WAITING = """
    SELECT state FROM shq.open_runs
    WHERE state = ANY(%s) AND run_id <> %s
      AND (details ->> 'waits_until')::timestamptz > now()"""


class Status(StrEnum):
    """How a run ended in a state."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    JUDGED = "judged"
    """The selection ended before uploading."""

    HELD = "held"
    """Not published, because it must not be; the last good snapshot stays."""

    FAILED = "failed"
    CANCELLED = "cancelled"
    KILLED = "killed"
    """The process died; somebody else wrote this."""


class StateBusyError(RetryableError):
    """Another run is at work in the same state."""


class ClaimLostError(RetryableError):
    """The connection that held the states was lost, so another run may have taken them."""


class NotMigratedError(PermanentError):
    """The database lacks the project's own tables."""


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run that has begun in a state and has no audit row yet."""

    run_id: str
    state: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended in a state, and what its audit row says beyond that."""

    status: Status
    details: Mapping[str, object] = field(default_factory=dict)


CANCELLED_BY_SOMEBODY = Ending(
    status=Status.CANCELLED, details={"error": "somebody cancelled the run"}
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The states a run may work in, for as long as the connection behind it lives."""

    postgres: Postgres
    connection: Connection
    run_id: str
    version: str
    states: Sequence[str]
    """All states the run asked for."""

    busy: Sequence[str]
    """Those of them that another run works in: they are not ours."""

    def wait(self) -> None:
        """Say that the run tries again soon, so that nobody takes it for dead meanwhile."""
        with self.postgres.connect() as connection:
            connection.execute(WAIT, (self.run_id,))

    def note(self, endings: Mapping[str, Ending]) -> None:
        """Keep how these states have ended with their open rows, for when nobody can ask us."""
        with self.postgres.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                NOTE,
                [
                    (json.dumps({"status": e.status, "details": e.details}), self.run_id, state)
                    for state, e in endings.items()
                ],
            )

    def hold(self) -> None:
        """Raise ClaimLostError unless the claim still stands; to be asked before publishing."""
        try:
            self.connection.execute("SELECT 1")
        except DatabaseError as error:
            raise ClaimLostError(
                f"{self.postgres.name}: the connection that held the states was lost, and another "
                f"run may have taken them, so nothing more is published: run it again "
                f"({self.postgres.redacted(str(error))})"
            ) from None

    def close(self, endings: Mapping[str, Ending]) -> None:
        """Write the audit rows of these states, once: what is closed already is left alone."""
        with self.postgres.connect() as connection:
            _close(
                connection,
                {
                    OpenRun(run_id=self.run_id, state=state, version=self.version): ending
                    for state, ending in endings.items()
                },
            )


@contextmanager
def claimed(
    postgres: Postgres,
    states: Sequence[str],
    *,
    run_id: str,
    version: str,
    abandoned: Callable[[OpenRun], None],
    who: str = "unknown",
) -> Iterator[Claim]:
    """The states for this run alone, but for those another run works in.

    Raises StateBusyError when those are all. `abandoned` is called for each dead run found in one
    of ours, before its audit row is written. `who` the run acts for is in its audit rows, also in
    those that others write for it.
    """
    with _connection_for_locks(postgres) as connection:
        waiting = _waiting(postgres, states, run_id)
        ours = [s for s in states if s not in waiting and _try_lock(connection, s)]
        claim = Claim(
            postgres=postgres,
            connection=connection,
            run_id=run_id,
            version=version,
            states=states,
            busy=[state for state in states if state not in ours],
        )
        if not ours:
            raise busy_error(claim.busy)
        _sweep(postgres, ours, abandoned, run_id=run_id)
        try:
            _open(postgres, ours, run_id=run_id, version=version, who=who)
        except Exception:
            raise
        except BaseException:  # Ctrl-C just now: they may be open or not
            claim.close(dict.fromkeys(ours, CANCELLED_BY_SOMEBODY))
            raise
        yield claim


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A state that no run is in or can get into, for as long as the connection behind it lives."""

    postgres: Postgres
    connection: Connection

    def hold(self) -> None:
        """Raise ClaimLostError unless the lock still stands; to be asked before each removal."""
        try:
            self.connection.execute("SELECT 1")
        except DatabaseError as error:
            raise ClaimLostError(
                f"{self.postgres.name}: the connection that locked the state was lost: try again "
                f"({self.postgres.redacted(str(error))})"
            ) from None


@contextmanager
def locked(postgres: Postgres, state: str) -> Iterator[Lock]:
    """The state without a run in it, for work that is no run and leaves no row of one.

    Raises StateBusyError when a run is in it or comes back to it soon.
    """
    with _connection_for_locks(postgres) as connection:
        if _waiting(postgres, [state], "") or not _try_lock(connection, state):
            raise busy_error([state])
        yield Lock(postgres=postgres, connection=connection)


def busy_error(states: Sequence[str]) -> StateBusyError:
    """Another run works in these."""
    return StateBusyError(
        f"another run is at work in {', '.join(states)}: wait for it, or cancel it"
    )


@contextmanager
def _connection_for_locks(postgres: Postgres) -> Iterator[Connection]:
    """A connection in one transaction; that it was lost is no error once the block is done."""
    is_done = False
    try:
        with postgres.connect() as connection:
            # A pooler or Neon would end an idle transaction, and with it the claim.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection
            is_done = True
    except DatabaseUnreachableError:
        if not is_done:
            raise


def sweep_abandoned(postgres: Postgres, abandoned: Callable[[OpenRun], None]) -> list[OpenRun]:
    """Close what dead runs left open in any state; returns what was closed."""
    with _connection_for_locks(postgres) as connection:
        waiting = _waiting(postgres, ALL_STATES, "")
        open_states = {run.state for run in _open_runs(postgres, ALL_STATES)}.difference(waiting)
        free = [state for state in sorted(open_states) if _try_lock(connection, state)]
        return _sweep(postgres, free, abandoned, run_id=None)


def close_cancelled(postgres: Postgres, run_id: str) -> None:
    """Write the audit rows of a run that somebody cancelled, where it could not do so itself.

    A state that had ended before, as the run has noted, ends as it did.
    """
    found = [run for run in _open_runs(postgres, ALL_STATES) if run.run_id == run_id]
    with postgres.connect() as connection:
        noted = dict(connection.execute(NOTED, (run_id,)).fetchall())
        endings = dict.fromkeys(found, CANCELLED_BY_SOMEBODY)
        for run in found:
            if noted.get(run.state):
                said = noted[run.state]
                endings[run] = Ending(status=Status(said["status"]), details=said["details"])
        _close(connection, endings)


def _sweep(
    postgres: Postgres,
    states: Sequence[str],
    abandoned: Callable[[OpenRun], None],
    *,
    run_id: str | None,
) -> list[OpenRun]:
    """Close the open runs of states whose locks this process holds: nobody else can be alive.

    An earlier attempt of the run itself, `run_id`, is tidied up after but stays open: it goes on.
    """
    found = _open_runs(postgres, states)
    for run in found:
        abandoned(run)
    dead = [run for run in found if run.run_id != run_id]
    with postgres.connect() as connection:
        killed = Ending(status=Status.KILLED, details={"error": KILLED})
        _close(connection, dict.fromkeys(dead, killed))
    return dead


def _waiting(postgres: Postgres, states: Sequence[str], run_id: str) -> set[str]:
    """The states that another run than this one tries again in soon."""
    with migrated(postgres), postgres.connect() as connection:
        return {row[0] for row in connection.execute(WAITING, (list(states), run_id))}


def _try_lock(connection: Connection, state: str) -> bool:
    row = connection.execute(
        "SELECT pg_try_advisory_xact_lock(%s, %s)", (LOCK, ALL_STATES.index(state))
    ).fetchone()
    return row is not None and bool(row[0])


def _open_runs(postgres: Postgres, states: Sequence[str]) -> list[OpenRun]:
    with migrated(postgres), postgres.connect() as connection:
        # Before, not after the work.
        connection.execute("SELECT FROM shq.audit_log, shq.source_versions LIMIT 0")
        rows = connection.execute(
            "SELECT run_id, state, details ->> 'version' FROM shq.open_runs "
            "WHERE state = ANY(%s) ORDER BY started_at",
            (list(states),),
        ).fetchall()
    return [OpenRun(run_id=run_id, state=state, version=v) for run_id, state, v in rows]


@contextmanager
def migrated(postgres: Postgres) -> Iterator[None]:
    """Raise NotMigratedError when the project's own tables are not there."""
    try:
        yield
    except (UndefinedTable, UndefinedSchema):
        raise NotMigratedError(
            f"{postgres.name} has no shq.open_runs, shq.audit_log or shq.source_versions: "
            "run `outreach db migrate`"
        ) from None


def _open(
    postgres: Postgres, states: Sequence[str], *, run_id: str, version: str, who: str
) -> None:
    """A retry of a run opens only what its earlier attempts have not closed: one row each."""
    details = json.dumps({"version": version, "who": who})
    with postgres.connect() as connection, connection.cursor() as cursor:
        closed = {event["state"] for event in events_of_run(connection, run_id)}
        cursor.executemany(
            "INSERT INTO shq.open_runs (run_id, state, details) VALUES (%s, %s, %s) "
            "ON CONFLICT (run_id, state) DO UPDATE SET details = EXCLUDED.details",
            [(run_id, state, details) for state in states if state not in closed],
        )


def _close(connection: Connection, endings: Mapping[OpenRun, Ending]) -> None:
    """All open rows away, and then the events: see outreach_core/audit.py on the order."""
    events = []
    for run in sorted(endings, key=lambda run: (run.run_id, run.state)):
        closed = connection.execute(
            "DELETE FROM shq.open_runs WHERE run_id = %s AND state = %s "
            "RETURNING started_at, now(), details ->> 'who'",
            (run.run_id, run.state),
        ).fetchone()
        if closed is not None:
            events.append(_event(run, endings[run], *closed))
    write_events(connection, events)


def _event(
    run: OpenRun, ending: Ending, started_at: datetime, ended_at: datetime, who: str | None
) -> AuditEvent:
    details = {
        "who": who,
        "run_id": run.run_id,
        "state": run.state,
        "status": ending.status,
        "snapshot_version": run.version,
        "start_time": started_at.isoformat(),
        "end_time": ended_at.isoformat(),
        **ending.details,
    }
    return AuditEvent(event_type=VALIDATION_RUN, event_source=SOURCE, details=details)
