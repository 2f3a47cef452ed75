"""How a table differs from its baseline, column by column: PSI, KS, new and vanished values."""

from collections.abc import Sequence
from math import exp, log, sqrt

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.masking import LOOKED_AT, masked
from outreach_assets.tools.profile_my_data.quantiles import Weighted, quantiles
from outreach_assets.tools.profile_my_data.report import ColumnDrift, ColumnReport, Counted
from outreach_assets.tools.profile_my_data.sensitive import is_personal
from outreach_assets.tools.profile_my_data.spread import as_number, weighted
from outreach_assets.tools.profile_my_data.values import Values

NOTHING = 0.0001
"""What a share of nothing counts as: PSI divides by shares."""

MODERATE, MAJOR = 0.1, 0.25
MOST_CATEGORIES = 1000
MOST_SHOWN = 20


def column_drift(
    duck: Duck, now: Values, before: Values, column: ColumnReport, bins: int
) -> ColumnDrift:
    """One column beside the baseline's, both as tables of values with the same forms."""
    kind = _compared_as(column, now, before)
    index, ks, p_value = None, None, None
    if kind in ("numbers", "times"):
        number = "number" if kind == "numbers" else "moment"
        index = _psi_of_numbers(duck, now, before, number, bins)
        ks, p_value = _ks(duck, now, before, number)
    elif kind == "categories":
        index = _psi_of_categories(duck, now, before)
    unseen, new = _only_in(duck, now, before, column)
    _, vanished = _only_in(duck, before, now, column)
    has_list = kind == "categories"
    return ColumnDrift(
        name=column.name,
        compared_as=kind,
        verdict=_verdict(index),
        psi=index,
        ks=ks,
        ks_p_value=p_value,
        null_share_before=round(1 - before.filled / before.rows, 6),
        null_share_now=round(1 - now.filled / now.rows, 6),
        unseen_rows=unseen,
        new_values=new if has_list else [],
        vanished_values=vanished if has_list else [],
    )


def _compared_as(column: ColumnReport, now: Values, before: Values) -> str:
    if column.type in ("integer", "decimal") and column.meaning != "id":
        return "numbers"
    if column.type in ("date", "timestamp"):
        return "times"
    few = max(now.distinct, before.distinct) <= MOST_CATEGORIES
    return "categories" if few and column.meaning not in ("id", "email") else "values"


def _verdict(index: float | None) -> str:
    """By PSI where there is one; for ids and free text new values are the rule."""
    if index is None:
        return "not compared"
    return "stable" if index < MODERATE else "moderate" if index < MAJOR else "major"


def psi(before: Sequence[float], now: Sequence[float]) -> float:
    """The population stability index of two lists of counts, bin by bin."""
    total_before, total_now = sum(before), sum(now)
    if not total_before or not total_now:
        return 0.0
    index = 0.0
    for one, other in zip(before, now, strict=True):
        was, is_now = max(one / total_before, NOTHING), max(other / total_now, NOTHING)
        index += (is_now - was) * log(is_now / was)
    return round(index, 6)


def _psi_of_numbers(
    duck: Duck, now: Values, before: Values, column: str, bins: int
) -> float | None:
    """In bins that hold equal shares of the baseline."""
    relation = weighted(before, column)
    row = duck.execute(f"SELECT min(x), max(x), sum(n)::BIGINT FROM {relation}").fetchone()
    if not row or row[0] is None:
        return None
    numbers = Weighted(relation=relation, low=row[0], high=row[1], rows=row[2])
    edges = sorted(set(quantiles(duck, numbers, [n / bins for n in range(1, bins)])))
    place = " + ".join(f"(x > {edge!r})::INT" for edge in edges)
    counts = [
        dict(
            duck.execute(f"""
                SELECT {place} AS bin, sum(n)::BIGINT FROM {weighted(values, column)}
                GROUP BY bin""").fetchall()
        )
        for values in (before, now)
    ]
    return psi(*([found.get(n, 0) for n in range(len(edges) + 1)] for found in counts))


def _psi_of_categories(duck: Duck, now: Values, before: Values) -> float:
    rows = duck.execute(f"""
        SELECT coalesce(b.n, 0), coalesce(a.n, 0)
        FROM {before.name} AS b FULL JOIN {now.name} AS a USING (value)""").fetchall()
    return psi([row[0] for row in rows], [row[1] for row in rows])


def _ks(duck: Duck, now: Values, before: Values, column: str) -> tuple[float | None, float | None]:
    """The statistic and its asymptotic two-sided p-value."""
    value = as_number(column)
    row = duck.execute(f"""
        WITH joined AS (
                SELECT {value} AS x, n AS a, 0 AS b FROM {now.read} WHERE {column} IS NOT NULL
                UNION ALL
                SELECT {value}, 0, n FROM {before.read} WHERE {column} IS NOT NULL),
            steps AS (SELECT x, sum(a) AS a, sum(b) AS b FROM joined GROUP BY x),
            heights AS (SELECT sum(a) OVER (ORDER BY x) / sum(a) OVER () AS f,
                sum(b) OVER (ORDER BY x) / sum(b) OVER () AS g FROM steps)
        SELECT max(abs(f - g)), (SELECT sum(a) FROM steps), (SELECT sum(b) FROM steps)
        FROM heights""").fetchone()
    if not row or row[0] is None or not row[1] or not row[2]:
        return None, None
    return round(row[0], 6), round(ks_p_value(row[0], int(row[1]), int(row[2])), 6)


def ks_p_value(distance: float, first: int, second: int) -> float:
    """Kolmogorov's distribution at the distance, with Stephens' correction for small samples."""
    size = sqrt(first * second / (first + second))
    reach = (size + 0.12 + 0.11 / size) * distance
    if reach < 0.2:
        return 1.0
    terms = (2 * (-1) ** (k - 1) * exp(-2 * k * k * reach * reach) for k in range(1, 101))
    return float(min(max(sum(terms), 0.0), 1.0))


def _only_in(
    duck: Duck, values: Values, other: Values, column: ColumnReport
) -> tuple[int, list[Counted]]:
    """Rows of values that the other side does not have, and the most frequent of those."""
    rows = duck.execute(f"""
        SELECT left(value, {LOOKED_AT}), n::BIGINT, sum(n) OVER ()::BIGINT FROM {values.name} AS a
        WHERE NOT EXISTS (FROM {other.name} AS b WHERE b.value = a.value)
        ORDER BY n DESC, value LIMIT {MOST_SHOWN}""").fetchall()
    personal = is_personal(column.sensitive)
    shown = [
        Counted(
            value=masked(value, is_personal=personal), rows=n, share=round(n / values.filled, 6)
        )
        for value, n, _ in rows
    ]
    return (int(rows[0][2]) if rows else 0), shown
