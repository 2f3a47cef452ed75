"""What somebody wants to know in the morning: how every state stands, what changed, what is wrong.

Facts only; morning_page.py makes a page of them. Reads the audit log, the receipts in the store,
the open alerts, the failures that wait and the backups' tables; asks the store for every newest
file (HEAD).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from b2_resources import keys
from b2_resources.object_store import (
    ObjectMissingError,
    ObjectStore,
    StoreRefusedError,
    StoreUnreachableError,
)
from outreach_assets.steps.alerts.causes import Alert, list_alerts
from outreach_assets.steps.backups.standing import BackupStanding, backup_standing
from outreach_assets.steps.failures.batches import waiting_failures
from outreach_assets.steps.failures.kinds import FailureType
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.published import WORKERS, InStore, look_at
from outreach_assets.steps.snapshots.history import Point, broken_over_time
from outreach_assets.steps.upload import differing_objects
from outreach_assets.tables.table import Table
from outreach_core.audit import VALIDATION_RUN
from outreach_core.errors import OutreachError
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES

NEVER = "never run"
ILL = ("held", "failed", "killed")
POINTS = 30
A_DAY = timedelta(days=1)
MOST_ALERTS = 50

NEWEST = """
    SELECT DISTINCT ON (details ->> 'state') details FROM shq.audit_log
    WHERE event_type = %s AND details ->> 'state' = ANY(%s)
    ORDER BY details ->> 'state', id DESC"""


@dataclass(frozen=True, kw_only=True)
class StateMorning:
    """One state."""

    state: str
    status: str
    """How its newest run ended there, or `never run`."""

    ended_at: str | None = None
    """ISO 8601, of that run."""

    run_id: str | None = None
    says: str | None = None
    """Why it was held or failed, or who released it."""

    row_delta: Mapping[str, int] = field(default_factory=dict)
    newest: Manifest | None = None
    """What readers find."""

    is_new: bool = False
    """True when it was published within a day."""


@dataclass(frozen=True, kw_only=True)
class Morning:
    """All of it, at one time."""

    at: datetime
    states: Sequence[StateMorning]
    problems: Sequence[str]
    """What in the store is not what its receipt says, or could not be asked."""

    objects: int
    """How many objects were asked for."""

    reasons: Mapping[str, Sequence[Point]]
    """By rule, over time."""

    alerts: Sequence[Alert]
    waiting: int
    """Failures that are in no finished export."""

    backups: BackupStanding

    @property
    def statuses(self) -> dict[str, int]:
        """How many states ended how."""
        return dict(Counter(one.status for one in self.states).most_common())

    @property
    def ill(self) -> list[StateMorning]:
        """The states whose newest run did not bring them to their end."""
        return [one for one in self.states if one.status in ILL]

    @property
    def changes(self) -> dict[str, int]:
        """Over the snapshots published within a day: rows by change and cause."""
        found: Counter[str] = Counter()
        for one in self.states:
            if one.is_new and one.newest and one.newest.changes:
                for counts in one.newest.changes.counts.values():
                    found.update(counts)
        return dict(sorted(found.items()))


def find_morning(
    postgres: Postgres, store: ObjectStore, exports: Path, tables: Sequence[Table], *, now: datetime
) -> Morning:
    """How things stand now. Raises what `Postgres.connect` raises; a store that is away is told."""
    with postgres.connect() as connection:
        rows = connection.execute(NEWEST, (VALIDATION_RUN, list(ALL_STATES))).fetchall()
    endings = {details["state"]: details for (details,) in rows}
    there = look_at(store, ALL_STATES)
    yesterday = f"{now - A_DAY:%Y%m%d%H%M%S}"
    states = [_state(state, endings.get(state), there[state], yesterday) for state in ALL_STATES]
    errors = [one for one in there.values() if isinstance(one, OutreachError)]
    is_away = any(isinstance(one, StoreUnreachableError | StoreRefusedError) for one in errors)
    manifests = [one.newest for one in states if one.newest is not None]
    differing: Mapping[str, str] = {}
    objects = 0
    if not is_away:
        try:
            differing, objects = _differing(store, manifests)
        except OutreachError as error:  # it went away just now
            errors.append(error)
    return Morning(
        at=now,
        states=states,
        problems=[
            *sorted({str(one) for one in errors}),
            *(f"{key} {problem}" for key, problem in differing.items()),
        ],
        objects=objects,
        reasons=broken_over_time(exports, tables, points=POINTS),
        alerts=list_alerts(postgres, only_open=True, most=MOST_ALERTS),
        waiting=sum(one.rows for one in waiting_failures(postgres, tuple(FailureType), None)),
        backups=backup_standing(postgres),
    )


def _state(
    state: str,
    ending: Mapping[str, Any] | None,
    there: InStore | OutreachError,
    yesterday: str,
) -> StateMorning:
    newest = there.newest if isinstance(there, InStore) else None
    is_new = newest is not None and newest.version >= yesterday
    if ending is None:
        return StateMorning(state=state, status=NEVER, newest=newest, is_new=is_new)
    released = ending.get("released")
    return StateMorning(
        state=state,
        status=ending["status"],
        ended_at=ending.get("end_time"),
        run_id=ending.get("run_id"),
        says=ending.get("error")
        or (released and f"released by {released['by']}: {released['because']}"),
        row_delta=ending.get("row_delta", {}),
        newest=newest,
        is_new=is_new,
    )


def _differing(store: ObjectStore, manifests: Sequence[Manifest]) -> tuple[dict[str, str], int]:
    """What is not as published: every file of a newest snapshot, and what readers open."""
    read = [
        (keys.newest_key(m.state, file.table, file.verdict), file.sha256, m.version)
        for m in manifests
        for file in m.files
    ]

    def problem(key: str, sha256: str, version: str) -> str | None:
        try:
            same = store.head(key).sha256 in {None, sha256}
        except ObjectMissingError:
            return "is missing"
        return None if same else f"is not that of version {version}"

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lambda asked: problem(*asked), read))
    differing = {key: said for (key, _, _), said in zip(read, found, strict=True) if said}
    stored = sum(len(manifest.objects) for manifest in manifests)
    return {**differing_objects(store, manifests), **differing}, stored + len(read)
