"""How a column's numbers or times lie: quantiles, a histogram, what is beyond the fences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import fsum, sqrt

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.quantiles import Weighted, quantiles
from outreach_assets.tools.profile_my_data.report import Bin, Numbers, Outliers, Spread
from outreach_assets.tools.profile_my_data.values import Values

BARS = 20
UNBEARABLE = 1e140
"""The squares of such numbers have no sum: like infinity, they are outliers and nothing else."""

OUTER_FENCE = 3.0
QUANTILES = {
    "p01": 0.01,
    "p05": 0.05,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p95": 0.95,
    "p99": 0.99,
}


def as_number(column: str) -> str:
    """SQL for `number`, or for `moment` as seconds since 1970, so that both are counted alike."""
    return "number" if column == "number" else "epoch(moment)"


def shown(column: str, number: float) -> str:
    """A number without needless digits; a time as ISO, without the hour at midnight."""
    if column == "number":
        return f"{number:.10g}"
    moment = datetime.fromtimestamp(number, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"{moment:%Y-%m-%d}" if moment == midnight else f"{moment:%Y-%m-%d %H:%M:%S}"


def weighted(values: Values, column: str) -> str:
    """A relation with `x` for every value that says a bearable number or time, and its rows `n`."""
    return f"""(SELECT * FROM (SELECT {as_number(column)} AS x, n FROM {values.read}
        WHERE {column} IS NOT NULL) WHERE abs(x) < {UNBEARABLE!r})"""


@dataclass(frozen=True, kw_only=True)
class Lie:
    """How the numbers of a column lie, as the report says it."""

    spread: Spread
    numbers: Numbers
    outliers: Outliers


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What one look over the numbers finds."""

    low: float
    high: float
    rows: int
    total: float
    zeros: int
    negatives: int

    @property
    def mean(self) -> float:
        """Of all rows."""
        return self.total / self.rows


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Twenty equal bars from `start` on; `width` is 0 where all numbers are one."""

    start: float
    width: float

    @property
    def sql(self) -> str:
        """SQL for the bar of `x`; what lies outside is in the first and the last."""
        if self.width <= 0:
            return "0"
        return f"greatest(least(floor((x - {self.start!r}) / {self.width!r}), {BARS - 1}), 0)::INT"


def spread_of(duck: Duck, values: Values, column: str, fence: float) -> Lie | None:
    """How `number` or `moment` lies, and what lies more than `fence` interquartile ranges outside.

    Nothing when no value is a bearable number or time.
    """
    relation = weighted(values, column)
    all_of = _totals(duck, relation)
    if all_of is None:
        return None
    numbers = Weighted(relation=relation, low=all_of.low, high=all_of.high, rows=all_of.rows)
    named = dict(zip(QUANTILES, quantiles(duck, numbers, list(QUANTILES.values())), strict=True))
    named = {"min": all_of.low, **named, "max": all_of.high}
    reach = fence * (named["p75"] - named["p25"])
    below, above = named["p25"] - reach, named["p75"] + reach
    bars = _bars(named)
    rows = duck.execute(f"""
        SELECT {bars.sql} AS bar, sum(n)::BIGINT,
            coalesce(sum(n) FILTER (x < {below!r} OR x > {above!r}), 0)::BIGINT,
            fsum(n * (x - {all_of.mean!r}) * (x - {all_of.mean!r}))
        FROM {relation} GROUP BY bar ORDER BY bar""").fetchall()
    unbearable = sum(w.numbers for w in values.written.values()) - all_of.rows
    return Lie(
        spread=Spread(
            **{name: shown(column, number) for name, number in named.items()},
            histogram=_histogram(column, bars, {bar: n for bar, n, _, _ in rows}),
        ),
        numbers=_numbers(all_of, fsum(squares for _, _, _, squares in rows)),
        outliers=Outliers(
            rows=sum(n for _, _, n, _ in rows) + (unbearable if column == "number" else 0),
            below=shown(column, below),
            above=shown(column, above),
        ),
    )


def _totals(duck: Duck, relation: str) -> Totals | None:
    row = duck.execute(f"""
        SELECT min(x), max(x), sum(n)::BIGINT, fsum(x * n), sum(n) FILTER (x = 0),
            sum(n) FILTER (x < 0)
        FROM {relation}""").fetchone()
    if not row or row[0] is None:
        return None
    return Totals(
        low=row[0],
        high=row[1],
        rows=row[2],
        total=row[3],
        zeros=int(row[4] or 0),
        negatives=int(row[5] or 0),
    )


def _bars(named: Mapping[str, float]) -> Bars:
    reach = OUTER_FENCE * (named["p75"] - named["p25"])
    low = max(named["min"], named["p25"] - reach)
    high = min(named["max"], named["p75"] + reach)
    if high <= low:
        low, high = named["min"], named["max"]
    return Bars(start=low, width=(high - low) / BARS)


def _histogram(column: str, bars: Bars, rows: Mapping[int, int]) -> list[Bin]:
    return [
        Bin(
            start=shown(column, bars.start + bar * bars.width),
            end=shown(column, bars.start + (bar + 1) * bars.width),
            rows=rows.get(bar, 0),
        )
        for bar in range(BARS if bars.width > 0 else 1)
    ]


def _numbers(all_of: Totals, squares: float) -> Numbers:
    """Twelve digits: threads add in any order, and the same file gives the same report."""
    deviation = sqrt(squares / (all_of.rows - 1)) if all_of.rows > 1 else None
    return Numbers(
        mean=_rounded(all_of.mean),
        standard_deviation=None if deviation is None else _rounded(deviation),
        sum=_rounded(all_of.total),
        zeros=all_of.zeros,
        negatives=all_of.negatives,
    )


def _rounded(number: float) -> float:
    return float(f"{number:.12g}")
