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
    Spread,
)
from outreach_assets.tools.profile_my_data.sensitive import is_personal, sensitive_found
from outreach_assets.tools.profile_my_data.spread import spread_of
from outreach_assets.tools.profile_my_data.values import Values

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
    lie = spread_of(duck, values, column, parameters.outlier_fence) if has_spread else None
    counts = values.counts
    forms = _forms(values)
    return ColumnReport(
        name=name,
        place=place,
        type=found.type,
        meaning=found.means,
        fits=found.fits,
        rows=counts.rows,
        nulls=counts.nulls,
        blanks=counts.blanks,
        distinct=counts.distinct,
        unique=counts.unique,
        duplicates=counts.rows - counts.nulls - counts.distinct,
        padded=counts.padded,
        lengths=counts.lengths,
        top_values=[
            one.model_copy(update={"value": masked(one.value, is_personal=personal)})
            for one in _top_values(duck, values, parameters.top_values)
        ],
        patterns=_patterns(duck, values),
        forms=forms,
        is_day_first=values.is_day_first,
        spread=(_year_only(lie.spread) if personal else lie.spread) if lie else None,
        numbers=lie.numbers if lie and is_number and not personal else None,
        outliers=lie.outliers if lie and not personal else None,
        sensitive=sensitive,
        score=_score(values, found, forms),
    )


def _year_only(spread: Spread) -> Spread | None:
    """A date of birth is somebody's; a year is not. Numbers that are personal have no spread."""
    times = {name: value for name, value in spread if isinstance(value, str)}
    if not all(YEAR.match(value) for value in times.values()):
        return None
    years = {name: value[:4] for name, value in times.items()}
    return spread.model_copy(update={**years, "histogram": []})


def _top_values(duck: Duck, values: Values, most: int) -> list[Counted]:
    """The most frequent ones; equal ones in the order of the alphabet."""
    rows = duck.execute(f"""
        SELECT left(value, {LOOKED_AT}), n::BIGINT FROM (
            SELECT value, n FROM {values.name} ORDER BY n DESC, value LIMIT {most})
        ORDER BY n DESC, value""").fetchall()
    return [Counted(value=v, rows=n, share=round(n / values.filled, 6)) for v, n in rows]


def _forms(values: Values) -> list[Counted]:
    """How many rows are written in each of the forms that were looked for."""
    return [
        Counted(value=form.name, rows=one.rows, share=round(one.rows / values.filled, 6))
        for form, one in values.written.items()
        if form
    ]


def _patterns(duck: Duck, values: Values) -> list[Counted]:
    lengths = values.counts.lengths
    if not lengths or lengths.mean > FREE_TEXT:
        return []
    rows = duck.execute(f"""
        WITH plain AS (
                SELECT {AS_PATTERN} AS pattern, sum(n) AS n FROM {values.sample} GROUP BY ALL),
            ascii AS (
                SELECT regexp_replace(pattern, '[^\\x00-\\x7F]', 'a', 'g') AS p, n FROM plain),
            runs AS (SELECT regexp_replace(regexp_replace(p, 'aa+', 'a+', 'g'), 'AA+', 'A+', 'g')
                AS pattern, n FROM ascii)
        SELECT pattern, sum(n)::BIGINT AS n, sum(sum(n)) OVER ()::BIGINT FROM runs
        GROUP BY pattern ORDER BY n DESC, pattern LIMIT {MOST_PATTERNS}""").fetchall()
    return [
        Counted(value=pattern[:80], rows=n, share=round(n / total, 6)) for pattern, n, total in rows
    ]


MIXABLE_TYPES, MIXABLE_MEANINGS = ("boolean",), ("date", "phone", "money")


def is_mixable(kind: str, means: str) -> bool:
    """Whether the same could be written in several ways, so that one of them should be kept to."""
    return kind in MIXABLE_TYPES or means in MIXABLE_MEANINGS


def written_alike(kind: str, means: str, forms: Sequence[Counted]) -> float:
    """The share of the values that are written the way most of them are."""
    written = sum(one.rows for one in forms)
    return forms[0].rows / written if is_mixable(kind, means) and written else 1.0


def _score(values: Values, found: Meaning, forms: Sequence[Counted]) -> float:
    if not values.filled:
        return 0.0
    complete = values.filled / values.rows
    valid = found.fits / values.filled
    alike = written_alike(found.type, found.means, forms) * (
        1 - values.counts.padded / values.filled
    )
    return round(100 * (complete + valid + alike) / 3, 1)
