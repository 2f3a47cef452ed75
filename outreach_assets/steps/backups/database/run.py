"""One dump of the database to several destinations, each by itself: a dead one stops no other.

What a dump is is said in dump.py, what a destination keeps in shelf.py. Every outcome is in the
audit log.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event

from outreach_assets.steps.backups.database.dump import dump
from outreach_assets.steps.backups.database.receipt import Receipt
from outreach_assets.steps.backups.database.shelf import Keep, Shelf
from outreach_assets.steps.backups.every_place import Tell
from outreach_assets.steps.backups.job import BackupProgress, PlaceBusyError
from outreach_assets.steps.backups.mover import Moved, Mover
from outreach_assets.steps.backups.places import destination_place, rclone_for
from outreach_assets.steps.backups.rclone import (
    Rclone,
    RcloneMissingError,
    StoppedError,
    rclone_program,
)
from outreach_assets.steps.private_duckdb import Duck, disk_errors, own_folder
from outreach_core.audit import open_log, write_event
from outreach_core.destinations import all_destinations, destination_named
from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.policies import NEON
from outreach_core.postgres import DatabaseUnreachableError, Postgres
from outreach_core.settings import Settings

DATABASE_BACKUP = "outreach_database_backup"
"""What became of a backup of the database at a destination."""

DONE_IN_RUN = """
    SELECT details ->> 'destination' FROM shq.audit_log
    WHERE event_type = %s AND details ->> 'run_id' = %s AND details ->> 'error' IS NULL"""

LOCK = 0x0047EAC6
"""Our advisory lock: two runs would each take the other's half for one that was cut short."""


class OldVersionsStayError(PermanentError):
    """The backup is there; what was kept long enough is there as well."""


@dataclass(kw_only=True)
class DatabaseOutcome:
    """What became of a version at a destination."""

    destination: str
    version: str
    rows: int = 0
    bytes: int = 0
    removed: list[str] = field(default_factory=list)
    """Older versions that were kept long enough, or were cut short."""

    seconds: float = 0.0
    """From the dump's end."""

    error: str | None = None
    """Why it is not there."""

    may_pass: bool = False
    """Whether that may go well when it is tried again."""


@dataclass(frozen=True, kw_only=True)
class DatabaseBackup:
    """What is backed up, and how it is told about."""

    postgres: Postgres
    settings: Settings
    open_duck: Callable[[], AbstractContextManager[Duck]]
    now: datetime
    run_id: str
    progress: BackupProgress
    event: Tell
    running: list[Rclone] = field(default_factory=list)
    stopping: Event = field(default_factory=Event)

    def run(self, destinations: Sequence[str] = ()) -> tuple[Receipt, list[DatabaseOutcome]]:
        """What was dumped, and its outcome at these destinations; at all that are set up otherwise.

        A retry of a Dagster run leaves alone where the run has brought it already.

        Raises DestinationError, PlaceBusyError, RcloneMissingError, AuditLogMissingError and what
        `dump` raises: then nothing has gone anywhere.
        """
        for name in destinations:
            destination_named(self.settings, name)
        program = rclone_program(self.settings.outreach_rclone)
        spill = self.settings.home / "spill"
        with self._alone() as done, own_folder(spill) as folder, disk_errors(spill):
            names = [n for n in destinations or set_up(self.settings) if n not in done]
            self.progress.began(NEON, "Parquet files", "dumping")
            with self.open_duck() as duck:
                version = f"{self.now:%Y%m%d%H%M%S}"
                receipt = dump(duck, self.postgres, folder, version=version, run_id=self.run_id)
            return receipt, self._to_all(program, names, folder, receipt)

    def _to_all(
        self, program: str, names: Sequence[str], folder: Path, receipt: Receipt
    ) -> list[DatabaseOutcome]:
        with ThreadPoolExecutor(len(names) or 1) as threads:
            begun = [threads.submit(self._to, program, name, folder, receipt) for name in names]
            try:
                return [one.result() for one in begun]
            except BaseException:
                self.stopping.set()
                for rclone in list(self.running):
                    rclone.stop()
                raise

    def _to(self, program: str, name: str, folder: Path, receipt: Receipt) -> DatabaseOutcome:
        outcome = DatabaseOutcome(destination=name, version=receipt.version)
        began = time.monotonic()
        try:
            self._put(program, folder, receipt, outcome)
        except (RcloneMissingError, StoppedError):
            raise
        except OutreachError as error:
            outcome.error, outcome.may_pass = str(error), isinstance(error, RetryableError)
        outcome.seconds = round(time.monotonic() - began, 2)
        with self.postgres.connect() as connection:
            write_event(connection, self.event(DATABASE_BACKUP, vars(outcome)))
        return outcome

    def _put(self, program: str, folder: Path, receipt: Receipt, outcome: DatabaseOutcome) -> None:
        keep = Keep(
            versions=self.settings.outreach_backup_database_keep,
            days=self.settings.outreach_backup_database_keep_days,
        )
        with opened_shelf(self.settings, program, outcome.destination, self.progress) as shelf:
            self.running.append(shelf.rclone)
            if self.stopping.is_set():
                shelf.rclone.stop()
            self.progress.began(NEON, outcome.destination, "copying")
            shelf.put(folder, receipt)
            outcome.rows, outcome.bytes = receipt.rows, receipt.size_bytes
            try:
                outcome.removed = shelf.prune(keep, self.now, receipt.version)
            except RetryableError as error:
                raise OldVersionsStayError(
                    f"version {receipt.version} is there, but older ones could not be removed: "
                    f"{error}"
                ) from error

    @contextmanager
    def _alone(self) -> Iterator[set[str]]:
        """No other run meanwhile; where this one has brought it in an earlier attempt."""
        is_done = False
        try:
            with open_log(self.postgres) as connection:
                # A pooler or Neon would end an idle transaction, and with it the lock.
                connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                before = connection.execute(DONE_IN_RUN, (DATABASE_BACKUP, self.run_id)).fetchall()
                row = connection.execute(
                    "SELECT pg_try_advisory_xact_lock(%s, 0)", (LOCK,)
                ).fetchone()
                if row != (True,):
                    raise PlaceBusyError("another run backs up the database: wait for it")
                yield {name for (name,) in before}
                is_done = True
        except DatabaseUnreachableError:
            if not is_done:
                raise


def set_up(settings: Settings) -> list[str]:
    """The destinations that the settings describe; one of them at least, the local one."""
    return [name for name, one in all_destinations(settings).items() if not one.missing]


@contextmanager
def opened_shelf(
    settings: Settings, program: str, name: str, progress: BackupProgress | None = None
) -> Iterator[Shelf]:
    """The database's backups at that destination, with an rclone that ends with the block.

    What is put there is encrypted when there is a passphrase. Raises DestinationError or
    RcloneMissingError.
    """

    def reached(moved: Moved) -> None:
        if progress:
            progress.moved(NEON, name, moved)

    destination = destination_named(settings, name)
    encrypted = settings.outreach_backup_passphrase is not None
    place = destination_place(settings, program, destination, NEON, encrypted=encrypted)
    with rclone_for(settings, program, destination, None, place) as rclone:
        mover = Mover(rclone, reached, lambda: None)
        yield Shelf(rclone=rclone, destination=destination, place=place, mover=mover)
