"""The log of every change: written in pieces while cleaning, sorted into one file at the end.

Replayed over the file's rows in its order, it gives the cleaned rows: a cell's `before` is what the
cell held then, and a row that was taken out has an entry without a column.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.reading.columns import inner_name, literal

OF_THE_ROW = 1_000_000
"""In place of a column's place: behind all columns."""


@dataclass(kw_only=True)
class Log:
    """The pieces so far; reads the view `rows` and the table `gone`."""

    duck: Duck
    folder: Path
    turn: int = 1
    pieces: list[Path] = field(default_factory=list)

    def changes(self, place: int, steps: str) -> None:
        """Write what SQL for (given, stage, before, after, agent) means for the column's rows."""
        piece = self.folder / f"log-{self.turn}-{place}.parquet"
        self.duck.execute(f"""
            COPY (SELECT row, {place} AS place, {self.turn} AS turn, stage, before, after, agent,
                    NULL::VARCHAR AS reason
                FROM rows JOIN ({steps}) AS steps ON {inner_name(place)} IS NOT DISTINCT FROM given)
            TO {literal(str(piece))} (FORMAT parquet)""")
        self.pieces.append(piece)

    def left(self, place: int, agent: str, *, is_empty: bool) -> None:
        """Write the column's cells that could not be understood, in place of an earlier look's."""
        piece = self.folder / f"left-{place}.parquet"
        piece.unlink(missing_ok=True)
        if not is_empty:
            self.duck.execute(f"""
                COPY (SELECT row, {place} AS place, {self.turn} AS turn, 9 AS stage, s6 AS before,
                        s6 AS after, {literal(agent)} AS agent, cells.reason
                    FROM rows JOIN cells ON {inner_name(place)} IS NOT DISTINCT FROM given
                    WHERE cells.reason IS NOT NULL)
                TO {literal(str(piece))} (FORMAT parquet)""")

    def flagged(self, place: int, agent: str, rows: str | None) -> None:
        """Write the cells that SQL for (row, cell, reason) names, in place of an earlier look's."""
        piece = self.folder / f"flag-{place}.parquet"
        piece.unlink(missing_ok=True)
        if rows:
            self.duck.execute(f"""
            COPY (SELECT row, {place} AS place, {self.turn} AS turn, 10 AS stage, cell AS before,
                    cell AS after, {literal(agent)} AS agent, reason FROM ({rows}))
            TO {literal(str(piece))} (FORMAT parquet)""")

    def write(self, names: Sequence[str], target: Path) -> None:
        """Sort all pieces into one file: by row, then by column, then as it happened."""
        columns = ", ".join(f"({place}, {literal(name)})" for place, name in enumerate(names))
        stays = [*self.folder.glob("left-*.parquet"), *self.folder.glob("flag-*.parquet")]
        pieces = [f"SELECT * FROM read_parquet({_listed(self.pieces)})"] if self.pieces else []
        if stays:
            pieces.append(
                f"SELECT * FROM read_parquet({_listed(stays)}) ANTI JOIN gone USING (row)"
            )
        pieces.append(f"SELECT row, {OF_THE_ROW}, turn, 11, NULL, NULL, agent, reason FROM gone")
        self.duck.execute(f"""
            COPY (
                WITH entries(row, place, turn, stage, before, after, agent, reason) AS
                    ({" UNION ALL ".join(pieces)}),
                names(place, name) AS (VALUES {columns})
                SELECT row, name AS "column", before, after, agent, reason
                FROM entries LEFT JOIN names USING (place) ORDER BY row, place, turn, stage
            ) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)""")


def _listed(paths: Sequence[Path]) -> str:
    return "[" + ", ".join(literal(str(path)) for path in sorted(paths)) + "]"
