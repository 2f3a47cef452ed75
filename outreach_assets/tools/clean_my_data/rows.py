"""The rows while they are cleaned: a Parquet file behind the view `rows`, and the table `gone`.

Agents on whole rows say which go; what they look for is in duplicates.py and outliers.py.
"""

from collections.abc import Sequence
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data.agents import Agent
from outreach_assets.tools.reading.columns import inner_name, literal

MOST_MAPS = 25
"""Columns rewritten in one statement: each is a join."""


class Rows:
    """The rows that are still there, numbered from 1 as in the file."""

    def __init__(self, duck: Duck, source: Path, folder: Path, width: int) -> None:
        self.duck, self.folder, self.width = duck, folder, width
        self.written = 0
        self.quarantined: list[Path] = []
        duck.execute("""
            CREATE TABLE gone (row BIGINT, turn INT, agent VARCHAR, reason VARCHAR,
                is_quarantined BOOLEAN)""")
        self._show(
            f"SELECT file_row_number + 1 AS row, {self.columns} "
            f"FROM read_parquet({literal(str(source))}, file_row_number = true)"
        )

    @property
    def columns(self) -> str:
        """All columns, as SQL."""
        return ", ".join(inner_name(place) for place in range(self.width))

    def _show(self, sql: str) -> None:
        self.duck.execute(f"CREATE OR REPLACE VIEW rows AS FROM ({sql}) ANTI JOIN gone USING (row)")

    def map(self, places: Sequence[int]) -> None:
        """Put `map_<place>` to work in each of the columns, and drop it."""
        for first in range(0, len(places), MOST_MAPS):
            self._map(places[first : first + MOST_MAPS])

    def _map(self, places: Sequence[int]) -> None:
        cells = ", ".join(
            f"CASE WHEN m{place}.is_other THEN m{place}.after ELSE {inner_name(place)} END "
            f"AS {inner_name(place)}"
            if place in places
            else inner_name(place)
            for place in range(self.width)
        )
        joins = " ".join(
            f"LEFT JOIN (SELECT *, true AS is_other FROM map_{place}) AS m{place} "
            f"ON {inner_name(place)} IS NOT DISTINCT FROM m{place}.given"
            for place in places
        )
        target = self.folder / f"rows-{self.written + 1}.parquet"
        self.duck.execute(f"""
            COPY (SELECT row, {cells} FROM rows {joins}) TO {literal(str(target))}
            (FORMAT parquet, COMPRESSION lz4_raw, WRITE_BLOOM_FILTER false)""")
        self._show(f"SELECT * FROM read_parquet({literal(str(target))})")
        (self.folder / f"rows-{self.written}.parquet").unlink(missing_ok=True)
        self.written += 1
        for place in places:
            self.duck.execute(f"DROP TABLE map_{place}")

    def remove(self, agent: Agent, turn: int, found: str) -> int:
        """Remove the rows that SQL for (row, reason) names; how many there were."""
        return self._take(agent, turn, found, is_quarantined=False)

    def quarantine(self, agent: Agent, turn: int, found: str) -> int:
        """The same, keeping what they hold for quarantined_rows.csv."""
        return self._take(agent, turn, found, is_quarantined=True)

    def _take(self, agent: Agent, turn: int, found: str, *, is_quarantined: bool) -> int:
        self.duck.execute(f"CREATE OR REPLACE TEMP TABLE going AS {found}")
        counted = self.duck.execute("SELECT count(*) FROM going").fetchone() or (0,)
        if counted[0] and is_quarantined:
            piece = self.folder / f"quarantined-{len(self.quarantined)}.parquet"
            self.duck.execute(f"""
                COPY (SELECT rows.*, reason FROM rows JOIN going USING (row))
                TO {literal(str(piece))} (FORMAT parquet)""")
            self.quarantined.append(piece)
        self.duck.execute(f"""
            INSERT INTO gone SELECT row, {turn}, {literal(agent)}, reason, {is_quarantined}
            FROM going""")
        return int(counted[0])
