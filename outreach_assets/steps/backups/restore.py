"""A policy's files back into a folder: from the destination that answers first, proven by hash.

Which files is in restore_plan.py, how they come into the folder in restore_folder.py. It also
works with what a destination holds alone, without a database.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from outreach_assets.steps.backups.as_it_was import UnknownTimeError
from outreach_assets.steps.backups.every_place import Tell
from outreach_assets.steps.backups.fetch import Hashes, Offer, fetch
from outreach_assets.steps.backups.job import BackupProgress
from outreach_assets.steps.backups.kept import KeptFolder, Wanted, by_answer, opened
from outreach_assets.steps.backups.restore_folder import RestoreFolder, restore_folder
from outreach_assets.steps.backups.restore_plan import Plan, Wish, planned
from outreach_assets.steps.backups.run_notes import StrangeNoteError
from outreach_core.audit import write_event
from outreach_core.destinations import Destination, all_destinations, destination_named
from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import list_policies
from outreach_core.postgres import DatabaseUnreachableError, Postgres
from outreach_core.restorable_files import RecordedFile, known_places, recorded_files
from outreach_core.settings import Settings


class NothingToRestoreError(PermanentError):
    """No destination has such files."""


BACKUP_RESTORED = "outreach_backup_restored"
"""What came back into which folder."""

NOT_THIS_ONE = (NothingToRestoreError, UnknownTimeError, StrangeNoteError)
"""What one destination cannot do, and another perhaps can."""

OCCUPIED = "something else has come under its name meanwhile"


@dataclass(kw_only=True)
class Restored:
    """What came of a restore."""

    folder_id: str
    to: str
    path: str | None = None
    at: datetime | None = None
    version: str | None = None
    """The run whose result it is, for a restore at a time."""

    files: int = 0
    """Wanted."""

    there: int = 0
    """Were in the folder already."""

    resumed: int = 0
    """Had been fetched before, by a restore that was killed or a destination that was lost."""

    fetched: dict[str, int] = field(default_factory=dict)
    """Files by the destination that they came from."""

    fetched_bytes: int = 0
    unproven: int = 0
    """Of those that are there: only the destination vouches for them."""

    refused: dict[str, str] = field(default_factory=dict)
    """Destinations that could not be used, and why."""

    damaged: dict[str, dict[str, str]] = field(default_factory=dict)
    """By destination what it could not give, and why; another may have given it."""

    lacking: list[str] = field(default_factory=list)
    """Files that no destination could give."""

    lost: list[str] = field(default_factory=list)
    """Files of that time that a later run replaced or removed without keeping them."""

    outdated: list[str] = field(default_factory=list)
    """Files whose newest content was never backed up."""

    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        """True when everything that was wanted is in the folder."""
        return not (self.lacking or self.lost or self.outdated)


@dataclass(frozen=True, kw_only=True)
class Restore:
    """What to restore, where to, and how it is told about."""

    postgres: Postgres | None
    """None: the database is not asked, and hears nothing."""

    settings: Settings
    folder_id: str
    to: Path
    path: str | None = None
    at: datetime | None = None
    source: str | None = None
    """The one destination to take it from; None is whoever answers first, then the others."""

    encrypted: bool | None = None
    """Which of a policy's files, when it was switched; None is as the policy says."""

    progress: BackupProgress
    event: Tell

    def run(self) -> Restored:
        """Bring them there; what could not be had is named in what it gives.

        Raises NothingToRestoreError, NothingAnswersError, UnknownTimeError, and what the folder
        raises: InTheWayError, CannotWriteError, RestoreBusyError.
        """
        began = time.monotonic()
        to = self.to.expanduser().absolute()
        done = Restored(folder_id=self.folder_id, to=str(to), path=self.path, at=self.at)
        recorded, policy = self._recorded(), self._policy()
        destinations = self._destinations(policy, done)
        encrypted = policy.encrypted if policy and self.encrypted is None else self.encrypted
        if policy and policy.encrypted != encrypted:
            recorded = None  # the table speaks of the others
        wish = Wish(path=self.path, at=self.at, recorded=recorded)
        wanted = Wanted(settings=self.settings, folder_id=self.folder_id, encrypted=encrypted)
        if len(destinations) > 1:
            destinations, refused = by_answer(wanted, destinations)
            done.refused |= refused
        with restore_folder(to) as folder:
            _Restoring(self, wanted, wish, folder, done).from_each(destinations)
        done.seconds = time.monotonic() - began
        self._record(done)
        return done

    def _recorded(self) -> Mapping[str, RecordedFile] | None:
        try:
            return recorded_files(self.postgres, self.folder_id) if self.postgres else None
        except DatabaseUnreachableError as error:
            raise DatabaseUnreachableError(
                f"{error}; --without-database restores what a destination holds all the same"
            ) from error

    def _policy(self) -> FolderPolicy | None:
        every = list_policies(self.postgres) if self.postgres else []
        return next((policy for policy in every if policy.folder_id == self.folder_id), None)

    def _destinations(self, policy: FolderPolicy | None, done: Restored) -> list[Destination]:
        """That named; those that the policy or the table names; or all there are."""
        if self.source:
            return [destination_named(self.settings, self.source)]
        every = all_destinations(self.settings)
        names = self._names(policy) or [name for name, one in every.items() if not one.missing]
        for name in names:
            missing = every[name].missing if name in every else "no setting names it"
            if missing:
                done.refused[name] = missing
        found = [every[name] for name in names if name not in done.refused]
        if not found:
            raise NothingToRestoreError(
                f"{self.folder_id} is at {', '.join(names)}, and none of them is set up here: see "
                "`outreach backup destinations`"
            )
        return found

    def _names(self, policy: FolderPolicy | None) -> list[str]:
        known = known_places(self.postgres, self.folder_id) if self.postgres else []
        return sorted({*(policy.destinations if policy else ()), *(name for _, name in known)})

    def _record(self, done: Restored) -> None:
        if self.postgres is None:
            return
        lists = ("lacking", "lost", "outdated")
        details = {
            **vars(done),
            **{name: len(getattr(done, name)) for name in lists},
            "damaged": {name: len(files) for name, files in done.damaged.items()},
            "at": done.at and done.at.isoformat(),
            "seconds": round(done.seconds, 2),
        }
        with self.postgres.connect() as connection:
            write_event(connection, self.event(BACKUP_RESTORED, details))


@dataclass
class _Restoring:
    """The work of one restore, from destination to destination."""

    restore: Restore
    wanted: Wanted
    wish: Wish
    folder: RestoreFolder
    done: Restored
    lacking: dict[str, Hashes] | None = None
    """What is still to come; None before the first destination has said what there is."""

    def from_each(self, destinations: Sequence[Destination]) -> None:
        """Raises what the last destination raises, when none could say what there is."""
        last: OutreachError | None = None
        for destination in destinations:
            if self.lacking is not None and not self.lacking:
                break
            try:
                with opened(self.wanted, destination) as kept:
                    self._from_one(kept)
            except (RetryableError, *NOT_THIS_ONE) as error:
                self.done.refused[destination.name] = str(error)
                last = error
        if self.lacking is None:
            raise last or NothingToRestoreError("no destination was asked")
        self.done.lacking = sorted(self.lacking)

    def _from_one(self, kept: KeptFolder) -> None:
        name = kept.destination.name
        self.restore.progress.began(self.restore.folder_id, name, "listing")
        plan = planned(kept, self.wish)
        if self.lacking is None:
            self.lacking = self._begun(kept, plan)
        offers = {
            path: Offer(kept=plan.offers[path].kept, hashes=hashes or plan.offers[path].hashes)
            for path, hashes in self.lacking.items()
            if path in plan.offers
        }
        arrived = self.folder.arrived(kept.rclone, {p: o.hashes for p, o in offers.items()})
        coming = {path: offer for path, offer in offers.items() if path not in arrived}
        self.folder.check_room(sum(offer.kept.size_bytes for offer in coming.values()))
        self.restore.progress.began(self.restore.folder_id, name, "copying")
        heard = partial(self.restore.progress.moved, self.restore.folder_id, name)
        failed = fetch(kept, coming, self.folder.arriving, heard, of=plan.of)
        occupied = self.folder.put_in_place(kept.rclone, offers.keys() - failed.keys())
        self.done.resumed += len(arrived)
        self._note(name, failed | dict.fromkeys(occupied, OCCUPIED), coming, arrived)

    def _begun(self, kept: KeptFolder, plan: Plan) -> dict[str, Hashes]:
        """What is to come, of all that is wanted."""
        done = self.done
        missing = {path: frozenset([hash_]) for path, hash_ in plan.missing.items()}
        wanted = {path: offer.hashes for path, offer in plan.offers.items()} | missing
        if not wanted and not plan.lost:
            raise NothingToRestoreError(
                f"{kept.destination.name} has nothing of {done.folder_id}"
                f"{f' under {done.path!r}' if done.path else ''}"
                f"{f' as of {done.at:%Y-%m-%d %H:%M:%S}' if done.at else ''}"
            )
        there = self.folder.whole(kept.rclone, wanted)
        done.files, done.there, done.version = len(wanted), len(there), plan.version
        done.lost, done.outdated = list(plan.lost), list(plan.outdated)
        done.unproven = len(plan.unproven)
        return {path: hashes for path, hashes in wanted.items() if path not in there}

    def _note(
        self,
        name: str,
        failed: Mapping[str, str],
        coming: Mapping[str, Offer],
        arrived: Iterable[str],
    ) -> None:
        assert self.lacking is not None  # noqa: S101 the first destination has said what there is
        if failed:
            self.done.damaged[name] = dict(sorted(failed.items()))
        fetched = coming.keys() - failed.keys()
        if fetched:
            self.done.fetched[name] = len(fetched)
        self.done.fetched_bytes += sum(coming[path].kept.size_bytes for path in fetched)
        for path in {*fetched, *arrived} - failed.keys():
            del self.lacking[path]
