"""The export of failures: every row reaches the store exactly once, whoever is killed or races.

A batch is claimed first (claims.py). Then, in one transaction that holds the batch: its
file is written, the store is asked what lies under its key, the file is put and read back, and
rows and batch are marked. A worker that dies lets go of the batch, and whoever exports next takes
it up under the same key; a second put has the same bytes. (DESIGN D7)
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from b2_resources.files import sha256_of
from b2_resources.object_store import (
    ObjectCorruptError,
    ObjectMissingError,
    ObjectStore,
    StoredObject,
    StoreRefusedError,
    StoreUnreachableError,
)
from outreach_assets.steps.failures.batches import (
    COLUMNS,
    Batch,
    ExportOrder,
    Waiting,
    as_batch,
    failure_batches,
    migrated,
    waiting_failures,
)
from outreach_assets.steps.failures.claims import claim_batches, take_later_key
from outreach_assets.steps.failures.formats import (
    FailureFile,
    Values,
    object_metadata,
    write_failures,
)
from outreach_assets.steps.failures.kinds import FailureFormat, FailureType
from outreach_assets.steps.private_duckdb import disk_errors, own_folder
from outreach_core.errors import OutreachError, RetryableError
from outreach_core.postgres import (
    Connection,
    DeadlockDetected,
    LockNotAvailable,
    Postgres,
    SerializationFailure,
)

__all__ = [  # what callers need, under one name
    "Batch",
    "ExportOrder",
    "ExportedBatch",
    "FailureFormat",
    "FailureType",
    "Waiting",
    "export_failures",
    "failure_batches",
    "waiting_failures",
]

ATTEMPTS = 20  # half a minute
CHANGED = (SerializationFailure, LockNotAvailable, DeadlockDetected)
"""A row or the batch changed since we looked, or somebody is changing it now."""

# Nobody else's: a worker that is alive holds its batch. Those with errors come last, and once.
NEXT = f"""
    SELECT {COLUMNS} FROM shq.failure_batches
    WHERE status = 'claimed' AND batch_id <> ALL(%s)
    ORDER BY claimed_at, key LIMIT 1 FOR UPDATE SKIP LOCKED"""

ROWS = """
    COPY (
        SELECT f.{type}_id, f.{type}_name, f.fail_reason, f.state,
            CASE WHEN isfinite(f.validation_timestamp)
                THEN (to_json(f.validation_timestamp AT TIME ZONE 'UTC') #>> '{{}}') || 'Z'
                ELSE f.validation_timestamp::text END,
            f.pipeline_id
        FROM shq.failure_batch_rows r JOIN marketing.validation_failures_log f
            ON f.id = r.failure_id
        WHERE r.batch_id = %s ORDER BY f.id
    ) TO STDOUT"""

MARK_ROWS = """
    UPDATE marketing.validation_failures_log f
    SET exported_to_b2 = true, exported_to_b2_at = %s
    FROM shq.failure_batch_rows r WHERE r.batch_id = %s AND f.id = r.failure_id"""

MARK_BATCH = """
    UPDATE shq.failure_batches
    SET status = 'exported', exported_at = %s, rows = %s, sha256 = %s, size_bytes = %s
    WHERE batch_id = %s"""


@dataclass(frozen=True, kw_only=True)
class ExportedBatch:
    """A batch that is in the store and marked."""

    batch_id: UUID
    failure_type: FailureType
    pipeline_id: str
    state: str
    """A code, `unassigned`, or `several`."""

    key: str
    rows: int
    size_bytes: int
    sha256: str
    taken_up: bool
    """Claimed by somebody else, who died or whom this call has helped."""


def export_failures(
    postgres: Postgres,
    store: ObjectStore,
    order: ExportOrder,
    *,
    folder: Path,
    now: datetime,
    exported: Callable[[ExportedBatch], None] = lambda _batch: None,
) -> list[ExportedBatch]:
    """Finish what others left, then claim and export what the order names; what was exported.

    Batches that are claimed already keep their own key and format, whatever the order says. Files
    are written below `folder` and removed again. `exported` hears of each batch once it is marked.

    One batch's error does not stop the others: the first is raised in the end. A store or a
    database that refuses or cannot be reached stops it at once (StoreRefusedError,
    StoreUnreachableError, DatabaseRefusedError, DatabaseUnreachableError); NotMigratedError when
    tables are missing. Calling it again is always harmless, and goes on where it stopped.
    """
    done: list[ExportedBatch] = []
    with (
        migrated(postgres),
        postgres.connect(autocommit=True) as connection,
        _work_folder(folder) as place,
    ):
        worker = _Worker(connection=connection, store=store, place=place, now=now)
        for batch in worker.exports():
            done.append(batch)
            exported(batch)
        claimed = claim_batches(connection, order, now=now)
        for batch in worker.exports(ours={batch.batch_id for batch in claimed}):
            done.append(batch)
            exported(batch)
    if worker.failed:
        raise next(iter(worker.failed.values()))
    return done


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """One process at work on whatever batches are free."""

    connection: Connection
    store: ObjectStore
    place: Path
    now: datetime
    failed: dict[UUID, OutreachError] = field(default_factory=dict)
    """Not tried again by this worker."""

    def exports(self, ours: Collection[UUID] = ()) -> Iterator[ExportedBatch]:
        """Export every batch that is claimed and that nobody works on."""
        attempts = 0
        while attempts < ATTEMPTS:
            try:
                with self._held_batch() as batch:
                    if batch is None:
                        return
                    done = self._export(batch, taken_up=batch.batch_id not in ours)
            except CHANGED:
                attempts += 1
                time.sleep(min(2, 0.02 * 2**attempts))
                continue
            if done is not None:
                attempts = 0
                yield done
            elif batch.batch_id not in self.failed:
                attempts += 1
                take_later_key(self.connection, batch)
        raise RetryableError(
            f"the failures of a batch were changed by others in {ATTEMPTS} attempts: export again"
        )

    @contextmanager
    def _held_batch(self) -> Iterator[Batch | None]:
        """The next free batch, nobody else's until the block ends; its rows as of one moment."""
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            # A pooler or Neon would end the transaction while the store takes its time.
            self.connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = self.connection.execute(NEXT.encode(), (list(self.failed),)).fetchone()
            yield None if row is None else as_batch(row)

    def _export(self, batch: Batch, *, taken_up: bool) -> ExportedBatch | None:
        """What was exported; None when the batch has failed or its key is somebody else's."""
        path = self.place / f"failures.{batch.file_format}"
        try:
            file = write_failures(path, self._rows(batch), batch.shape)
            if not self._is_put(batch, file):
                return None
        except (StoreRefusedError, StoreUnreachableError):
            raise
        except OutreachError as error:
            self.failed[batch.batch_id] = error
            return None
        finally:
            path.unlink(missing_ok=True)
        self._mark(batch, file)
        return ExportedBatch(
            batch_id=batch.batch_id,
            failure_type=batch.failure_type,
            pipeline_id=batch.pipeline_id,
            state=batch.state,
            key=batch.key,
            rows=file.rows,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            taken_up=taken_up,
        )

    def _rows(self, batch: Batch) -> Iterator[Values]:
        reading = ROWS.format(type=batch.failure_type)
        with (
            self.connection.cursor() as cursor,
            cursor.copy(reading.encode(), (batch.batch_id,)) as copy,
        ):
            yield from copy.rows()

    def _is_put(self, batch: Batch, file: FailureFile) -> bool:
        """True when the object is in the store, proven; False when another one is there."""
        there = head_or_none(self.store, batch.key)
        if there is not None and sha256_in(self.store, there) != file.sha256:
            if there.metadata.get("batch-id") != str(batch.batch_id):
                return False
            there = None  # by a worker who died, before a row changed
        if there is None:
            self.store.put_file(
                batch.key, file.path, metadata=self._metadata(batch, file), sha256=file.sha256
            )
        if sha256_of(self.store.stream(batch.key)) != file.sha256:
            raise ObjectCorruptError(
                f"{self.store.place_of(batch.key)} is not the file that was put: export again"
            )
        return True

    def _metadata(self, batch: Batch, file: FailureFile) -> dict[str, str]:
        return {
            "batch-id": str(batch.batch_id),
            **object_metadata(
                batch.failure_type, batch.pipeline_id, batch.state, rows=file.rows, now=self.now
            ),
        }

    def _mark(self, batch: Batch, file: FailureFile) -> None:
        """In the transaction that holds the batch: all of it is marked, or nothing."""
        # Whoever records failures updates the same rows in another order. Waiting for him while
        # he waits for us would end in his being aborted, so we step back instead.
        self.connection.execute("SET LOCAL lock_timeout = '20ms'")
        at = self.now.astimezone(UTC)
        self.connection.execute(MARK_ROWS, (at.replace(tzinfo=None), batch.batch_id))
        self.connection.execute(
            MARK_BATCH, (at, file.rows, file.sha256, file.size_bytes, batch.batch_id)
        )


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        with disk_errors(parent):
            place = stack.enter_context(own_folder(parent))
        yield place


def head_or_none(store: ObjectStore, key: str) -> StoredObject | None:
    """What lies under the key; None only when the store says that nothing does."""
    try:
        return store.head(key)
    except ObjectMissingError:
        return None


def sha256_in(store: ObjectStore, there: StoredObject) -> str:
    """The object's sha256; of one that came without, its bytes'."""
    return there.sha256 or sha256_of(store.stream(there.key))
