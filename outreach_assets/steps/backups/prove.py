"""What was sent is there, by hash; and what lies there is read and hashed, byte by byte.

Whole listings are judged in outreach_core/file_destinations.py. Of encrypted files the bytes are
hashed as they lie there: what they are the encryption of is proven already (encryptions.py).
"""

from collections.abc import Collection, Mapping, Sequence

from outreach_assets.steps.backups.encryptions import encryptions
from outreach_assets.steps.backups.job import Job
from outreach_assets.steps.backups.listed_there import HashKinds, ask_there, copy_in_there
from outreach_assets.steps.backups.listing import listed
from outreach_assets.steps.backups.mover import only
from outreach_assets.steps.backups.rclone import RcloneError
from outreach_core.encrypted_destinations import ProvenFile
from outreach_core.file_destinations import copy_in_bytes, note_tried

CHANGED = "it changed while it was copied, or is not there as it was sent: the next run looks again"


def prove(  # noqa: PLR0913 what was done has many sides
    job: Job,
    said: Mapping[str, str | None],
    kinds: HashKinds,
    *,
    removed: Sequence[str] = (),
    damaged: Sequence[str] = (),
    lost: str | None = None,
    known: Collection[ProvenFile] = (),
) -> tuple[int, int, int]:
    """Record what came of files that were sent, by what is there now; as `note_tried`.

    `said`: each path with what rclone said of it. `damaged`: those of them that a listing proves
    nothing of. `lost`: why the destination was given up. `known`: encryptions that nobody need
    compute.
    """
    unknown = said.keys() - {file.path for file in known}
    computed = [*known, *encryptions(job, unknown, kinds)]
    read: dict[str, str] = {}
    try:
        if damaged:
            read = read_hashes(job, damaged, kinds.there)
        there = listed(ask_there(job, kinds.there), kinds.there)
    except RcloneError as error:  # also a folder that is not there: nothing has come
        there, lost = iter(()), lost or f"{job.destination.name} cannot be listed: {error}"
    with job.postgres.connect() as connection:
        copy_in_there(connection, job, there, computed)
        copy_in_bytes(connection, read.items())
        return note_tried(connection, job.place, said, removed, unsaid=lost or CHANGED, now=job.now)


def read_hashes(job: Job, paths: Sequence[str], kind: str) -> dict[str, str]:
    """The hashes of the bytes that lie there, `md5:…`; what could not be read is left out.

    Why is in the rclone's `errors`. Raises what talking to rclone raises.
    """
    for path in paths:
        job.rclone.errors.pop(path, None)
    with only(job.rclone, paths) as these:
        answer = job.rclone.call(
            "operations/hashsum",
            fs=job.at.held_files,
            hashType=kind,
            download=True,
            _filter=these,
        )
    job.rclone.read_log()
    lines = [line.split("  ", 1) for line in answer["hashsum"] or ()]
    return {path: f"{kind}:{value}" for value, path in lines}
