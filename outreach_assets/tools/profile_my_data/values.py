"""One column as its distinct values in DuckDB: how many rows each has, how it is written.

Every figure of a column comes from these, so it is exact and each row is looked at once. What
the figures are is in columns.py and drift.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.forms import (
    BY_NAME,
    INTEGER,
    PLACES,
    SLASHED,
    Family,
    Form,
    form_sql,
    of,
    parsed_sql,
)
from outreach_assets.tools.profile_my_data.forms import FORMS as ALL_FORMS
from outreach_assets.tools.profile_my_data.report import Lengths

SAMPLE = 2500
"""At least so many different values, where there are; less than twice as many."""

RARE = 0.005
"""A family of forms in fewer of the sampled values is not looked for."""

BLANKS = ("' '", "chr(9)", "chr(10)", "chr(13)", "chr(160)")
IS_PADDED = " OR ".join(f"prefix(value, {one}) OR suffix(value, {one})" for one in BLANKS)
SAID = f"CASE WHEN {IS_PADDED} THEN trim(value, {' || '.join(BLANKS)}) ELSE value END"
"""The value without blanks around it: trimming all values takes longer than counting them."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What can be counted before anybody knows what the values are."""

    rows: int
    nulls: int
    blanks: int
    distinct: int
    """Of values that are not NULL, blanks among them."""

    unique: int
    padded: int
    lengths: Lengths | None


@dataclass(frozen=True, kw_only=True)
class Written:
    """Rows written in one form, and those of them that say a number or a time."""

    rows: int
    numbers: int
    moments: int


@dataclass(frozen=True, kw_only=True)
class Values:
    """What is known of a column's values, and three relations of them, without NULLs and blanks.

    `name` holds value, n and said for each distinct value, `sample` for some of them;
    `read` n, form, number and moment.
    """

    name: str
    counts: Counts
    forms: Sequence[Form]
    """The forms that were looked for, of families that are common enough."""

    is_day_first: bool
    has_codes: bool
    """Whether there are integers with a zero before them."""

    written: Mapping[Form | None, Written]

    @property
    def read(self) -> str:
        """What each value says."""
        return _read(self.name)

    @property
    def sample(self) -> str:
        """Some of the values: always the same ones."""
        return _sample(self.name)

    @property
    def rows(self) -> int:
        """All rows of the table."""
        return self.counts.rows

    @property
    def distinct(self) -> int:
        """Values that are not NULL, blanks among them."""
        return self.counts.distinct

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.counts.rows - self.counts.nulls - self.counts.blanks

    def in_family(self, family: Family) -> int:
        """Rows written in a form of the family."""
        return sum(w.rows for form, w in self.written.items() if form and form.family is family)


@contextmanager
def values_of(
    duck: Duck, relation: str, column: str, name: str, like: Values | None = None
) -> Iterator[Values]:
    """Make the relations for the column of the relation, drop them afterwards.

    With `like`, the same forms are looked for as there, so that both can be compared.
    """
    counted = f"{name}_counted"
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE {counted} AS
        SELECT {column} AS value, count(*) AS n FROM {relation} GROUP BY ALL""")
    counts = _counts(duck, counted)
    said = SAID if counts.padded or counts.blanks else "value"
    duck.execute(f"""
        CREATE OR REPLACE TEMP VIEW {name} AS
        SELECT * FROM (SELECT value, n, {said} AS said FROM {counted}) WHERE said <> ''""")
    every = max(counts.distinct // SAMPLE, 1)
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE {_sample(name)} AS
        SELECT value, n, said FROM {name} WHERE hash(value) % {every} = 0""")
    forms = like.forms if like else forms_of(duck, name)
    is_day_first = like.is_day_first if like else _is_day_first(duck, name, forms)
    kind = _say(duck, name, forms, is_day_first=is_day_first)
    try:
        yield Values(
            name=name,
            counts=counts,
            forms=forms,
            is_day_first=is_day_first,
            has_codes=_has_codes(duck, name, forms),
            written=_written(duck, _read(name)),
        )
    finally:
        duck.execute(f"DROP {kind} {_read(name)}")
        duck.execute(f"DROP TABLE {_sample(name)}")
        duck.execute(f"DROP VIEW {name}")
        duck.execute(f"DROP TABLE {counted}")


def _read(name: str) -> str:
    return f"{name}_read"


def _sample(name: str) -> str:
    return f"{name}_sample"


def _say(duck: Duck, name: str, forms: Sequence[Form], *, is_day_first: bool) -> str:
    """Make the relation of what each value says, a TABLE or a VIEW."""
    # Only what numbers and times say is asked for often enough to be worth a table.
    kind = "TABLE" if {f.family for f in forms} & {Family.NUMBER, Family.MOMENT} else "VIEW"
    duck.execute(f"""
        CREATE OR REPLACE TEMP {kind} {_read(name)} AS
        SELECT n, form, {parsed_sql(forms, Family.NUMBER)} AS number,
            {parsed_sql(forms, Family.MOMENT, is_day_first=is_day_first)} AS moment
        FROM (SELECT said, n, {form_sql(forms)} AS form FROM {name})""")
    return kind


def _counts(duck: Duck, counted: str) -> Counts:
    row = (
        duck.execute(f"""
        SELECT sum(n), sum(n) FILTER (value IS NULL), sum(n) FILTER (is_blank), count(value),
            count(value) FILTER (n = 1), sum(n) FILTER (is_padded AND NOT is_blank),
            min(length) FILTER (NOT is_blank), max(length) FILTER (NOT is_blank),
            sum(length * n) FILTER (NOT is_blank)
        FROM (SELECT value, n, is_padded, length(value) AS length,
                CASE WHEN is_padded THEN {SAID} ELSE value END = '' AS is_blank
            FROM (SELECT value, n, {IS_PADDED} AS is_padded FROM {counted}))""").fetchone()
        or ()
    )
    rows, nulls, blanks, distinct, unique, padded, shortest, longest, characters = (
        int(number or 0) for number in row
    )
    filled = rows - nulls - blanks
    return Counts(
        rows=rows,
        nulls=nulls,
        blanks=blanks,
        distinct=distinct,
        unique=unique,
        padded=padded,
        lengths=Lengths(shortest=shortest, longest=longest, mean=round(characters / filled, 2))
        if filled
        else None,
    )


def forms_of(duck: Duck, name: str) -> Sequence[Form]:
    """The forms of every family that is common enough, in the order in which to try them."""
    found = duck.execute(f"""
        SELECT form, count(*) FROM (SELECT {form_sql(ALL_FORMS)} AS form
        FROM {_sample(name)}) GROUP BY ALL""").fetchall()
    total = sum(count for _, count in found)
    by_family = {
        family: sum(
            count for form, count in found if form in {PLACES[f.name] for f in of({family})}
        )
        for family in Family
    }
    forms = of({family for family, count in by_family.items() if count and count >= RARE * total})
    commonest = max(found, key=itemgetter(1), default=(None, 0))[0]
    return sorted(forms, key=lambda form: not (form.is_apart and PLACES[form.name] == commonest))


def _is_day_first(duck: Duck, name: str, forms: Sequence[Form]) -> bool:
    """Whether 1/2/2024 is the first of February: some first part is beyond 12, no second one."""
    slashed = [form for form in forms if form.name == SLASHED]
    if not slashed:
        return False
    row = duck.execute(f"""
        SELECT max(split_part(said, '/', 1)::INT), max(split_part(said, '/', 2)::INT)
        FROM {name} WHERE contains(said, '/')
            AND regexp_full_match(said, '{slashed[0].pattern}')""").fetchone()
    return bool(row and row[0] and row[0] > 12 >= row[1])


def _has_codes(duck: Duck, name: str, forms: Sequence[Form]) -> bool:
    if BY_NAME[INTEGER] not in forms:
        return False
    begins = " OR ".join(f"prefix(said, '{sign}0')" for sign in ("", "+", "-"))
    row = duck.execute(
        f"SELECT 1 FROM {name} WHERE ({begins}) AND "
        "regexp_full_match(said, '[+-]?0[0-9]{1,17}') LIMIT 1"
    ).fetchone()
    return row is not None


def _written(duck: Duck, read: str) -> Mapping[Form | None, Written]:
    """What is written how; the most frequent form first."""
    rows = duck.execute(f"""
        SELECT form, sum(n)::BIGINT AS rows, sum(n) FILTER (number IS NOT NULL),
            sum(n) FILTER (moment IS NOT NULL)
        FROM {read} GROUP BY form ORDER BY rows DESC, form""").fetchall()
    return {
        None if place is None else ALL_FORMS[place]: Written(
            rows=n, numbers=int(numbers or 0), moments=int(moments or 0)
        )
        for place, n, numbers, moments in rows
    }
