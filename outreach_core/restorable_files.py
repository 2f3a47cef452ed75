"""What shq.file_destinations knows of a policy's files, for who restores them or tries it.

Also of policies that were removed. What lies at a destination is listed in
outreach_assets/steps/backups/.
"""

from typing import NamedTuple

from outreach_core.errors import PermanentError
from outreach_core.file_destinations import ListedFile
from outreach_core.postgres import Postgres, UndefinedSchema, UndefinedTable

# Of each file the newest that is known for certain: there with that hash, or gone. What a later run
# found in the source and brought nowhere makes it outdated.
RECORDED = """
    WITH told AS (
        SELECT path, status, hash, greatest(proven_at, changed_at) AS told_at, changed_at
        FROM shq.file_destinations WHERE folder_id = %(folder_id)s),
    known AS (
        SELECT DISTINCT ON (path) path, status, hash, told_at FROM told
        WHERE status IN ('synced', 'deleted') ORDER BY path, told_at DESC, status DESC),
    waiting AS (
        SELECT DISTINCT ON (path) path, hash, changed_at FROM told
        WHERE status IN ('pending', 'failed') ORDER BY path, changed_at DESC)
    SELECT path, CASE WHEN k.status = 'synced' THEN k.hash END,
           coalesce(k.status = 'deleted', false),
           w.path IS NOT NULL AND (k.path IS NULL OR (w.changed_at > k.told_at
               AND (k.status = 'deleted' OR w.hash IS DISTINCT FROM k.hash)))
    FROM known k FULL JOIN waiting w USING (path)"""

SAMPLE = """
    SELECT path, size_bytes, hash FROM shq.file_destinations
    WHERE folder_id = %(folder_id)s AND destination = %(destination)s AND status = 'synced'
      AND hash IS NOT NULL
    ORDER BY md5(%(seed)s || path), path LIMIT %(files)s"""

PLACES = """
    SELECT DISTINCT folder_id, destination FROM shq.file_destinations
    WHERE status = 'synced' AND (%(folder_id)s::text IS NULL OR folder_id = %(folder_id)s)
    ORDER BY folder_id, destination"""


class RecordedFile(NamedTuple):
    """The newest that is known of a file, over all destinations."""

    hash: str | None
    """Of what a destination was proven to hold; None when none was, or it is deleted."""

    is_deleted: bool
    is_outdated: bool
    """The source had newer content that came nowhere."""


def recorded_files(postgres: Postgres, folder_id: str) -> dict[str, RecordedFile]:
    """By path. Raises PermanentError when the database was never migrated."""
    rows = _asked(postgres, RECORDED, folder_id=folder_id)
    return {path: RecordedFile(*rest) for path, *rest in rows}


def known_places(postgres: Postgres, folder_id: str | None = None) -> list[tuple[str, str]]:
    """Policies, or the one, and destinations that something is synced of. As `recorded_files`."""
    return [(row[0], row[1]) for row in _asked(postgres, PLACES, folder_id=folder_id)]


def sample_of(
    postgres: Postgres, folder_id: str, destination: str, *, files: int, seed: str
) -> list[ListedFile]:
    """So many of the files that are synced there, by the seed the same ones again."""
    values = {"folder_id": folder_id, "destination": destination, "files": files, "seed": seed}
    return [ListedFile(*row) for row in _asked(postgres, SAMPLE, **values)]


def _asked(postgres: Postgres, statement: str, **values: object) -> list[tuple]:  # type: ignore[type-arg]
    try:
        with postgres.connect() as connection:
            return connection.execute(statement, values).fetchall()
    except (UndefinedTable, UndefinedSchema):
        raise PermanentError(
            f"{postgres.name} has no shq.file_destinations: run `outreach db migrate`"
        ) from None
