"""The receipt of a database backup: what it holds, and all that is needed to rebuild it.

It is written last: a version without one does not exist. What it says is read from the catalogue in
contents.py and rebuild.py.
"""

import hashlib
from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, ValidationError

from outreach_core.errors import PermanentError

FORMAT = 1
RECEIPT = "manifest.json"
"""Its file, beside the Parquet files of the version."""


class ReceiptUnreadableError(PermanentError):
    """A receipt that is not as it was written."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnFacts(_Facts):
    """One column, with its type as Postgres writes it."""

    name: str
    type: str
    is_generated: bool = False
    """Computed by Postgres from others: compared like all, but nothing that one may write."""


class TableFacts(_Facts):
    """One table and its file."""

    name: str
    """`shq.audit_log`; quoted where Postgres wants it so."""

    columns: tuple[ColumnFacts, ...]
    rows: int
    row_hash: str
    """The sum over all rows of the hash that Postgres computed of each, in decimal digits."""

    file: str
    size_bytes: int
    sha256: str


class Stage(StrEnum):
    """When a statement runs: rows go in faster, and past no trigger, before there are indexes."""

    BEFORE_ROWS = "before_rows"
    AFTER_ROWS = "after_rows"


class Statement(_Facts):
    """One object of the database, as the SQL that makes it."""

    kind: str
    name: str
    stage: Stage
    sql: str


class LeftOut(_Facts):
    """What the database holds and the backup does not."""

    name: str
    why: str


class Receipt(_Facts):
    """What one version of the backup holds."""

    format: int = FORMAT
    version: str
    """The run's UTC start, `YYYYMMDDHHMMSS`."""

    run_id: str
    postgres: str
    duckdb: str
    migrations: tuple[str, ...]
    tables: tuple[TableFacts, ...]
    statements: tuple[Statement, ...]
    """In the order they are to be run."""

    left_out: tuple[LeftOut, ...]

    @property
    def body(self) -> bytes:
        """Its bytes, with their own sha256 in the first line: a flipped one is seen."""
        text = self.model_dump_json(indent=1).encode()
        return b'{"sha256": "%s", "receipt":\n%s}\n' % (_digest(text), text)

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def size_bytes(self) -> int:
        """Of all files but this one."""
        return sum(table.size_bytes for table in self.tables)

    def at(self, stage: Stage) -> Iterable[Statement]:
        """The statements of that stage, in order."""
        return (one for one in self.statements if one.stage is stage)


def read_receipt(body: bytes) -> Receipt:
    """Raises ReceiptUnreadableError when it is not what was written."""
    first, _, rest = body.partition(b"\n")
    text = rest.removesuffix(b"}\n")
    if first != b'{"sha256": "%s", "receipt":' % _digest(text) or text == rest:
        raise ReceiptUnreadableError("its manifest is not as it was written: its sha256 is another")
    try:
        return Receipt.model_validate_json(text)
    except ValidationError as error:
        raise ReceiptUnreadableError(
            "its manifest is not of a form that this version knows: it was written by a newer one "
            f"({error.error_count()} differences)"
        ) from None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
