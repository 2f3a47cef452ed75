"""How two columns go together: Pearson's correlation of numbers, Cramér's V of categories.

From all rows of a table of up to 200,000, else from about 100,000 that lie all over it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt

from outreach_assets.tools.profile_my_data.forms import Family, form_sql, of, parsed_sql
from outreach_assets.tools.profile_my_data.report import ColumnReport, Correlation
from outreach_assets.tools.profile_my_data.rows import Rows
from outreach_assets.tools.profile_my_data.spread import UNBEARABLE
from outreach_assets.tools.profile_my_data.values import SAID

WORTH_SHOWING = 0.1


def correlations(
    rows: Rows, numbers: Sequence[ColumnReport], levels: Sequence[ColumnReport]
) -> list[Correlation]:
    """The strongest first; weak ones are not listed."""
    return sorted(
        [*_pearson(rows, numbers), *_cramers(rows, levels)],
        key=lambda one: (-abs(one.value), one.first, one.second),
    )


def number_sql(column: str, report: ColumnReport) -> str:
    """SQL for the number that a row of the column says."""
    forms = [form for form in of({Family.NUMBER}) if form.name in {f.value for f in report.forms}]
    if {form.name for form in forms} <= {"integer", "decimal"}:
        return f"TRY_CAST({column} AS DOUBLE)"
    said = SAID.replace("value", column)
    form = form_sql(forms).replace("said", said)
    parsed = parsed_sql(forms, Family.NUMBER).replace("said", said)
    return f"({parsed.replace('CASE form', f'CASE {form}', 1)})"


def _pearson(rows: Rows, numbers: Sequence[ColumnReport]) -> list[Correlation]:
    places = range(len(numbers))
    pairs = list(combinations(places, 2))
    if not pairs:
        return []
    columns = ", ".join(f"{number_sql(rows.name(c), c)} AS x{n}" for n, c in enumerate(numbers))
    bearable = ", ".join(
        f"CASE WHEN abs(x{n}) < {UNBEARABLE!r} THEN x{n} END AS x{n}" for n in places
    )
    ones = ", ".join(f"corr(x{a}, x{b})" for a, b in pairs)
    found = rows.duck.execute(f"""
        SELECT {ones} FROM (SELECT {bearable} FROM (SELECT {columns} FROM {rows.spread}))""")
    return [
        Correlation(
            first=numbers[a].name, second=numbers[b].name, measure="pearson", value=round(value, 6)
        )
        for (a, b), value in zip(pairs, found.fetchone() or (), strict=True)
        if value is not None and abs(value) >= WORTH_SHOWING
    ]


def _cramers(rows: Rows, levels: Sequence[ColumnReport]) -> list[Correlation]:
    """Cramér's V of every two categories, over rows where both have a value."""
    found = []
    for a, b in combinations(levels, 2):
        counted = rows.duck.execute(f"""
            SELECT {rows.name(a)}, {rows.name(b)}, count(*) FROM {rows.spread}
            WHERE {rows.name(a)} IS NOT NULL AND {rows.name(b)} IS NOT NULL GROUP BY ALL""")
        counts: Mapping[tuple[str, str], int] = {(x, y): n for x, y, n in counted.fetchall()}
        value = cramers_v(counts)
        if value is not None and value >= WORTH_SHOWING:
            found.append(
                Correlation(first=a.name, second=b.name, measure="cramers_v", value=round(value, 6))
            )
    return found


def cramers_v(counts: Mapping[tuple[str, str], int]) -> float | None:
    """Cramér's V of a table of counts, without correction; None where one side has one value."""
    total = sum(counts.values())
    firsts = {x: 0 for x, _ in counts}
    seconds = {y: 0 for _, y in counts}
    for (x, y), n in counts.items():
        firsts[x] += n
        seconds[y] += n
    smaller = min(len(firsts), len(seconds)) - 1
    if smaller < 1:
        return None
    # The sum of n² / (row * column), less 1, is chi² / total, cells of nothing included.
    chi = sum(n * n / (firsts[x] * seconds[y]) for (x, y), n in counts.items()) - 1
    return sqrt(max(chi, 0) / smaller) if total else None
