"""One policy's folder into one destination: list both by hash, send what differs, prove it.

rclone does the moving (rclone.py); what is where is judged in Postgres
(outreach_core/file_destinations.py). Who backs up several at once is run.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from outreach_assets.steps.backups.encryptions import encryptions
from outreach_assets.steps.backups.job import Job, alone
from outreach_assets.steps.backups.listed_there import (
    answered_there,
    ask_there,
    copy_in_there,
    hash_kinds,
    left_behind,
)
from outreach_assets.steps.backups.listing import (
    SourceGoneError,
    ask_source,
    listed,
    listed_source,
    unread_folders,
)
from outreach_assets.steps.backups.mover import DestinationLostError, Mover
from outreach_assets.steps.backups.places import FROM
from outreach_assets.steps.backups.rclone import RcloneError
from outreach_core.encrypted_destinations import (
    ProvenFile,
    has_other_passphrase,
    note_recognised,
)
from outreach_core.errors import PermanentError
from outreach_core.file_destinations import (
    Difference,
    copy_in,
    folders_among,
    has_synced_files,
    note_listings,
    note_tried,
    note_unreachable,
)
from outreach_core.postgres import Connection

CHANGED = "it changed while it was copied, or is not there as it was sent: the next run looks again"


class OtherPassphraseError(PermanentError):
    """What is there was encrypted with another passphrase than the one that is set."""


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
    failed: int = 0
    seconds: float = 0.0
    error: str | None = None
    """Why not all of it is there."""

    unread: list[str] = field(default_factory=list)
    """Folders that could not be listed: what is in them is as it was before."""

    left_behind: str | None = None
    """What lies there from before the policy was switched to encryption, or from it."""

    @property
    def is_done(self) -> bool:
        """True when everything of the source is there."""
        return self.error is None and self.failed == 0 and not self.unread


def back_up(job: Job, outcome: Outcome) -> None:
    """Bring the policy's files there; `outcome` is told as it goes.

    Raises PlaceBusyError, SourceGoneError, NoHashError, OtherPassphraseError, PolicyGoneError,
    DestinationLostError, and what talking to rclone or Postgres raises. What is recorded for each
    file is true all the same.
    """
    with alone(job) as still_wanted:
        _refuse_other_passphrase(job)
        difference = _compared(job, outcome)
        to_remove = [path for path in difference.not_in_source if job.decides_for(path)]
        outcome.files, outcome.failed = difference.files, difference.unreadable
        outcome.synced = difference.same
        outcome.left_behind = left_behind(job)
        difference = _without_recognised(job, difference, outcome)
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


def _compared(job: Job, outcome: Outcome) -> Difference:
    """Both sides listed, at the same time, and judged. Raises as `back_up`."""
    job.step("listing")
    kind = hash_kinds(job).source
    asked = ask_source(job.rclone, f"{FROM}:", kind, job.rules)
    asked_there = ask_there(job)
    files = listed_source(asked, job.source.fs, kind)
    with job.postgres.connect() as connection:
        copy_in(connection, "listed_source", files)
        unread = unread_folders(job.rclone)
        outcome.unread += folders_among(connection, unread)
        _refuse_empty(connection, job)
        try:
            there = answered_there(job, asked_there)
        except DestinationLostError as error:
            note_unreachable(connection, job.place, str(error), now=job.now)
            lost = error
        else:
            copy_in_there(connection, job, there)
            return note_listings(connection, job.place, unread=unread, now=job.now)
    raise lost


def _refuse_other_passphrase(job: Job) -> None:
    """A slip in the passphrase would send everything anew, for nobody to read."""
    if job.at.cipher is None:
        return
    with job.postgres.connect() as connection:
        if has_other_passphrase(connection, job.place) and not job.is_new_passphrase:
            raise OtherPassphraseError(
                "what is there was encrypted with another OUTREACH_BACKUP_PASSPHRASE or "
                "OUTREACH_BACKUP_SALT than is set now: set it back, or send everything anew by "
                "`outreach backup run --new-passphrase` (old versions keep the old one)"
            )


def _without_recognised(job: Job, difference: Difference, outcome: Outcome) -> Difference:
    """Files that came with a run that could not record them, or that no table knows, are there."""
    found = [
        file
        for file in encryptions(job, difference.to_prove)
        if difference.to_prove[file.path] == (file.hash, file.remote_hash)
    ]
    if not found:
        return difference
    with job.postgres.connect() as connection:
        note_recognised(connection, job.place, found, now=job.now)
    outcome.synced += len(found)
    paths = {file.path for file in found}
    return replace(
        difference,
        to_send=[(path, size) for path, size in difference.to_send if path not in paths],
        to_replace=[path for path in difference.to_replace if path not in paths],
    )


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
    to_send = [path for path, _ in difference.to_send]
    try:
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


def _proven(
    job: Job, to_send: Sequence[tuple[str, int]], to_remove: Sequence[str], lost: str | None
) -> tuple[int, int, int]:
    """Record what came of it, by what the destination holds now; as `note_tried`."""
    said = {path: job.rclone.errors.get(path) for path, _ in to_send}
    proven: list[ProvenFile] = list(encryptions(job, said))
    try:
        there = listed(ask_there(job), hash_kinds(job).there)
    except RcloneError as error:  # also a folder that is not there: nothing has come
        there, lost = iter(()), lost or f"{job.destination.name} cannot be listed: {error}"
    with job.postgres.connect() as connection:
        copy_in_there(connection, job, there, proven)
        return note_tried(
            connection, job.place, said, to_remove, unsaid=lost or CHANGED, now=job.now
        )
