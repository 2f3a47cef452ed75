"""One policy's folder into one destination: list both by hash, send what differs, prove it.

rclone does the moving (rclone.py); what is where is judged in Postgres
(outreach_core/file_destinations.py). Who backs up several at once is run.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from outreach_assets.steps.backups.encryptions import (
    recognise,
    refuse_other_passphrase,
)
from outreach_assets.steps.backups.job import Job, alone
from outreach_assets.steps.backups.listed_there import (
    HashKinds,
    answered_there,
    ask_there,
    copy_in_there,
    hash_kinds,
    left_behind,
)
from outreach_assets.steps.backups.mover import DestinationLostError, Mover
from outreach_assets.steps.backups.places import FROM
from outreach_assets.steps.backups.prove import prove
from outreach_assets.steps.backups.rclone import RcloneError
from outreach_assets.steps.backups.run_notes import changes_of, note_changes
from outreach_assets.steps.backups.source_listing import (
    SourceGoneError,
    ask_source,
    unread_folders,
)
from outreach_core.file_destinations import (
    Difference,
    ListedFile,
    copy_in_source,
    drop_twins,
    folders_among,
    has_synced_files,
    note_listings,
    note_problem,
    note_unreachable,
)
from outreach_core.policies import Source
from outreach_core.postgres import Connection

MAY_HAVE_TWINS = (Source.GOOGLE_DRIVE, Source.REMOTE)
TWINS = "the source has two files of this name, and which is meant nobody can tell: rename one"


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

    left_behind: str | None = None
    """What lies there from before the policy was switched to encryption, or from it."""

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


def back_up(job: Job, outcome: Outcome) -> None:
    """Bring the policy's files there; `outcome` is told as it goes.

    Raises PlaceBusyError, SourceGoneError, NoHashError, OtherPassphraseError, PolicyGoneError,
    DestinationLostError, and what talking to rclone or Postgres raises. What is recorded for each
    file is true all the same.
    """
    with alone(job) as still_wanted:
        refuse_other_passphrase(job)
        kinds = hash_kinds(job)
        difference = _compared(job, kinds, outcome)
        to_remove = [path for path in difference.not_in_source if job.decides_for(path)]
        outcome.files, outcome.failed = difference.files, difference.unreadable
        outcome.synced = difference.same
        outcome.left_behind = left_behind(job)
        recognised = recognise(job, difference.to_prove, kinds)
        outcome.synced += len(recognised)
        difference = difference.without(recognised)
        if not difference.to_send and not to_remove:
            return
        still_wanted()
        lost = _bring(job, difference, to_remove, still_wanted)
        job.step("proving")
        said = {file.path: job.rclone.errors.get(file.path) for file in difference.to_send}
        tried = prove(job, said, kinds, removed=to_remove, damaged=difference.damaged, lost=lost)
        outcome.sent, outcome.sent_bytes, outcome.removed = tried
        outcome.synced += outcome.sent
        outcome.failed += len(difference.to_send) - outcome.sent
        outcome.failed += len(to_remove) - outcome.removed
        if lost:
            raise DestinationLostError(lost)


def _compared(job: Job, kinds: HashKinds, outcome: Outcome) -> Difference:
    """Both sides listed, at the same time, and judged. Raises as `back_up`."""
    job.step("listing")
    asked = ask_source(job.rclone, f"{FROM}:", job.source.fs, kinds.source, job.rules)
    asked_there = ask_there(job, kinds.there)
    files, hashes = asked.answered()  # before a transaction is begun: that may take hours
    if job.policy.source is Source.GOOGLE_DRIVE:
        files = _with_bytes(files, outcome)
    with job.postgres.connect() as connection:
        copy_in_source(connection, files, hashes)
        twins = drop_twins(connection) if job.policy.source in MAY_HAVE_TWINS else []
        unread = unread_folders(job.rclone)
        outcome.unread += folders_among(connection, unread)
        _refuse_empty(connection, job)
        try:
            there = answered_there(job, asked_there, kinds.there)
        except DestinationLostError as error:
            note_unreachable(connection, job.place, str(error), now=job.now)
            lost = error
        else:
            copy_in_there(connection, job, there)
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


def _bring(
    job: Job, difference: Difference, to_remove: Sequence[str], still_wanted: Callable[[], None]
) -> str | None:
    """Copy what differs and remove what is too much; why the destination was given up, if so."""
    job.step("copying")
    version = f"{job.now:%Y%m%d%H%M%S}"
    held, versions = job.at.held_files, job.at.held_versions(version)
    mover = Mover(job.rclone, job.reached, still_wanted)
    to_send = [file.path for file in difference.to_send]
    try:
        changes = changes_of(difference, to_remove, keeps=job.policy.keep_versions)
        note_changes(job.rclone, job.at.clear("runs"), version, changes)
        if job.policy.keep_versions:
            mover.run("sync/copy", held, versions, difference.to_replace)
            unkept = job.rclone.errors.keys() & set(difference.to_replace)
            # What could not be kept must not be written over.
            to_send = [path for path in to_send if path not in unkept]
        mover.send(f"{FROM}:", job.at.files, to_send)
        if job.policy.keep_versions:
            mover.run("sync/move", held, versions, to_remove)
        else:
            mover.remove(held, to_remove)
    except (RcloneError, DestinationLostError) as error:
        return f"{job.destination.name}: {error}"
    return None
