"""One policy's folder into one destination: list both by hash, send what differs, prove it.

rclone does the moving (rclone.py); what is where is judged in Postgres
(outreach_core/file_destinations.py). Who backs up several at once is run.py.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from outreach_assets.steps.backups.listing import (
    SourceGoneError,
    ask_listing,
    ask_source,
    listed,
    listed_source,
    unread_folders,
)
from outreach_assets.steps.backups.mover import DestinationLostError, Moved, Mover
from outreach_assets.steps.backups.places import TO, SourcePlace
from outreach_assets.steps.backups.rclone import NotThereError, Question, Rclone, RcloneError
from outreach_assets.steps.backups.run_notes import changes_of, note_changes
from outreach_core.destinations import Destination
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.file_destinations import (
    Difference,
    ListedFile,
    Place,
    copy_in,
    drop_twins,
    folders_among,
    has_synced_files,
    note_listings,
    note_problem,
    note_tried,
    note_unreachable,
)
from outreach_core.policies import FolderPolicy, Source, deciding_policy, filter_rules
from outreach_core.policy_table import is_enabled
from outreach_core.postgres import Connection, DatabaseUnreachableError, Postgres

HASHES = ("md5", "sha1", "sha256", "quickxor", "dropbox", "blake3", "xxh3", "crc32")
"""What two sides are compared by: the first that both know."""

LOCK = 0x0047EAC5  # the first half of our advisory lock keys; the second is the place's hash
CHANGED = "it changed while it was copied, or is not there as it was sent: the next run looks again"
MAY_HAVE_TWINS = (Source.GOOGLE_DRIVE, Source.REMOTE)
TWINS = "the source has two files of this name, and which is meant nobody can tell: rename one"


class PlaceBusyError(RetryableError):
    """Another run is at work on the same policy and destination."""


class NoHashError(PermanentError):
    """Source and destination know no hash in common, so that nothing could be proven."""


class PolicyGoneError(PermanentError):
    """The policy was removed or switched off while it ran."""


class BackupProgress(Protocol):
    """Hears how far a backup is. May come from any thread."""

    def began(self, folder_id: str, destination: str, step: str) -> None:
        """Listing, copying or proving has begun."""

    def moved(self, folder_id: str, destination: str, moved: Moved) -> None:
        """So much has been copied."""


@dataclass(kw_only=True)
class Outcome:
    """What became of a policy at a destination."""

    folder_id: str
    destination: str
    files: int = 0
    """In the source."""

    synced: int = 0
    """There, by hash, at the end."""

    sent: int = 0
    sent_bytes: int = 0
    removed: int = 0
    without_bytes: int = 0
    """Google's own documents, which no two downloads give the same: they are left out."""

    failed: int = 0
    seconds: float = 0.0
    error: str | None = None
    """Why not all of it is there."""

    may_pass: bool = False
    """Whether that may go well when it is tried again."""

    unread: list[str] = field(default_factory=list)
    """Folders that could not be listed: what is in them is as it was before."""

    @property
    def is_done(self) -> bool:
        """True when everything of the source is there."""
        return self.error is None and self.failed == 0 and not self.unread

    @property
    def is_worth_a_retry(self) -> bool:
        """True when what is missing may be there the next time."""
        return self.may_pass or (self.error is None and self.failed > 0)

    @property
    def problem(self) -> str:
        """Why not all of it is there, in words; empty when it is."""
        says = [self.error] if self.error else []
        if self.failed and not self.error:
            says.append(f"{self.failed:,} files are not there (`outreach backup status`)")
        return "; ".join([*says, *(f"{folder} cannot be listed" for folder in self.unread)])


@dataclass(frozen=True, kw_only=True)
class Job:
    """One policy and one destination, and all that is needed for it."""

    postgres: Postgres
    rclone: Rclone
    policy: FolderPolicy
    source: SourcePlace
    destination: Destination
    policies: Sequence[FolderPolicy]
    """All there are: a nearer one decides for its own folder."""

    now: datetime
    progress: BackupProgress

    @property
    def place(self) -> Place:
        """Where its files are recorded."""
        return Place(
            folder_id=self.policy.folder_id,
            destination=self.destination.name,
            root=self.destination.files_of(self.policy.folder_id),
        )

    @property
    def target(self) -> str:
        """The newest files' place, as rclone names it."""
        # Without the / it would ask whether this is a file, for minutes where nobody answers.
        return f"{self.remote(self.place.root)}/"

    def remote(self, path: str) -> str:
        """A path at the destination, as rclone names it."""
        return f"{self.destination.remote or TO}:{path}"

    @property
    def rules(self) -> list[str]:
        """What of the source it takes, in rclone's words."""
        return filter_rules(self.policy, self.policies)

    def decides_for(self, path: str) -> bool:
        """True when the policy takes the file, and no nearer one decides for it."""
        whole = f"{self.policy.path}/{path}"
        decides = deciding_policy(self.policies, self.policy.source, whole)
        return decides == self.policy and self.policy.takes(whole)

    def reached(self, moved: Moved) -> None:
        """Say how far the copying is."""
        self.progress.moved(self.policy.folder_id, self.destination.name, moved)

    def step(self, name: str) -> None:
        """Say what is done now."""
        self.progress.began(self.policy.folder_id, self.destination.name, name)


def back_up(job: Job, outcome: Outcome) -> None:
    """Bring the policy's files there; `outcome` is told as it goes.

    Raises PlaceBusyError, SourceGoneError, NoHashError, PolicyGoneError, DestinationLostError, and
    what talking to rclone or Postgres raises. What is recorded for each file is true all the same.
    """
    with _alone(job) as still_wanted:
        difference = _compared(job, outcome)
        to_remove = [path for path in difference.not_in_source if job.decides_for(path)]
        outcome.files, outcome.failed = difference.files, difference.unreadable
        outcome.synced = difference.same
        if not difference.to_send and not to_remove:
            return
        still_wanted()
        lost = _bring(job, difference, to_remove, still_wanted)
        job.step("proving")
        tried = _proven(job, difference.to_send, to_remove, lost)
        outcome.sent, outcome.sent_bytes, outcome.removed = tried
        outcome.synced += outcome.sent
        outcome.failed += len(difference.to_send) - outcome.sent
        outcome.failed += len(to_remove) - outcome.removed
        if lost:
            raise DestinationLostError(lost)


@contextmanager
def _alone(job: Job) -> Iterator[Callable[[], None]]:
    """The place for this run alone; what it gives raises PolicyGoneError when nobody wants it."""
    name = f"{job.policy.folder_id}/{job.destination.name}"
    is_done = False

    def still_wanted() -> None:
        if not is_enabled(connection, job.policy.folder_id):
            raise PolicyGoneError("its policy was removed or switched off while it ran")

    try:
        with job.postgres.connect() as connection:
            # A pooler or Neon would end an idle transaction, and with it the lock.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", (LOCK, name)
            ).fetchone()
            if row is None or not row[0]:
                raise PlaceBusyError("another run is at work on it: wait for it")
            yield still_wanted
            is_done = True
    except DatabaseUnreachableError:
        if not is_done:
            raise


def _compared(job: Job, outcome: Outcome) -> Difference:
    """Both sides listed, at the same time, and judged. Raises as `back_up`."""
    job.step("listing")
    kind = _hash_in_common(job)
    asked = ask_source(job.rclone, job.source.fs, kind, job.rules)
    asked_there = ask_listing(job.rclone, job.target, kind)
    files = listed_source(asked, job.source.fs, kind)
    if job.policy.source is Source.GOOGLE_DRIVE:
        files = _with_bytes(files, outcome)
    with job.postgres.connect() as connection:
        copy_in(connection, "listed_source", files)
        twins = drop_twins(connection) if job.policy.source in MAY_HAVE_TWINS else []
        unread = unread_folders(job.rclone)
        outcome.unread += folders_among(connection, unread)
        _refuse_empty(connection, job)
        try:
            there = _listed_there(job, asked_there, kind)
        except DestinationLostError as error:
            note_unreachable(connection, job.place, str(error), now=job.now)
            lost = error
        else:
            copy_in(connection, "listed_destination", there)
            found = note_listings(connection, job.place, unread=unread, now=job.now)
            note_problem(connection, job.place, twins, TWINS)
            return found
    raise lost


def _with_bytes(files: Iterator[ListedFile], outcome: Outcome) -> Iterator[ListedFile]:
    for file in files:
        if file.size_bytes < 0:
            outcome.without_bytes += 1
        else:
            yield file


def _refuse_empty(connection: Connection, job: Job) -> None:
    """A folder whose disk is not mounted is empty too: nothing is removed because of it."""
    row = connection.execute("SELECT FROM listed_source LIMIT 1").fetchone()
    if row is None and has_synced_files(connection, job.place):
        raise SourceGoneError(
            f"{job.policy.path} is empty, and its backup is not: is it there at all? "
            "Nothing was removed; remove the policy if that is meant"
        )


def _listed_there(job: Job, asked: Question, kind: str) -> Iterator[ListedFile]:
    try:
        return listed(asked, kind)
    except NotThereError:
        bucket = job.destination.root.partition("/")[0]
        if job.destination.rclone.get("type") == "s3" and not _answers(job, bucket):
            raise DestinationLostError(f"there is no bucket {bucket}: make it first") from None
        return iter(())  # the first run's folder is made by what comes into it
    except RcloneError as error:
        raise DestinationLostError(f"{job.destination.name} cannot be listed: {error}") from None


def _answers(job: Job, bucket: str) -> bool:
    try:
        job.rclone.call("operations/list", fs=job.remote(bucket), remote="", opt={"dirsOnly": True})
    except NotThereError:
        return False
    return True


def _hash_in_common(job: Job) -> str:
    """What both sides can be compared by."""
    sides = (job.source.fs, job.remote(""))
    known = [set(job.rclone.call("operations/fsinfo", fs=fs)["Hashes"]) for fs in sides]
    for kind in HASHES:
        if all(kind in hashes for hashes in known):
            return kind
    raise NoHashError(
        "source and destination know no hash in common, and nothing could be proven: put rclone's "
        "hasher before the remote, or take another destination"
    )


def _bring(
    job: Job, difference: Difference, to_remove: Sequence[str], still_wanted: Callable[[], None]
) -> str | None:
    """Copy what differs and remove what is too much; why the destination was given up, if so."""
    job.step("copying")
    version = f"{job.now:%Y%m%d%H%M%S}"
    versions = f"{job.remote(job.destination.versions_of(job.policy.folder_id, version))}/"
    mover = Mover(job.rclone, job.reached, still_wanted)
    to_send = [file.path for file in difference.to_send]
    try:
        changes = changes_of(difference, to_remove, keeps=job.policy.keep_versions)
        note_changes(
            job.rclone, job.remote(job.destination.runs_of(job.policy.folder_id)), version, changes
        )
        if job.policy.keep_versions:
            mover.run("sync/copy", job.target, versions, difference.to_replace)
            unkept = job.rclone.errors.keys() & set(difference.to_replace)
            # What could not be kept must not be written over.
            to_send = [path for path in to_send if path not in unkept]
        mover.send(job.source.fs, job.target, to_send)
        if job.policy.keep_versions:
            mover.run("sync/move", job.target, versions, to_remove)
        else:
            mover.remove(job.target, to_remove)
    except (RcloneError, DestinationLostError) as error:
        return f"{job.destination.name}: {error}"
    return None


def _proven(
    job: Job, to_send: Sequence[ListedFile], to_remove: Sequence[str], lost: str | None
) -> tuple[int, int, int]:
    """Record what came of it, by what the destination holds now; as `note_tried`."""
    kind = _hash_in_common(job)
    said = {file.path: job.rclone.errors.get(file.path) for file in to_send}
    try:
        there = listed(ask_listing(job.rclone, job.target, kind), kind)
    except RcloneError as error:  # also a folder that is not there: nothing has come
        there, lost = iter(()), lost or f"{job.destination.name} cannot be listed: {error}"
    with job.postgres.connect() as connection:
        copy_in(connection, "listed_destination", there)
        return note_tried(
            connection, job.place, said, to_remove, unsaid=lost or CHANGED, now=job.now
        )
