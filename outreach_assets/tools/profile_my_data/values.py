"""One column as a DuckDB table of its distinct values: how many rows each has, how it is written.

Every figure of a column comes from this table, so it is exact and each row is looked at once. What
the figures are is in columns.py and drift.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.forms import FORMS as ALL_FORMS
from outreach_assets.tools.profile_my_data.forms import (
    SLASHED,
    Family,
    Form,
    form_sql,
    of,
    parsed_sql,
)

SAMPLE = 2000
RARE = 0.005
"""A family of forms in fewer of the sampled values is not looked for."""

SAID = "trim(value, ' ' || chr(9) || chr(10) || chr(13) || chr(160))"


@dataclass(frozen=True, kw_only=True)
class Values:
    """The table `name`: value, n, said, form, number, moment. NULLs and blanks are not in it."""

    name: str
    rows: int
    nulls: int
    blanks: int
    distinct: int
    """Of values that are not NULL, blanks among them."""

    unique: int
    forms: Sequence[Form]
    """The forms that were looked for, of families that are common enough."""

    is_day_first: bool

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.rows - self.nulls - self.blanks


@contextmanager
def values_of(
    duck: Duck, relation: str, column: str, name: str, like: Values | None = None
) -> Iterator[Values]:
    """Make the table for the column of the relation, drop it afterwards.

    With `like`, the same forms are looked for as there, so that both can be compared.
    """
    counts = f"{name}_counts"
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE {counts} AS
        SELECT value, n, {SAID} AS said
        FROM (SELECT {column} AS value, count(*) AS n FROM {relation} GROUP BY ALL)""")
    found = like.forms if like else _forms(duck, counts)
    try:
        is_day_first = like.is_day_first if like else _is_day_first(duck, counts, found)
        # Text of no form needs no second copy.
        duck.execute(f"""
            CREATE OR REPLACE TEMP {"TABLE" if found else "VIEW"} {name} AS
            SELECT value, n, said, form, {parsed_sql(found, Family.NUMBER)} AS number,
                {parsed_sql(found, Family.MOMENT, is_day_first=is_day_first)} AS moment
            FROM (SELECT value, n, said, {form_sql(found)} AS form FROM {counts} WHERE said <> '')
        """)
        yield Values(name=name, forms=found, is_day_first=is_day_first, **_counted(duck, counts))
    finally:
        duck.execute(f"DROP {'TABLE' if found else 'VIEW'} IF EXISTS {name}")
        duck.execute(f"DROP TABLE IF EXISTS {counts}")


def _counted(duck: Duck, counts: str) -> Mapping[str, int]:
    names = ("rows", "nulls", "blanks", "distinct", "unique")
    row = (
        duck.execute(f"""
        SELECT sum(n), sum(n) FILTER (value IS NULL), sum(n) FILTER (said = ''),
            count(value), count(value) FILTER (n = 1) FROM {counts}""").fetchone()
        or ()
    )
    return {one: int(number or 0) for one, number in zip(names, row, strict=True)}


def sample_sql(table: str, distinct: int, wanted: int) -> str:
    """SQL for about so many of the table's rows: always the same ones."""
    every = max(distinct // wanted, 1)
    return f"(SELECT * FROM {table} WHERE hash(value) % {every} = 0)"


def _forms(duck: Duck, counts: str) -> Sequence[Form]:
    """The forms of every family that is common enough among the distinct values."""
    row = duck.execute(f"SELECT count(*) FROM {counts}").fetchone() or (0,)
    sample = sample_sql(counts, row[0], SAMPLE)
    found = duck.execute(f"""
        SELECT form, count(*) FROM (SELECT {form_sql(ALL_FORMS)} AS form FROM {sample}
        WHERE said <> '') GROUP BY ALL""").fetchall()
    total = sum(count for _, count in found)
    by_family = {
        family: sum(count for name, count in found if name in {f.name for f in of({family})})
        for family in Family
    }
    return of({family for family, count in by_family.items() if count and count >= RARE * total})


def _is_day_first(duck: Duck, counts: str, found: Sequence[Form]) -> bool:
    """Whether 1/2/2024 is the first of February: some first part is beyond 12, no second one."""
    slashed = [form for form in found if form.name == SLASHED]
    if not slashed:
        return False
    row = duck.execute(f"""
        SELECT max(split_part(said, '/', 1)::INT), max(split_part(said, '/', 2)::INT)
        FROM {counts} WHERE regexp_full_match(said, '{slashed[0].pattern}')""").fetchone()
    return bool(row and row[0] and row[0] > 12 >= row[1])
