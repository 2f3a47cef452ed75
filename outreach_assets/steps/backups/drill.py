"""Restore drills: a random sample from each destination into an empty folder, compared there.

It is what restore.py would do, from every destination and not only from the first to answer. The
history is in outreach_core/drill_table.py.
"""

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event

from outreach_assets.steps.backups.as_it_was import FILES, Kept
from outreach_assets.steps.backups.every_place import Tell
from outreach_assets.steps.backups.fetch import Hashes, Offer, fetch, whole_in
from outreach_assets.steps.backups.job import BackupProgress
from outreach_assets.steps.backups.kept import KeptFolder, Wanted, check_is_there, opened
from outreach_assets.steps.backups.places import FROM, source_place
from outreach_assets.steps.backups.rclone import (
    Rclone,
    RcloneError,
    RcloneMissingError,
    StoppedError,
)
from outreach_assets.steps.backups.restore_folder import CannotWriteError, listed_names
from outreach_core.audit import write_event
from outreach_core.destinations import destination_named
from outreach_core.drill_table import DrillResult, note_drill
from outreach_core.errors import OutreachError, PermanentError
from outreach_core.file_destinations import ListedFile
from outreach_core.life_marks import living_folder
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import list_policies
from outreach_core.postgres import Postgres
from outreach_core.restorable_files import known_places, sample_of
from outreach_core.settings import Settings

BACKUP_DRILLED = "outreach_backup_drilled"
"""What came of a drill, for one policy and destination."""

FOLDER = "drills"
"""Below OUTREACH_HOME; what is restored there is gone again when the drill ends."""


class NothingToDrillError(PermanentError):
    """No file is known to be anywhere, or not there."""


@dataclass(kw_only=True)
class _Tried:
    """What has come of one place so far."""

    sample: Sequence[ListedFile] = ()
    restored: Sequence[ListedFile] = ()
    same_as_source: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Drill:
    """What to try, and how it is told about."""

    postgres: Postgres
    settings: Settings
    drill_id: str
    seed: str
    files: int
    """So many of each policy and destination."""

    now: datetime
    progress: BackupProgress
    event: Tell
    running: list[Rclone] = field(default_factory=list)
    stopping: Event = field(default_factory=Event)

    def run(
        self, *, folder_id: str | None = None, destination: str | None = None
    ) -> list[DrillResult]:
        """What came of it at each place; all that policies name, or only those named.

        A dead destination stops no other. Raises NothingToDrillError, RcloneMissingError and what
        Postgres raises.
        """
        policies = {policy.folder_id: policy for policy in list_policies(self.postgres)}
        wanted: dict[str, list[str]] = {}
        for folder, there in known_places(self.postgres, folder_id):
            is_named = folder_id is not None or (
                folder in policies and there in policies[folder].destinations
            )
            if is_named and destination in (None, there):
                wanted.setdefault(there, []).append(folder)
        if not wanted:
            raise NothingToDrillError(
                f"nothing{f' of {folder_id}' if folder_id else ''} is known to be "
                f"{f'at {destination}' if destination else 'anywhere'}: see `outreach backup "
                "status`; `outreach backup run` brings it there"
            )
        with ThreadPoolExecutor(len(wanted)) as threads:
            begun = [
                threads.submit(self._at_destination, there, folders, policies)
                for there, folders in wanted.items()
            ]
            try:
                return [result for one in begun for result in one.result()]
            except BaseException:
                self.stopping.set()
                for rclone in tuple(self.running):
                    rclone.stop()
                raise

    def _at_destination(
        self, name: str, folders: Sequence[str], policies: dict[str, FolderPolicy]
    ) -> list[DrillResult]:
        return [self._at_place(folder, name, policies.get(folder)) for folder in folders]

    def _at_place(self, folder_id: str, name: str, policy: FolderPolicy | None) -> DrillResult:
        tried, began = _Tried(), time.monotonic()
        try:
            self._try(folder_id, name, policy, tried)
        except (RcloneMissingError, StoppedError):
            raise
        except OutreachError as error:
            tried.error = str(error)
        result = DrillResult(
            drill_id=self.drill_id,
            folder_id=folder_id,
            destination=name,
            drilled_at=self.now,
            seed=self.seed,
            files=len(tried.sample),
            bytes=sum(file.size_bytes for file in tried.sample),
            restored=len(tried.restored),
            restored_bytes=sum(file.size_bytes for file in tried.restored),
            same_as_source=tried.same_as_source,
            seconds=round(time.monotonic() - began, 3),
            is_passed=tried.error is None,
            error=tried.error,
        )
        details = {**vars(result), "drilled_at": self.now.isoformat()}
        with self.postgres.connect() as connection:
            note_drill(connection, result)
            write_event(connection, self.event(BACKUP_DRILLED, details))
        return result

    def _try(self, folder_id: str, name: str, policy: FolderPolicy | None, tried: _Tried) -> None:
        tried.sample = sample_of(self.postgres, folder_id, name, files=self.files, seed=self.seed)
        destination = destination_named(self.settings, name)
        wanted = Wanted(
            settings=self.settings,
            folder_id=folder_id,
            encrypted=policy.encrypted if policy else None,
            source=source_place(self.settings, policy) if policy else None,
        )
        with (
            living_folder(self.settings.home / FOLDER, "drill") as folder,
            opened(wanted, destination) as kept,
        ):
            self.running.append(kept.rclone)
            if self.stopping.is_set():
                kept.rclone.stop()
            self._restore(kept, folder, tried)
            tried.same_as_source = _same_in_source(kept.rclone, tried.restored) if policy else 0

    def _restore(self, kept: KeptFolder, folder: Path, tried: _Tried) -> None:
        size, free = sum(f.size_bytes for f in tried.sample), shutil.disk_usage(folder).free
        if size > free:
            raise CannotWriteError(
                f"the sample has {size:,} bytes, and {free:,} are free below OUTREACH_HOME: make "
                "room, or try fewer files"
            )
        check_is_there(kept)
        self.progress.began(kept.folder_id, kept.destination.name, "copying")
        offers = {
            file.path: Offer(
                kept=Kept(below=FILES, size_bytes=file.size_bytes), hashes=_hashes(file)
            )
            for file in tried.sample
        }
        heard = partial(self.progress.moved, kept.folder_id, kept.destination.name)
        failed = fetch(kept, offers, folder, heard)
        tried.restored = [file for file in tried.sample if file.path not in failed]
        if failed:
            named = listed_names(f"{path}: {why}" for path, why in failed.items())
            tried.error = f"{len(failed):,} of {len(offers):,} files did not come back: {named}"


def _same_in_source(rclone: Rclone, files: Sequence[ListedFile]) -> int:
    """How many the source still has; none when it is gone, which says nothing of the backup."""
    if not files:
        return 0
    try:
        return len(whole_in(rclone, f"{FROM}:", {file.path: _hashes(file) for file in files}))
    except RcloneError:
        return 0


def _hashes(file: ListedFile) -> Hashes:
    return frozenset([file.hash] if file.hash else [])
