"""Numbers far from the others of their column: SQL for the rows that have one."""

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.reading.columns import inner_name

FEWEST = 10
"""With fewer numbers, quartiles say nothing."""


def outlying_rows(duck: Duck, place: int, fence: float) -> str | None:
    """SQL for (row, cell, reason); None when the column has no outlier."""
    number = f"TRY_CAST({inner_name(place)} AS DOUBLE)"
    found = duck.execute(f"""
        SELECT count(x), quantile_cont(x, 0.25), quantile_cont(x, 0.75), min(x), max(x)
        FROM (SELECT {number} AS x FROM rows) WHERE isfinite(x)""").fetchone()
    if not found or found[0] < FEWEST or found[1] == found[2]:
        return None
    _, low, high, least, most = found
    lowest, highest = low - fence * (high - low), high + fence * (high - low)
    if lowest <= least and most <= highest:
        return None
    said = f"beyond {fence:g} interquartile ranges: not from {lowest:.6g} to {highest:.6g}"
    return f"""
        SELECT row, {inner_name(place)} AS cell, '{said}' AS reason
        FROM rows WHERE isfinite({number}) AND {number} NOT BETWEEN {lowest!r} AND {highest!r}"""
