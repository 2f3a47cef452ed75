"""Files cleaned inside the test's own process, and the log replayed over what was handed in."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from outreach_assets.tools.assignment import Assignment
from outreach_assets.tools.clean_my_data.clean import clean_file
from outreach_assets.tools.clean_my_data.manifest import CLEAN_MY_DATA
from outreach_assets.tools.reading.read_table import read_table
from tests.unit.outreach_assets.tools.handed_in import a_file, a_locked_duck

Row = list[str | None]


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What one run wrote."""

    facts: Mapping[str, Any]
    folder: Path
    given: Sequence[Row]
    """The rows as they were read."""

    @property
    def lines(self) -> list[list[str]]:
        with (self.folder / "cleaned_data.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    @property
    def rows(self) -> list[list[str]]:
        return self.lines[1:]

    def column(self, place: int = 0) -> list[str]:
        return [row[place] if row else "" for row in self.rows]

    @property
    def quarantined(self) -> list[list[str]]:
        with (self.folder / "quarantined_rows.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))[1:]

    @property
    def log(self) -> list[tuple[Any, ...]]:
        with duckdb.connect() as duck:
            path = self.folder / "cleaning_log.parquet"
            return duck.execute(f"FROM read_parquet('{path}')").fetchall()

    def replayed(self) -> list[Row]:
        """The rows read, with everything done to them that the log says."""
        names = self.lines[0]
        rows: dict[int, Row] = dict(enumerate((list(row) for row in self.given), start=1))
        for number, column, before, after, _, reason in self.log:
            if column is None:
                assert reason
                del rows[number]
                continue
            place = names.index(column)
            assert rows[number][place] == before, (number, column, before)
            assert (before == after) is (reason is not None)
            rows[number][place] = after
        return list(rows.values())


def cleaned(
    folder: Path, content: str | bytes | Path, *, name: str = "leads.csv", **parameters: object
) -> Cleaned:
    """Clean the content in a folder of its own below."""
    own = folder / f"run-{len(list(folder.iterdir()))}"
    own.mkdir()
    path = content if isinstance(content, Path) else a_file(own, content, name)
    with a_locked_duck(own, path) as duck:
        (own / "before").mkdir()
        read = read_table(duck, path, own / "before", "primary")
        given = duck.execute(f"FROM read_parquet('{read.path}')").fetchall()
        assignment = Assignment(
            duck=duck,
            one_thread=lambda: a_locked_duck(own),
            threads=2,
            inputs={"primary": path},
            parameters=CLEAN_MY_DATA.checked_parameters(parameters),
            scratch=own / "scratch",
            outputs=own / "outputs",
            progress=lambda _stage, _percent: None,
        )
        facts = clean_file(assignment)
    return Cleaned(facts=facts, folder=own / "outputs", given=[list(row) for row in given])


def a_column(name: str, *values: str) -> str:
    """A CSV of one column beside a number, so that no row equals another and none is empty."""
    quoted = ['"' + value.replace('"', '""') + '"' for value in values]
    return f"{name},n\n" + "".join(f"{value},r{n}\n" for n, value in enumerate(quoted))
