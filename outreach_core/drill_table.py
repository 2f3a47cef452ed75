"""The history of restore drills in Postgres (shq.backup_drills).

Who drills is in outreach_assets/steps/backups/drill.py.
"""

from dataclasses import dataclass, fields
from datetime import datetime

from outreach_core.errors import PermanentError
from outreach_core.postgres import Connection, Postgres, UndefinedSchema, UndefinedTable


@dataclass(frozen=True, kw_only=True)
class DrillResult:
    """What came of trying to restore a sample of a policy from a destination."""

    drill_id: str
    folder_id: str
    destination: str
    drilled_at: datetime
    seed: str
    """With it the same files are chosen again, as long as the same ones are synced."""

    files: int
    bytes: int
    restored: int
    """Came back with the hash that was recorded."""

    restored_bytes: int
    same_as_source: int
    """The source still has them with that hash."""

    seconds: float
    """From the first question to the last proof."""

    is_passed: bool
    error: str | None = None
    """Why not all of them came back."""

    @property
    def bytes_per_second(self) -> float:
        """How fast they came."""
        return self.restored_bytes / self.seconds if self.seconds else 0.0


COLUMNS = [field.name for field in fields(DrillResult)]
INSERT = f"""
    INSERT INTO shq.backup_drills ({", ".join(COLUMNS)})
    VALUES ({", ".join(f"%({name})s" for name in COLUMNS)})"""  # noqa: S608 our own names
NEWEST = f"""
    SELECT {", ".join(COLUMNS)} FROM shq.backup_drills
    WHERE (%(folder_id)s::text IS NULL OR folder_id = %(folder_id)s)
      AND (%(destination)s::text IS NULL OR destination = %(destination)s)
    ORDER BY drilled_at DESC, id DESC LIMIT %(limit)s"""  # noqa: S608


def note_drill(connection: Connection, result: DrillResult) -> None:
    """Add it to the history."""
    connection.execute(INSERT, vars(result))


def list_drills(
    postgres: Postgres,
    *,
    folder_id: str | None = None,
    destination: str | None = None,
    limit: int = 100,
) -> list[DrillResult]:
    """The newest first; all, or of a policy or a destination."""
    values = {"folder_id": folder_id, "destination": destination, "limit": limit}
    try:
        with postgres.connect() as connection:
            rows = connection.execute(NEWEST, values).fetchall()
    except (UndefinedTable, UndefinedSchema):
        raise PermanentError(
            f"{postgres.name} has no shq.backup_drills: run `outreach db migrate`"
        ) from None
    return [DrillResult(**dict(zip(COLUMNS, row, strict=True))) for row in rows]
