"""Everything the report says of one column, from the table of its values."""

import re
from collections.abc import Sequence

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.manifest import ProfileParameters
from outreach_assets.tools.profile_my_data.masking import LOOKED_AT, masked
from outreach_assets.tools.profile_my_data.meanings import Meaning, meaning
from outreach_assets.tools.profile_my_data.report import (
    ColumnReport,
    Counted,
    Lengths,
    Spread,
)
from outreach_assets.tools.profile_my_data.sensitive import is_personal, sensitive_found
from outreach_assets.tools.profile_my_data.spread import numbers_of, spread_of
from outreach_assets.tools.profile_my_data.values import Values, sample_sql

PATTERN_SAMPLE = 10_000
MOST_PATTERNS = 10
YEAR = re.compile(r"[0-9]{4}-[0-9]{2}")
FREE_TEXT = 30
"""Text longer than this on average has no pattern worth showing."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
AS_PATTERN = (
    f"translate(said, '{LETTERS}{LETTERS.upper()}0123456789', '{'a' * 26}{'A' * 26}{'9' * 10}')"
)


def column_report(
    duck: Duck, values: Values, name: str, place: int, parameters: ProfileParameters
) -> ColumnReport:
    """The column called `name`, the `place`-th of its table."""
    found = meaning(duck, values, name)
    sensitive = sensitive_found(duck, values, name, found)
    personal = is_personal(sensitive)
    is_number = found.type in ("integer", "decimal")
    column = "number" if is_number else "moment"
    has_spread = is_number or found.type in ("date", "timestamp")
    spread, outliers = (
        spread_of(duck, values, column, parameters.outlier_fence) if has_spread else (None, None)
    )
    lengths = _lengths(duck, values)
    forms = _forms(duck, values)
    padded = _padded(duck, values)
    return ColumnReport(
        name=name,
        place=place,
        type=found.type,
        meaning=found.means,
        fits=found.fits,
        rows=values.rows,
        nulls=values.nulls,
        blanks=values.blanks,
        distinct=values.distinct,
        unique=values.unique,
        duplicates=values.rows - values.nulls - values.distinct,
        padded=padded,
        lengths=lengths,
        top_values=[
            one.model_copy(update={"value": masked(one.value, is_personal=personal)})
            for one in _top_values(duck, values, parameters.top_values)
        ],
        patterns=_patterns(duck, values, lengths),
        forms=forms,
        is_day_first=values.is_day_first,
        spread=_year_only(spread) if spread and personal else spread,
        numbers=numbers_of(duck, values) if is_number and not personal else None,
        outliers=None if personal else outliers,
        sensitive=sensitive,
        score=_score(values, found, forms, padded),
    )


def _year_only(spread: Spread) -> Spread | None:
    """A date of birth is somebody's; a year is not. Numbers that are personal have no spread."""
    times = {name: value for name, value in spread if isinstance(value, str)}
    if not all(YEAR.match(value) for value in times.values()):
        return None
    years = {name: value[:4] for name, value in times.items()}
    return spread.model_copy(update={**years, "histogram": []})


def _lengths(duck: Duck, values: Values) -> Lengths | None:
    row = duck.execute(f"""
        SELECT min(length(value)), max(length(value)), sum(length(value) * n) / sum(n)
        FROM {values.name}""").fetchone()
    if not row or row[0] is None:
        return None
    return Lengths(shortest=row[0], longest=row[1], mean=round(row[2], 2))


def _padded(duck: Duck, values: Values) -> int:
    row = duck.execute(f"SELECT sum(n) FROM {values.name} WHERE value <> said").fetchone()
    return int((row and row[0]) or 0)


def _top_values(duck: Duck, values: Values, most: int) -> list[Counted]:
    """The most frequent ones; equal ones in the order of the alphabet."""
    rows = duck.execute(f"""
        SELECT left(value, {LOOKED_AT}), n::BIGINT FROM (
            SELECT value, n FROM {values.name} ORDER BY n DESC, value LIMIT {most})
        ORDER BY n DESC, value""").fetchall()
    return [Counted(value=v, rows=n, share=round(n / values.filled, 6)) for v, n in rows]


def _forms(duck: Duck, values: Values) -> list[Counted]:
    """How many rows are written in each of the forms that were looked for."""
    rows = duck.execute(f"""
        SELECT form, sum(n)::BIGINT AS n FROM {values.name} WHERE form IS NOT NULL
        GROUP BY form ORDER BY n DESC, form""").fetchall()
    return [Counted(value=v, rows=n, share=round(n / values.filled, 6)) for v, n in rows]


def _patterns(duck: Duck, values: Values, lengths: Lengths | None) -> list[Counted]:
    if not lengths or lengths.mean > FREE_TEXT:
        return []
    sample = sample_sql(values.name, values.distinct, PATTERN_SAMPLE)
    rows = duck.execute(f"""
        WITH plain AS (SELECT {AS_PATTERN} AS pattern, sum(n) AS n FROM {sample} GROUP BY ALL),
            ascii AS (
                SELECT regexp_replace(pattern, '[^\\x00-\\x7F]', 'a', 'g') AS p, n FROM plain),
            runs AS (SELECT regexp_replace(regexp_replace(p, 'aa+', 'a+', 'g'), 'AA+', 'A+', 'g')
                AS pattern, n FROM ascii)
        SELECT pattern, sum(n)::BIGINT AS n, sum(sum(n)) OVER ()::BIGINT FROM runs
        GROUP BY pattern ORDER BY n DESC, pattern LIMIT {MOST_PATTERNS}""").fetchall()
    return [
        Counted(value=pattern[:80], rows=n, share=round(n / total, 6)) for pattern, n, total in rows
    ]


MIXABLE_TYPES, MIXABLE_MEANINGS = ("date", "timestamp", "boolean"), ("phone", "money")


def is_mixable(kind: str, means: str) -> bool:
    """Whether the same could be written in several ways, so that one of them should be kept to."""
    return kind in MIXABLE_TYPES or means in MIXABLE_MEANINGS


def written_alike(kind: str, means: str, forms: Sequence[Counted]) -> float:
    """The share of the values that are written the way most of them are."""
    written = sum(one.rows for one in forms)
    return forms[0].rows / written if is_mixable(kind, means) and written else 1.0


def _score(values: Values, found: Meaning, forms: Sequence[Counted], padded: int) -> float:
    if not values.filled:
        return 0.0
    complete = values.filled / values.rows
    valid = found.fits / values.filled
    alike = written_alike(found.type, found.means, forms) * (1 - padded / values.filled)
    return round(100 * (complete + valid + alike) / 3, 1)
