"""One policy at one destination: what was there is there still, by hash, and some of it by bytes.

Nothing is sent and nothing removed: what is not as it was gets a fault, which the next run or a
repair (repair.py) mends. Several at once are verified by verify_run.py.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from outreach_assets.steps.backups.back_up import MAY_HAVE_TWINS
from outreach_assets.steps.backups.encryptions import refuse_other_passphrase
from outreach_assets.steps.backups.job import Job, alone
from outreach_assets.steps.backups.listed_there import (
    HashKinds,
    answered_there,
    ask_there,
    copy_in_there,
    known_kinds,
)
from outreach_assets.steps.backups.mover import Moved
from outreach_assets.steps.backups.places import FROM
from outreach_assets.steps.backups.prove import read_hashes
from outreach_assets.steps.backups.rclone import RcloneError
from outreach_assets.steps.backups.source_listing import (
    ListedSource,
    SourceGoneError,
    ask_source,
    unread_folders,
)
from outreach_core.file_destinations import (
    copy_in_bytes,
    copy_in_source,
    drop_twins,
    folders_among,
)
from outreach_core.file_proofs import (
    Compared,
    Fault,
    Standing,
    ToRead,
    note_read,
    note_verified,
    standing,
    to_read,
)
from outreach_core.postgres import Connection

BATCH_FILES, BATCH_BYTES = 500, 1 << 30
"""After so many, what was read is recorded: who stops a verification loses no more than that."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How many of a place's files are read: a number, or a share of them."""

    files: int | None = None
    share: float = 0.05

    def of(self, files: int) -> int:
        """Of so many."""
        return math.ceil(files * self.share) if self.files is None else self.files


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification found of a policy at a destination."""

    folder_id: str
    destination: str
    files: int = 0
    """That were there once."""

    sound: int = 0
    """That are there still, by hash."""

    missing: int = 0
    replaced: int = 0
    damaged: int = 0
    """Whose bytes are others than the destination says, or cannot be read."""

    changed: int = 0
    """Whose source has changed since; the next run sends them."""

    waiting: int = 0
    """In the source, and never brought there yet."""

    unknown: int = 0
    """There, and nobody knows of them."""

    read: int = 0
    """Whose bytes were read and hashed now."""

    read_bytes: int = 0
    unread: int = 0
    """That were to be read and could not be, whatever the reason."""

    bytes_proven: int = 0
    """Sound ones whose bytes were proven within 30 days."""

    faults: Sequence[Fault] = field(default_factory=tuple)
    """The first hundred."""

    error: str | None = None
    """Why it was not verified to the end."""

    source_error: str | None = None
    """Why it was not compared with the whole source."""

    seconds: float = 0.0
    may_pass: bool = False
    """Whether it may go well when it is tried again."""

    @property
    def is_sound(self) -> bool:
        """True when all of it is there and could be looked at."""
        return self.sound == self.files and not (self.error or self.source_error or self.unread)

    @property
    def bytes_share(self) -> float | None:
        """The share of what is there whose bytes were proven within 30 days."""
        return self.bytes_proven / self.sound if self.sound else None


@dataclass(frozen=True, kw_only=True)
class _Read:
    """How far the reading came."""

    files: int = 0
    size_bytes: int = 0
    unread: int = 0
    error: str | None = None


def verify(job: Job, sample: Sample) -> Verification:
    """Compare source, destination and table by hash, then read a sample of what lies there.

    Raises PlaceBusyError, OtherPassphraseError, NoHashError, DestinationLostError, and what talking
    to rclone or Postgres raises; what was found until then is recorded.
    """
    with alone(job) as still_wanted:
        refuse_other_passphrase(job)
        compared, kinds, source_error = _compared(job)
        still_wanted()
        job.step("reading")
        read = _read(job, sample, kinds.there)
        stands = _standing(job)
    return Verification(
        folder_id=job.policy.folder_id,
        destination=job.destination.name,
        **vars(stands),
        changed=compared.changed,
        waiting=compared.waiting,
        unknown=compared.unknown,
        read=read.files,
        read_bytes=read.size_bytes,
        unread=read.unread,
        error=read.error,
        may_pass=read.error is not None,
        source_error=source_error,
    )


def _compared(job: Job) -> tuple[Compared, HashKinds, str | None]:
    """Both listings judged; by which hashes; and why the source was not wholly listed, if so."""
    job.step("listing")
    kinds = known_kinds(job)
    asked_there = ask_there(job, kinds.there)
    source, source_error = _listed_source(job, kinds.source)
    with job.postgres.connect() as connection:
        with_bytes = (file for file in source.files if file.size_bytes >= 0)
        copy_in_source(connection, with_bytes, source.hashes)
        if job.policy.source in MAY_HAVE_TWINS:
            drop_twins(connection)
        if source_error is None:
            source_error = _unread(connection, job)
        copy_in_there(connection, job, answered_there(job, asked_there, kinds.there))
        compared = note_verified(connection, job.place, kinds, now=job.now)
        is_there = standing(connection, job.place, now=job.now).files > 0
    if compared.is_source_empty and is_there and source_error is None:
        source_error = f"{job.policy.path} is empty, and its backup is not: is it there at all?"
    return compared, kinds, source_error


def _listed_source(job: Job, kind: str) -> tuple[ListedSource, str | None]:
    """What is there must be proven also when the source is gone: then most of all."""
    try:
        asked = ask_source(job.rclone, f"{FROM}:", job.source.fs, kind, job.rules)
        return asked.answered(), None
    except (SourceGoneError, RcloneError) as error:
        return ListedSource(iter(()), None), str(error)


def _unread(connection: Connection, job: Job) -> str | None:
    try:
        unread = folders_among(connection, unread_folders(job.rclone))
    except SourceGoneError as error:
        return str(error)
    return f"{', '.join(unread)} cannot be listed in the source" if unread else None


def _read(job: Job, sample: Sample, kind: str) -> _Read:
    """Read the files whose last proof is the oldest, and record what came out, batch by batch."""
    with job.postgres.connect() as connection:
        sound = standing(connection, job.place, now=job.now).sound
        wanted = to_read(connection, job.place, kind, sample.of(sound))
    files, size_bytes, unread = 0, 0, 0
    for batch in _batches(wanted):
        try:
            found = _hashes_of(job, batch, kind)
        except RcloneError as error:
            says = f"{job.destination.name} cannot be read: {error}"
            return _Read(files=files, size_bytes=size_bytes, unread=unread, error=says)
        with job.postgres.connect() as connection:
            copy_in_bytes(connection, found.items())
            note_read(connection, job.place, now=job.now)
        files += len(found)
        size_bytes += sum(file.size_bytes for file in batch if file.path in found)
        unread += len(batch) - len(found)
        job.reached(_moved(files, size_bytes, wanted))
    return _Read(files=files, size_bytes=size_bytes, unread=unread)


def _hashes_of(job: Job, batch: Sequence[ToRead], kind: str) -> dict[str, str]:
    found = read_hashes(job, [file.path for file in batch], kind)
    differ = [file.path for file in batch if found.get(file.path, file.hash) != file.hash]
    if differ:  # on the way, perhaps: damaged is what comes out wrong twice
        found |= read_hashes(job, differ, kind)
    return found


def _batches(files: Sequence[ToRead]) -> Iterator[list[ToRead]]:
    rest = iter(files)
    while some := list(islice(rest, BATCH_FILES)):
        batch: list[ToRead] = []
        for file in some:
            if batch and sum(one.size_bytes for one in batch) + file.size_bytes > BATCH_BYTES:
                yield batch
                batch = []
            batch.append(file)
        yield batch


def _moved(files: int, size_bytes: int, wanted: Sequence[ToRead]) -> Moved:
    return Moved(
        bytes=size_bytes,
        total_bytes=sum(file.size_bytes for file in wanted),
        files=files,
        total_files=len(wanted),
        bytes_per_second=0.0,
        eta_seconds=None,
    )


def _standing(job: Job) -> Standing:
    with job.postgres.connect() as connection:
        return standing(connection, job.place, now=job.now)
