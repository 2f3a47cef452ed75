"""What marketing.validation_failures_log says: who fails now, and how many of which kind.

A record that failed often counts once, as it failed last, until a validation finds it no more
(marketing.validation_failures_open). Writing the log is in log.py, its export in others.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from outreach_assets.steps.failures.kinds import FailureType
from outreach_assets.steps.preview import masked
from outreach_assets.steps.record import NotMigratedError
from outreach_core.postgres import (
    Connection,
    Postgres,
    UndefinedColumn,
    UndefinedSchema,
    UndefinedTable,
)
from outreach_core.states import UNASSIGNED

IN_STATES = f"""
    (%(states)s::text[] IS NULL OR coalesce(state, '{UNASSIGNED}') = ANY(%(states)s))"""

OPEN = f"""
    SELECT *, CASE failure_type WHEN 'person' THEN person_id ELSE company_id END AS record_id,
        CASE failure_type WHEN 'person' THEN person_name ELSE company_name END AS record_name
    FROM marketing.validation_failures_open
    WHERE mended_at IS NULL AND failure_type = ANY(%(types)s) AND {IN_STATES}"""

LIST = f"""
    SELECT failure_type, record_id, record_name, state, fail_reason, seen_at, pipeline_id,
        exported_to_b2 IS TRUE, count(*) OVER ()
    FROM ({OPEN}) AS failing ORDER BY seen_at DESC NULLS LAST, id DESC LIMIT %(limit)s"""

COUNTS = f"""
    WITH failing AS MATERIALIZED ({OPEN})
    SELECT 'state', coalesce(state, '{UNASSIGNED}'), failure_type, count(*)
    FROM failing GROUP BY 2, 3
    UNION ALL
    SELECT 'reason', trim(reason), failure_type, count(*)
    FROM failing, unnest(string_to_array(fail_reason, ';')) AS reason
    WHERE trim(reason) <> '' GROUP BY 2, 3"""

UNEXPORTED = f"""
    SELECT failure_type, count(*), min(coalesce(validation_timestamp, created_at))
    FROM marketing.validation_failures_log
    WHERE exported_to_b2 IS NOT TRUE AND failure_type = ANY(%(types)s) AND {IN_STATES}
    GROUP BY 1"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which failures somebody asks for."""

    types: Sequence[FailureType] = tuple(FailureType)
    states: Sequence[str] | None = None
    """None for all; rows that name none are unassigned."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A record that fails, as it failed last."""

    failure_type: str
    record_id: str | None
    name: str | None
    """A person's is masked."""

    state: str | None
    fail_reason: str
    seen_at: datetime | None
    """When a validation found it last."""

    pipeline_id: str
    is_exported: bool


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Log rows that no export has taken yet."""

    rows: int
    since: datetime | None


@dataclass(frozen=True, kw_only=True)
class FailureStats:
    """How many records fail, by failure type in the end: `{"WV": {"company": 3}}`."""

    by_state: Mapping[str, Mapping[str, int]]
    by_reason: Mapping[str, Mapping[str, int]]
    """The commonest first. A record with two reasons counts in both."""

    unexported: Mapping[str, Waiting]

    @property
    def by_type(self) -> dict[str, int]:
        """How many records of each type."""
        return {
            type_.value: sum(counts.get(type_, 0) for counts in self.by_state.values())
            for type_ in FailureType
        }


def newest_failures(postgres: Postgres, wanted: Wanted, *, limit: int) -> tuple[list[Failure], int]:
    """The newest failures, and how many there are in all. Raises NotMigratedError."""
    with _reading(postgres) as connection:
        rows = connection.execute(LIST.encode(), {**_asked(wanted), "limit": limit}).fetchall()
    return [_failure(row) for row in rows], rows[0][-1] if rows else 0


def failure_stats(postgres: Postgres, wanted: Wanted) -> FailureStats:
    """Counts of one moment. Raises NotMigratedError."""
    found: dict[str, dict[str, dict[str, int]]] = {"state": {}, "reason": {}}
    with _reading(postgres) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for kind, name, type_, count in connection.execute(COUNTS.encode(), _asked(wanted)):
            found[kind].setdefault(name, {})[type_] = count
        waiting = connection.execute(UNEXPORTED.encode(), _asked(wanted)).fetchall()
    reasons = sorted(found["reason"].items(), key=lambda one: (-sum(one[1].values()), one[0]))
    return FailureStats(
        by_state=dict(sorted(found["state"].items())),
        by_reason=dict(reasons),
        unexported={
            type_: Waiting(rows=rows, since=_in_utc(since)) for type_, rows, since in waiting
        },
    )


def _asked(wanted: Wanted) -> dict[str, object]:
    states = None if wanted.states is None else list(wanted.states)
    return {"types": list(wanted.types), "states": states}


def _failure(row: Sequence[object]) -> Failure:
    type_, record_id, name, state, reason, seen_at, pipeline_id, is_exported, _ = row
    return Failure(
        failure_type=str(type_),
        record_id=None if record_id is None else str(record_id),
        name=None
        if name is None
        else (masked(str(name)) if type_ == FailureType.PERSON else str(name)),
        state=None if state is None else str(state),
        fail_reason=str(reason),
        seen_at=_in_utc(seen_at),
        pipeline_id=str(pipeline_id),
        is_exported=bool(is_exported),
    )


def _in_utc(moment: object) -> datetime | None:
    """Postgres answers in the zone of its session."""
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None


@contextmanager
def _reading(postgres: Postgres) -> Iterator[Connection]:
    try:
        with postgres.connect() as connection:
            yield connection
    except (UndefinedTable, UndefinedSchema, UndefinedColumn):
        raise NotMigratedError(
            f"{postgres.name} has no marketing.validation_failures_log as this version knows it: "
            "run `outreach db migrate`"
        ) from None
