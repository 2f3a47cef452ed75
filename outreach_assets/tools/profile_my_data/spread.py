"""How a column's numbers or times lie: quantiles, a histogram, what is beyond the fences."""

from datetime import UTC, datetime

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.report import Bin, Numbers, Outliers, Spread
from outreach_assets.tools.profile_my_data.values import Values

BARS = 20
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


def each_row(values: Values, column: str) -> str:
    """A relation with `x` for every row that has a finite one, as often as there are rows."""
    once = values.unique == values.distinct
    rows = "" if once else ", unnest(range(n))"
    return f"""(SELECT {as_number(column)} AS x{rows} FROM {values.name}
        WHERE {column} IS NOT NULL AND isfinite({column}))"""


def spread_of(
    duck: Duck, values: Values, column: str, fence: float
) -> tuple[Spread, Outliers] | tuple[None, None]:
    """How `number` or `moment` lies, and what lies more than `fence` interquartile ranges outside.

    Nothing when no value is a number or time.
    """
    at = ", ".join(str(q) for q in QUANTILES.values())
    row = duck.execute(
        f"SELECT min(x), quantile_cont(x, [{at}]), max(x) FROM {each_row(values, column)}"
    ).fetchone()
    if not row or row[0] is None:
        return None, None
    found = dict(zip(("min", *QUANTILES, "max"), (row[0], *row[1], row[2]), strict=True))
    texts = {name: shown(column, number) for name, number in found.items()}
    bars = _histogram(duck, values, column, found)
    return Spread(**texts, histogram=bars), _outliers(duck, values, column, found, fence)


def _histogram(duck: Duck, values: Values, column: str, named: dict[str, float]) -> list[Bin]:
    reach = OUTER_FENCE * (named["p75"] - named["p25"])
    low = max(named["min"], named["p25"] - reach)
    high = min(named["max"], named["p75"] + reach)
    if high <= low:
        low, high = named["min"], named["max"]
    width = (high - low) / BARS
    if width <= 0:
        return [Bin(start=shown(column, low), end=shown(column, high), rows=values.filled)]
    bar = f"floor(({as_number(column)} - {low!r}) / {width!r})"
    counted = duck.execute(f"""
        SELECT greatest(least({bar}, {BARS - 1}), 0) AS bar, sum(n)::BIGINT FROM {values.name}
        WHERE {column} IS NOT NULL AND isfinite({column}) GROUP BY bar""")
    rows = dict(counted.fetchall())
    return [
        Bin(
            start=shown(column, low + bar * width),
            end=shown(column, low + (bar + 1) * width),
            rows=rows.get(bar, 0),
        )
        for bar in range(BARS)
    ]


def _outliers(
    duck: Duck, values: Values, column: str, named: dict[str, float], fence: float
) -> Outliers:
    reach = fence * (named["p75"] - named["p25"])
    below, above = named["p25"] - reach, named["p75"] + reach
    row = duck.execute(f"""
        SELECT sum(n) FROM {values.name}
        WHERE {as_number(column)} < {below!r} OR {as_number(column)} > {above!r}""").fetchone()
    return Outliers(
        rows=int((row and row[0]) or 0), below=shown(column, below), above=shown(column, above)
    )


def numbers_of(duck: Duck, values: Values) -> Numbers | None:
    """Mean, deviation and signs; None when no number is finite."""
    row = duck.execute(f"""
        SELECT favg(x), CASE WHEN count(*) > 1 THEN stddev_samp(x) END, fsum(x),
            count(*) FILTER (x = 0), count(*) FILTER (x < 0)
        FROM {each_row(values, "number")}""").fetchone()
    if not row or row[0] is None:
        return None
    return Numbers(
        mean=_rounded(row[0]),
        standard_deviation=None if row[1] is None else _rounded(row[1]),
        sum=_rounded(row[2]),
        zeros=row[3],
        negatives=row[4],
    )


def _rounded(number: float) -> float:
    """Twelve digits: threads add in any order, and the same file gives the same report."""
    return float(f"{number:.12g}")
