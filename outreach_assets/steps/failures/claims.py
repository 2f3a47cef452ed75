"""Claiming failures for an export, in Postgres and before the first byte.

A claim is one short transaction that makes the batch, its rows, its format and its key durable.
Writing, uploading and marking a batch is export.py's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from b2_resources.keys import FailuresPlace, failures_key, failures_prefix
from outreach_assets.steps.failures.batches import (
    STATE_OF,
    SUMMED_STATE,
    WANTED,
    Batch,
    ExportOrder,
    wanted,
)
from outreach_assets.steps.failures.kinds import FailureType
from outreach_core.errors import RetryableError
from outreach_core.postgres import Connection, LockNotAvailable

LOCK = 0x6F75747265616366  # "outreacf": one claim at a time; falls with its transaction
LOCK_SECONDS = 60  # a claim of a million rows takes two to six
EVERYTHING = 2**31 - 1

# A row whose batch is exported and which says again that it is not, is to be exported again: the
# two are set in one transaction, so somebody wants it.
# Every row finds its batch without a join: Postgres expects one waiting row when its statistics
# are of a time when all were exported, and would loop over rows x batches. So a batch's id is the
# hash of what is in it, and of this claim.
CLAIM = f"""
    WITH waiting AS MATERIALIZED (
        SELECT id, failure_type, pipeline_id, state, was_exported, place,
            md5(concat_ws('/', %(claim)s::text, failure_type, place, pipeline_id))::uuid AS batch_id
        FROM (
            SELECT f.id, f.failure_type, f.pipeline_id, {STATE_OF} AS state,
                r.failure_id IS NOT NULL AS was_exported,
                (row_number() OVER (PARTITION BY f.failure_type, f.pipeline_id ORDER BY f.id) - 1)
                    / %(batch_size)s AS place
            FROM marketing.validation_failures_log f
                LEFT JOIN shq.failure_batch_rows r ON r.failure_id = f.id
            WHERE {WANTED} AND (r.batch_id IS NULL OR r.batch_id NOT IN (
                SELECT batch_id FROM shq.failure_batches WHERE status = 'claimed'))
        ) AS numbered
    ), claimed AS (
        INSERT INTO shq.failure_batch_rows (failure_id, batch_id)
        SELECT id, batch_id FROM waiting WHERE NOT was_exported ORDER BY id
    ), claimed_again AS (
        UPDATE shq.failure_batch_rows r SET batch_id = w.batch_id
        FROM waiting w WHERE w.was_exported AND r.failure_id = w.id
    )
    SELECT batch_id, failure_type, pipeline_id, {SUMMED_STATE}, (place + 1)::int, count(*)::int
    FROM waiting GROUP BY batch_id, failure_type, pipeline_id, place
    ORDER BY failure_type, pipeline_id, place"""

ADD_BATCHES = """
    INSERT INTO shq.failure_batches (batch_id, failure_type, pipeline_id, state, number, format,
        safe_cells, key, later, rows, claimed_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""

TAKEN = "SELECT key FROM shq.failure_batches WHERE key = ANY(%s)"


def claim_batches(connection: Connection, order: ExportOrder, *, now: datetime) -> list[Batch]:
    """Put every waiting row of the order into a batch with a key of its own, durably.

    Whoever claims at the same time waits for it. Raises RetryableError when that takes too long.
    """
    asked = {
        **wanted(order.types, order.state),
        "batch_size": order.batch_size or EVERYTHING,
        "claim": uuid4(),
    }
    with _claiming(connection):
        batches = [
            Batch(
                batch_id=batch_id,
                failure_type=FailureType(failure_type),
                pipeline_id=pipeline_id,
                state=state,
                number=number if order.batch_size else None,
                file_format=order.file_format,
                safe_cells=order.safe_cells,
                key="",
                rows=rows,
                claimed_at=now,
            )
            for batch_id, failure_type, pipeline_id, state, number, rows in connection.execute(
                CLAIM, asked
            )
        ]
        named = _with_free_keys(connection, batches, order.prefix)
        with connection.cursor() as cursor:
            cursor.executemany(ADD_BATCHES, [_added(batch) for batch in named])
    return named


def take_later_key(connection: Connection, batch: Batch) -> None:
    """Give a claimed batch whose key turned out to be taken the next free one, durably.

    Nothing happens when somebody else works on the batch meanwhile.
    """
    with _claiming(connection):
        ours = connection.execute(
            "SELECT FROM shq.failure_batches WHERE batch_id = %s AND key = %s "
            "AND status = 'claimed' FOR UPDATE SKIP LOCKED",
            (batch.batch_id, batch.key),
        ).fetchone()
        if ours is None:
            return
        prefix, later = failures_prefix(batch.key), batch.later + 1
        (renamed,) = _with_free_keys(connection, [batch], prefix, later=later)
        connection.execute(
            "UPDATE shq.failure_batches SET key = %s, later = %s WHERE batch_id = %s",
            (renamed.key, renamed.later, batch.batch_id),
        )


@contextmanager
def _claiming(connection: Connection) -> Iterator[None]:
    """A transaction in which nobody else claims rows or keys."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield
    except LockNotAvailable:
        raise RetryableError(
            f"another export has been claiming failures for {LOCK_SECONDS} s: wait for it or end it"
        ) from None


def _with_free_keys(
    connection: Connection, batches: Sequence[Batch], prefix: str, *, later: int = 1
) -> list[Batch]:
    """The batches with the first keys that no batch has; all of one pipeline equally late."""
    named: list[Batch] = []
    left = list(batches)
    while left:
        tried = [
            replace(batch, key=failures_key(prefix, _place(batch, later)), later=later)
            for batch in left
        ]
        found = connection.execute(TAKEN, ([batch.key for batch in tried],)).fetchall()
        taken = {key for (key,) in found} | {batch.key for batch in named}
        late = {_export(batch) for batch in tried if batch.key in taken}
        named += [batch for batch in tried if _export(batch) not in late]
        left = [batch for batch in left if _export(batch) in late]
        later += 1
    return named


def _export(batch: Batch) -> tuple[str, str]:
    """What of one claim belongs together and is named alike."""
    return batch.failure_type, batch.pipeline_id


def _place(batch: Batch, later: int) -> FailuresPlace:
    return FailuresPlace(
        exported_on=batch.claimed_at.astimezone(UTC).date(),
        failure_type=batch.failure_type,
        pipeline_id=batch.pipeline_id,
        extension=batch.file_format,
        batch=batch.number,
        later=later,
    )


def _added(batch: Batch) -> tuple[object, ...]:
    """The values of ADD_BATCHES."""
    return (
        batch.batch_id,
        batch.failure_type,
        batch.pipeline_id,
        batch.state,
        batch.number,
        batch.file_format,
        batch.safe_cells,
        batch.key,
        batch.later,
        batch.rows,
        batch.claimed_at,
    )
