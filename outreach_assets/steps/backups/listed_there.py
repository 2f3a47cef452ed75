"""What a destination holds of a policy, by hash and in the clear, where Postgres can judge it.

What rclone lists and how is in listing.py; what an encrypted file is proven to be, in
encryptions.py.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from outreach_assets.steps.backups.crypt import clear_size
from outreach_assets.steps.backups.job import Job
from outreach_assets.steps.backups.listing import ask_listing, listed
from outreach_assets.steps.backups.mover import DestinationLostError
from outreach_assets.steps.backups.places import FROM
from outreach_assets.steps.backups.rclone import NotThereError, Question, RcloneError
from outreach_core.encrypted_destinations import ProvenFile, decrypt_listing
from outreach_core.errors import PermanentError
from outreach_core.file_destinations import ListedFile, copy_in
from outreach_core.file_proofs import recorded_kinds
from outreach_core.postgres import Connection

HASHES = ("md5", "sha1", "sha256", "quickxor", "dropbox", "blake3", "xxh3", "crc32")
"""What two sides are compared by: the first that both know."""

COMPUTED_HASHES = HASHES[:3]
"""Those that this process can compute as well, which encryption needs."""


class NoHashError(PermanentError):
    """Nothing could be proven by the hashes that source and destination know."""


class HashKinds(NamedTuple):
    """What the source is listed by, and what the destination. Not the same under encryption."""

    source: str
    there: str


def hash_kinds(job: Job) -> HashKinds:
    """Raises NoHashError."""
    sides = (f"{FROM}:", f"{job.at.remote}:")
    known = [set(job.rclone.call("operations/fsinfo", fs=fs)["Hashes"]) for fs in sides]
    if job.at.cipher:
        firsts = [next((k for k in COMPUTED_HASHES if k in hashes), None) for hashes in known]
        if firsts[0] and firsts[1]:
            return HashKinds(firsts[0], firsts[1])
        raise NoHashError(
            f"encryption can be proven by {', '.join(COMPUTED_HASHES)} alone, and source or "
            "destination knows none of them: put rclone's hasher before the remote, or take another"
        )
    for kind in HASHES:
        if all(kind in hashes for hashes in known):
            return HashKinds(kind, kind)
    raise NoHashError(
        "source and destination know no hash in common, and nothing could be proven: put rclone's "
        "hasher before the remote, or take another destination"
    )


def known_kinds(job: Job) -> HashKinds:
    """Those that its files were recorded by, also when a source that is gone knows none any more.

    Raises NoHashError.
    """
    with job.postgres.connect() as connection:
        recorded = recorded_kinds(connection, job.place)
    return HashKinds(*recorded) if recorded else hash_kinds(job)


def ask_there(job: Job, kind: str) -> Question:
    """Begin to list what lies there."""
    return ask_listing(job.rclone, job.at.held_files, kind)


def answered_there(job: Job, asked: Question, kind: str) -> Iterator[ListedFile]:
    """The files, as they lie there. Raises DestinationLostError."""
    try:
        return listed(asked, kind)
    except NotThereError:
        bucket = job.destination.root.partition("/")[0]
        if job.destination.rclone.get("type") == "s3" and not _answers(job, bucket):
            raise DestinationLostError(f"there is no bucket {bucket}: make it first") from None
        return iter(())  # the first run's folder is made by what comes into it
    except RcloneError as error:
        raise DestinationLostError(f"{job.destination.name} cannot be listed: {error}") from None


def copy_in_there(
    connection: Connection,
    job: Job,
    files: Iterable[ListedFile],
    proven: Iterable[ProvenFile] = (),
) -> None:
    """The answer into `listed_destination`, by what it is in the clear.

    `proven`: encrypted files that this run knows to be the encryption of something.
    """
    if job.at.cipher is None:
        copy_in(connection, "listed_destination", files)
        return
    clear = (ListedFile(path, clear_size(size), hash_) for path, size, hash_ in files)
    copy_in(connection, "listed_destination", clear)
    decrypt_listing(connection, job.place, proven)


def left_behind(job: Job) -> str | None:
    """What lies there from when the policy was the other way; None when nothing does."""
    encrypted = not job.at.cipher
    folder = job.destination.folder_of(job.policy.folder_id, encrypted=encrypted)
    fs = f"{job.at.remote}:{folder}/"
    asked = job.rclone.ask("operations/list", fs=fs, remote="", opt={"dirsOnly": True})
    what = f"{'encrypted' if encrypted else 'plain'} files of before"
    try:
        found = {one["Name"] for one in asked.elements()} & {"files", "versions"}
    except NotThereError:
        return None
    except RcloneError as error:
        return f"nobody knows whether {what} are still in {folder}: {error}"
    places = " and ".join(f"{folder}/{name}" for name in sorted(found))
    return f"{what} are still in {places}" if places else None


def _answers(job: Job, bucket: str) -> bool:
    fs = f"{job.at.remote}:{bucket}"
    try:
        job.rclone.call("operations/list", fs=fs, remote="", opt={"dirsOnly": True})
    except NotThereError:
        return False
    return True
