"""Parquet from strangers: its footer is believed only after it was found bearable."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.table import quoted
from outreach_assets.tools.reading.columns import checked_names, inner_name, literal
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

MOST_CELLS = 1_000_000_000
MOST_BYTES = 16 * 1024**3
BOMB_CELLS = 10_000_000
BOMB_CELLS_PER_BYTE = 50
"""463 bytes can declare 2 GB; a file of any content holds far fewer cells than this per byte."""

LONGEST_CELL = 2 * 1024**2


def parquet(duck: Duck, path: Path) -> tuple[Sequence[str], str]:
    """The columns and SQL for every row as text.

    Raises ToolRefusedError when it cannot be read, or would unpack to more than a table has.
    """
    file = literal(str(path))
    try:
        described = duck.execute(f"DESCRIBE SELECT * FROM read_parquet({file})").fetchall()
        rows, size = (
            duck.execute(f"""
            SELECT (SELECT sum(num_rows) FROM parquet_file_metadata({file})),
                (SELECT sum(total_uncompressed_size) FROM parquet_metadata({file}))""").fetchone()
            or (0, 0)
        )
    except duckdb.Error as error:
        raise bad_parquet() from error
    names = checked_names([row[0] for row in described])
    cells = (rows or 0) * len(names)
    if (
        cells > MOST_CELLS
        or (size or 0) > MOST_BYTES
        or (cells > BOMB_CELLS and cells > BOMB_CELLS_PER_BYTE * path.stat().st_size)
    ):
        raise ToolRefusedError(
            ErrorCode.UNPACKS_TOO_LARGE,
            f"{path.stat().st_size:,} bytes of Parquet would unpack to {cells:,} cells: "
            "hand in a file that holds what it says",
        )
    _refuse_long_cells(duck, file, [row[0] for row in described if row[1] in ("VARCHAR", "BLOB")])
    columns = ", ".join(
        f"{quoted(row[0])}::VARCHAR AS {inner_name(n)}" for n, row in enumerate(described)
    )
    return names, f"SELECT {columns} FROM read_parquet({file})"


def _refuse_long_cells(duck: Duck, file: str, columns: Sequence[str]) -> None:
    """A few bytes of dictionary can stand for gigabytes of text, which the footer does not say."""
    if not columns:
        return
    longest = ", ".join(f"coalesce(max(strlen({quoted(one)}::VARCHAR)), 0)" for one in columns)
    total = " + ".join(f"coalesce(sum(strlen({quoted(one)}::VARCHAR)), 0)" for one in columns)
    try:
        row = duck.execute(f"""
            SELECT greatest({longest}), {total}
            FROM read_parquet({file})""").fetchone() or (0, 0)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise bad_parquet() from error
    if row[0] > LONGEST_CELL or row[1] > MOST_BYTES:
        raise ToolRefusedError(
            ErrorCode.UNPACKS_TOO_LARGE,
            f"it holds cells of up to {row[0]:,} bytes, {row[1]:,} in all: leave out what is no "
            "table",
        )


def bad_parquet() -> ToolRefusedError:
    """A file that begins like Parquet and is not."""
    return ToolRefusedError(
        ErrorCode.BAD_PARQUET, "the Parquet file is cut off or damaged: write it anew"
    )
