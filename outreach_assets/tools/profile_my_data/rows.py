"""The rows of a table beside what was found out about its columns, and samples of them.

What is asked of them is in table_facts.py and correlations.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.report import ColumnReport
from outreach_assets.tools.reading.columns import inner_name, literal

FIRST_ROWS = 10_000
SPREAD_ROWS = 100_000
ROW_NUMBER = "file_row_number"


def rows_sql(path: Path) -> str:
    """The rows of a Parquet file as a relation, each with its number."""
    return f"read_parquet({literal(str(path))}, {ROW_NUMBER} = true)"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The table's rows and what is known of its columns."""

    duck: Duck
    relation: str
    columns: Sequence[ColumnReport]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.columns[0].rows

    def name(self, column: ColumnReport) -> str:
        """What the column is called in the relation."""
        return inner_name(column.place - 1)

    @property
    def first(self) -> str:
        """The first rows: a pair that fails among them fails altogether."""
        return f"(SELECT * FROM {self.relation} LIMIT {FIRST_ROWS})"

    @property
    def one_in(self) -> int:
        """One row in how many is in `spread`; 1 up to 200,000 rows."""
        return max(self.count // SPREAD_ROWS, 1)

    @property
    def spread(self) -> str:
        """Rows from all over the table, by a hash of their number: the same ones each time."""
        if self.one_in == 1:
            return self.relation
        return f"(SELECT * FROM {self.relation} WHERE hash({ROW_NUMBER}) % {self.one_in} = 0)"
