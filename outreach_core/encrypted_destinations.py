"""What Postgres knows of encrypted files at a destination, beyond file_destinations.py.

A destination lists the hash of what it holds, which is encrypted. `remote_hash` says of which file
it is the encryption: somebody has computed that, and this is where it is kept and believed.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from outreach_core.file_destinations import Place
from outreach_core.postgres import Connection

# What an encrypting destination lists is of encrypted bytes. They are a file's when the table, or
# the run itself, has proven that; what nobody has proven anything of has no hash.
DECRYPT_LISTING = """
    UPDATE listed_destination d
    SET remote_hash = d.hash,
        hash = coalesce(
            (SELECT p.hash FROM proven p WHERE p.path = d.path AND p.remote_hash = d.hash),
            (SELECT f.hash FROM shq.file_destinations f
             WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s
               AND f.path = d.path AND f.remote_hash = d.hash
               AND f.passphrase_mark = %(passphrase_mark)s))"""

NOTE_RECOGNISED = """
    UPDATE shq.file_destinations f
    SET status = 'synced', error = NULL, attempts = 0, remote_hash = p.remote_hash,
        passphrase_mark = %(passphrase_mark)s, remote_path = %(root)s || '/' || f.path,
        synced_at = coalesce(f.synced_at, %(now)s), proven_at = %(now)s, changed_at = %(now)s
    FROM proven p
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s
      AND f.path = p.path AND f.hash = p.hash"""

OTHERWISE_ENCRYPTED = """
    SELECT FROM shq.file_destinations
    WHERE folder_id = %(folder_id)s AND destination = %(destination)s AND status = 'synced'
      AND passphrase_mark <> %(passphrase_mark)s LIMIT 1"""

FORGET_OTHERWISE_ENCRYPTED = """
    UPDATE shq.file_destinations SET passphrase_mark = NULL, remote_hash = NULL
    WHERE folder_id = %(folder_id)s AND destination = %(destination)s
      AND passphrase_mark <> %(passphrase_mark)s"""

# Proven copies of what has a fault at a place, at another of its destinations. It lies there under
# the same encryption, if any, so that its hash is the one that it must have here.
COPIES_AT = """
    SELECT o.path, o.hash, coalesce(o.remote_hash, o.hash)
    FROM shq.file_destinations o JOIN shq.file_destinations f USING (folder_id, path, hash)
    WHERE f.folder_id = %(folder_id)s AND f.destination = %(destination)s AND f.fault IS NOT NULL
      AND o.destination = %(other)s AND o.status = 'synced'
      AND o.passphrase_mark IS NOT DISTINCT FROM %(passphrase_mark)s
      AND starts_with(coalesce(o.remote_hash, o.hash), %(kind)s || ':')
    ORDER BY o.path"""


class ProvenFile(NamedTuple):
    """A file, and the hash of what a destination holds as its encryption."""

    path: str
    hash: str
    remote_hash: str


def decrypt_listing(
    connection: Connection, place: Place, proven: Iterable[ProvenFile] = ()
) -> None:
    """Give what was copied in as `listed_destination`, encrypted, the hashes it has in the clear.

    `proven` is what this run has found out itself.
    """
    with _copied_in(connection, proven):
        connection.execute(DECRYPT_LISTING, vars(place))


def note_recognised(
    connection: Connection, place: Place, proven: Iterable[ProvenFile], *, now: datetime
) -> None:
    """Record that these files were there already, as their encryptions prove."""
    with _copied_in(connection, proven):
        connection.execute(NOTE_RECOGNISED, {**vars(place), "now": now})


def copies_at(connection: Connection, place: Place, other: str, kind: str) -> list[ProvenFile]:
    """What has a fault at the place and is proven at another destination, by that kind of hash."""
    values = {**vars(place), "other": other, "kind": kind}
    return [ProvenFile(*row) for row in connection.execute(COPIES_AT, values)]


def has_other_passphrase(connection: Connection, place: Place) -> bool:
    """True when files there are known to be encrypted with another passphrase."""
    return connection.execute(OTHERWISE_ENCRYPTED, vars(place)).fetchone() is not None


def forget_other_passphrase(connection: Connection, place: Place) -> None:
    """Files that are encrypted with another passphrase are as good as others' files from now on."""
    connection.execute(FORGET_OTHERWISE_ENCRYPTED, vars(place))


@contextmanager
def _copied_in(connection: Connection, proven: Iterable[ProvenFile]) -> Iterator[None]:
    connection.execute("CREATE TEMP TABLE proven (path text, hash text, remote_hash text)")
    with connection.cursor().copy("COPY proven FROM STDIN") as copy:
        for file in proven:
            copy.write_row(file)
    connection.execute("ANALYZE proven")
    yield
    connection.execute("DROP TABLE proven")
