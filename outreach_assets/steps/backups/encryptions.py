"""Of which file an encrypted one at a destination is the encryption: computed, never believed.

The nonce is read from the object, the content from the source, once for both hashes. Nobody
downloads the object: if it has the hash that comes out, it is the encryption of just that content.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from outreach_assets.steps.backups.crypt import BLOCK_BYTES, HEADER_BYTES, Cipher, is_header
from outreach_assets.steps.backups.job import Job
from outreach_assets.steps.backups.listed_there import HashKinds
from outreach_assets.steps.backups.places import FROM, HELD
from outreach_assets.steps.backups.rclone import Rclone, RcloneError
from outreach_core.encrypted_destinations import (
    ProvenFile,
    forget_other_passphrase,
    has_other_passphrase,
    note_recognised,
)
from outreach_core.errors import PermanentError

AT_ONCE = 1000
"""So many are waited for together; of a million, all would take a gigabyte."""


class OtherPassphraseError(PermanentError):
    """What is there was encrypted with another passphrase than the one that is set."""


def refuse_other_passphrase(job: Job) -> None:
    """A slip in the passphrase would send everything anew, for nobody to read.

    Raises OtherPassphraseError, unless a new one is meant: then what the old one encrypted is known
    no more.
    """
    if job.at.cipher is None:
        return
    with job.postgres.connect() as connection:
        if job.is_new_passphrase:
            forget_other_passphrase(connection, job.place)
        elif has_other_passphrase(connection, job.place):
            raise OtherPassphraseError(
                "what is there was encrypted with another OUTREACH_BACKUP_PASSPHRASE or "
                "OUTREACH_BACKUP_SALT than is set now: set it back, or send everything anew by "
                "`outreach backup run --new-passphrase` (old versions keep the old one)"
            )


def recognise(job: Job, to_prove: Mapping[str, tuple[str, str]], kinds: HashKinds) -> set[str]:
    """Record, and give, files that are there and nobody knew: a run was killed, a table lost.

    `to_prove`: for each path the hash of the source, and that of what is there.
    """
    found = [
        file
        for file in encryptions(job, to_prove, kinds)
        if to_prove[file.path] == (file.hash, file.remote_hash)
    ]
    if found:
        with job.postgres.connect() as connection:
            note_recognised(connection, job.place, found, now=job.now)
    return {file.path for file in found}


def encryptions(job: Job, paths: Iterable[str], kinds: HashKinds) -> Iterator[ProvenFile]:
    """What each file is now, and what its encryption at the destination must be.

    Left out is what cannot be read on either side. Nothing for a policy that is not encrypted.
    """
    if job.at.cipher is None:
        return
    one = partial(_encryption, job.rclone, job.at.cipher, kinds)
    rest = iter(paths)
    with ThreadPoolExecutor(job.destination.limits.transfers) as threads:
        while some := list(islice(rest, AT_ONCE)):
            yield from filter(None, threads.map(one, some))


def _encryption(rclone: Rclone, cipher: Cipher, kinds: HashKinds, path: str) -> ProvenFile | None:
    clear, sealed = (hashlib.new(kind, usedforsecurity=False) for kind in kinds)

    def blocks() -> Iterator[bytes]:
        with rclone.open(f"{FROM}:", path).body() as answer:
            while block := answer.read(BLOCK_BYTES):
                clear.update(block)
                yield block

    try:
        with rclone.open(f"{HELD}:", path, first=HEADER_BYTES).body() as answer:
            header = answer.read(HEADER_BYTES)
        if not is_header(header):
            return None
        for part in cipher.encrypted(blocks(), header):
            sealed.update(part)
    except RcloneError:
        return None
    return ProvenFile(
        path, f"{kinds.source}:{clear.hexdigest()}", f"{kinds.there}:{sealed.hexdigest()}"
    )
