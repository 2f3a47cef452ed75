"""What holds between the columns of a table: equal rows, keys, dependencies, correlations.

Pairs are refuted on a sample first, which is exact, and only those that survive are asked of every
row; so the work does not grow with the square of the columns times the rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.profile_my_data.forms import Family, form_sql, of, parsed_sql
from outreach_assets.tools.profile_my_data.report import (
    ColumnReport,
    Correlation,
    Dependency,
    TableReport,
)
from outreach_assets.tools.profile_my_data.values import SAID
from outreach_assets.tools.reading.columns import inner_name

SAMPLE_ROWS = 10_000
MOST_IN_PAIRS = 40
MOST_NUMBERS = 30
MOST_CATEGORIES, MOST_LEVELS = 12, 50
WORTH_SHOWING = 0.1
NUMBER_TYPES = ("integer", "decimal")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The table's rows and what is known of its columns."""

    duck: Duck
    relation: str
    columns: Sequence[ColumnReport]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.columns[0].rows

    def name(self, column: ColumnReport) -> str:
        """What the column is called in the relation."""
        return inner_name(column.place - 1)


def table_report(rows: Rows) -> TableReport:
    """Everything that is said of the rows as a whole."""
    numbers = [c for c in rows.columns if c.type in NUMBER_TYPES and c.distinct > 1]
    levels = [c for c in rows.columns if _is_category(c)]
    paired = [c for c in rows.columns if c.distinct > 1]
    left_out = [
        f"{what}: only the first {most} of {len(found)} columns were looked at"
        for what, found, most in (
            ("dependencies and keys of two columns", paired, MOST_IN_PAIRS),
            ("correlations of numbers", numbers, MOST_NUMBERS),
            ("correlations of categories", levels, MOST_CATEGORIES),
        )
        if len(found) > most
    ]
    return TableReport(
        rows=rows.count,
        columns=len(rows.columns),
        empty_cells=sum(c.nulls + c.blanks for c in rows.columns),
        duplicate_rows=_duplicates(rows),
        keys=_keys(rows, paired[:MOST_IN_PAIRS]),
        dependencies=_dependencies(rows, paired[:MOST_IN_PAIRS]),
        correlations=sorted(
            [*_pearson(rows, numbers[:MOST_NUMBERS]), *_cramers(rows, levels[:MOST_CATEGORIES])],
            key=lambda one: (-abs(one.value), one.first, one.second),
        ),
        not_looked_at=left_out,
    )


def _is_category(column: ColumnReport) -> bool:
    """Few values that repeat: where none does, everything goes together."""
    repeats = 2 * column.distinct <= column.rows - column.nulls
    return column.type in ("text", "boolean") and 2 <= column.distinct <= MOST_LEVELS and repeats


def _duplicates(rows: Rows) -> int:
    """By two hashes of 64 bits each: that different rows share both does not happen."""
    names = [rows.name(column) for column in rows.columns]
    first, second = ", ".join(names), ", ".join([*reversed(names), "1"])
    found = rows.duck.execute(f"""
        SELECT count(*) - count(DISTINCT (hash({first}), hash({second})))
        FROM {rows.relation}""").fetchone()
    return int(found[0]) if found else 0


def _keys(rows: Rows, paired: Sequence[ColumnReport]) -> list[list[str]]:
    """Single columns first; pairs only where there is none."""
    if rows.count < 2:
        return []
    single = [c for c in rows.columns if c.distinct == rows.count and not c.blanks]
    if single:
        plain = [c for c in single if c.type not in ("decimal", "timestamp")]
        return [[c.name] for c in plain or single]
    full = [c for c in paired if not c.nulls and not c.blanks and c.type != "decimal"]
    pairs = [(a, b) for a, b in combinations(full, 2) if a.distinct * b.distinct >= rows.count]
    for relation in (_sample(rows), rows.relation):
        pairs = _that_tell_rows_apart(rows, relation, pairs)
    return [[a.name, b.name] for a, b in pairs]


Pair = tuple[ColumnReport, ColumnReport]


def _that_tell_rows_apart(rows: Rows, relation: str, pairs: Sequence[Pair]) -> list[Pair]:
    if not pairs:
        return []
    counts = ", ".join(
        f"count(*) = count(DISTINCT ({rows.name(a)}, {rows.name(b)}))" for a, b in pairs
    )
    found = rows.duck.execute(f"SELECT {counts} FROM {relation}").fetchone() or ()
    return [pair for pair, holds in zip(pairs, found, strict=True) if holds]


def _sample(rows: Rows) -> str:
    """The first rows: a pair that fails among them fails altogether."""
    return f"(SELECT * FROM {rows.relation} LIMIT {SAMPLE_ROWS})"


def _dependencies(rows: Rows, paired: Sequence[ColumnReport]) -> list[Dependency]:
    """Columns that follow from another one whose values repeat often enough to be evidence."""
    causes = [c for c in paired if 2 * c.distinct <= rows.count - c.nulls and not c.blanks]
    pairs = [(a, b) for a in causes for b in paired if a is not b]
    for relation_of in (_first_rows, _whole_groups, _all_rows):
        pairs = _that_follow(rows, pairs, relation_of)
    return [
        Dependency(column=b.name, follows_from=a.name, groups=a.distinct - a.unique)
        for a, b in pairs
    ]


def _first_rows(rows: Rows, _cause: ColumnReport) -> str:
    return _sample(rows)


def _whole_groups(rows: Rows, cause: ColumnReport) -> str:
    """Some groups with all their rows: of many small groups, the first rows hold one row each."""
    every = max(rows.count // SAMPLE_ROWS, 1)
    return f"(SELECT * FROM {rows.relation} WHERE hash({rows.name(cause)}) % {every} = 0)"


def _all_rows(rows: Rows, _cause: ColumnReport) -> str:
    return rows.relation


def _that_follow(
    rows: Rows, pairs: Sequence[Pair], relation_of: Callable[[Rows, ColumnReport], str]
) -> list[Pair]:
    """The pairs where no value of the first goes with two of the second; NULL is one, too."""
    kept: list[Pair] = []
    for cause in dict.fromkeys(a.place for a, _ in pairs):
        mine = [pair for pair in pairs if pair[0].place == cause]
        name = rows.name(mine[0][0])
        relation = relation_of(rows, mine[0][0])
        ones = ", ".join(
            f"min({rows.name(b)}) IS NOT DISTINCT FROM max({rows.name(b)}) "
            f"AND (count({rows.name(b)}) = 0 OR count({rows.name(b)}) = count(*)) AS x{n}"
            for n, (_, b) in enumerate(mine)
        )
        all_of = ", ".join(f"coalesce(bool_and(x{n}), true)" for n in range(len(mine)))
        found = (
            rows.duck.execute(f"""
            SELECT {all_of} FROM (SELECT {ones} FROM {relation}
            WHERE {name} IS NOT NULL GROUP BY {name})""").fetchone()
            or ()
        )
        kept += [pair for pair, holds in zip(mine, found, strict=True) if holds]
    return kept


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
    pairs = list(combinations(range(len(numbers)), 2))
    if not pairs:
        return []
    columns = ", ".join(f"{number_sql(rows.name(c), c)} AS x{n}" for n, c in enumerate(numbers))
    ones = ", ".join(f"corr(x{a}, x{b})" for a, b in pairs)
    found = rows.duck.execute(f"SELECT {ones} FROM (SELECT {columns} FROM {rows.relation})")
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
            SELECT {rows.name(a)}, {rows.name(b)}, count(*) FROM {rows.relation}
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
