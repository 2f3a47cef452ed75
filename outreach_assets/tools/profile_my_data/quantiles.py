"""Exact quantiles of numbers that each stand for so many rows, without putting them all in order.

The numbers are counted in narrow bins; only those in a bin that holds a wanted place are sorted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite

from outreach_assets.steps.private_duckdb import Duck

BINS = 4096


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A relation with a finite number `x` for `n` rows, the least and the largest, all rows."""

    relation: str
    low: float
    high: float
    rows: int

    @property
    def bin_sql(self) -> str:
        """SQL for the bin of `x`; it never falls where `x` grows."""
        scale = BINS / (self.high - self.low) if self.high > self.low else 0.0
        if not scale or not isfinite(scale * (self.high - self.low)):
            return "0"
        return f"least(floor((x - {self.low!r}) * {scale!r}), {BINS - 1})::SMALLINT"


def quantiles(duck: Duck, numbers: Weighted, wanted: Sequence[float]) -> list[float]:
    """The number at each of these shares of the rows, interpolated as numpy and pandas do."""
    places = {share: share * (numbers.rows - 1) for share in wanted}
    whole = {floor(at) for at in places.values()}
    whole |= {min(place + 1, numbers.rows - 1) for place in whole}
    at_place = _at_places(duck, numbers, sorted(whole))
    found = []
    for at in places.values():
        below = at_place[floor(at)]
        above = at_place[min(floor(at) + 1, numbers.rows - 1)]
        found.append(below + (above - below) * (at - floor(at)))
    return found


def _at_places(duck: Duck, numbers: Weighted, places: Sequence[int]) -> Mapping[int, float]:
    """The numbers at these places, counted from 0, if there was one for every row in order."""
    bins: list[tuple[int, int]] = duck.execute(f"""
        SELECT {numbers.bin_sql} AS bin, sum(n)::BIGINT FROM {numbers.relation}
        GROUP BY bin ORDER BY bin""").fetchall()
    inside = {place: (bin_, before) for place, bin_, before in _placed(bins, places)}
    asked = ", ".join(
        f"({place}, {bin_}, {place - before})" for place, (bin_, before) in inside.items()
    )
    rows = duck.execute(f"""
        WITH asked(place, bin, rank) AS (VALUES {asked}),
            kept AS (SELECT bin, x, sum(n) AS n
                FROM (SELECT {numbers.bin_sql} AS bin, x, n FROM {numbers.relation})
                WHERE bin IN ({", ".join(str(bin_) for bin_, _ in set(inside.values()))})
                GROUP BY ALL),
            steps AS (SELECT bin, x, sum(n) OVER (PARTITION BY bin ORDER BY x) AS upto FROM kept)
        SELECT place, min(x) FROM asked JOIN steps USING (bin) WHERE upto > rank
        GROUP BY place""")
    return dict(rows.fetchall())


def _placed(
    bins: Sequence[tuple[int, int]], places: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """For each place the bin that holds it, and how many rows lie in the bins before."""
    before, left = 0, list(places)
    for bin_, rows in bins:
        while left and left[0] < before + rows:
            yield left.pop(0), bin_, before
        before += rows
