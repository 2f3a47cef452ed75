"""What holds between the columns of a table: equal rows, keys, dependencies.

Pairs are refuted by their counts and on a sample first, which is exact, and only those that survive
are asked of every row; so the work does not grow with the square of the columns times the rows.
How columns go together is in correlations.py.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import combinations

from outreach_assets.tools.profile_my_data.correlations import correlations
from outreach_assets.tools.profile_my_data.report import ColumnReport, Dependency, TableReport
from outreach_assets.tools.profile_my_data.rows import FIRST_ROWS, Rows

MOST_IN_PAIRS = 40
MOST_NUMBERS = 30
MOST_CATEGORIES, MOST_LEVELS = 12, 50
NUMBER_TYPES = ("integer", "decimal")


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
    with closing(rows.duck.cursor()) as duck, ThreadPoolExecutor(1) as beside:
        together = beside.submit(
            correlations,
            replace(rows, duck=duck),
            numbers[:MOST_NUMBERS],
            levels[:MOST_CATEGORIES],
        )
        return TableReport(
            rows=rows.count,
            columns=len(rows.columns),
            empty_cells=sum(c.nulls + c.blanks for c in rows.columns),
            duplicate_rows=_duplicates(rows),
            keys=_keys(rows, paired[:MOST_IN_PAIRS]),
            dependencies=_dependencies(rows, paired[:MOST_IN_PAIRS]),
            correlations=together.result(),
            correlations_are_approximate=rows.one_in > 1,
            not_looked_at=left_out,
        )


def _is_category(column: ColumnReport) -> bool:
    """Few values that repeat: where none does, everything goes together."""
    repeats = 2 * column.distinct <= column.rows - column.nulls
    return column.type in ("text", "boolean") and 2 <= column.distinct <= MOST_LEVELS and repeats


def _duplicates(rows: Rows) -> int:
    """By two hashes of 64 bits each: that different rows share both does not happen.

    One column that tells all rows apart, or one hash, says at less cost that there are none.
    """
    if any(column.distinct + (column.nulls == 1) == rows.count for column in rows.columns):
        return 0
    names = [rows.name(column) for column in rows.columns]
    first = f"hash({', '.join(names)})"
    second = f"hash({', '.join(reversed(names))}, 1)"
    return _repeated(rows, first) and _repeated(rows, f"({first}, {second})")


def _repeated(rows: Rows, told_by: str) -> int:
    found = rows.duck.execute(f"""
        SELECT count(*) - count(DISTINCT {told_by}) FROM {rows.relation}""").fetchone()
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
    for relation in (rows.first, rows.relation):
        pairs = _that_tell_rows_apart(rows, relation, pairs)
    return [[a.name, b.name] for a, b in pairs]


Pair = tuple[ColumnReport, ColumnReport]


def _that_tell_rows_apart(rows: Rows, relation: str, pairs: Sequence[Pair]) -> list[Pair]:
    if not pairs:
        return []
    counts = ", ".join(
        f"count(*) = count(DISTINCT hash({rows.name(a)}, {rows.name(b)}))" for a, b in pairs
    )
    found = rows.duck.execute(f"SELECT {counts} FROM {relation}").fetchone() or ()
    return [pair for pair, holds in zip(pairs, found, strict=True) if holds]


def _dependencies(rows: Rows, paired: Sequence[ColumnReport]) -> list[Dependency]:
    """Columns that follow from another one whose values repeat often enough to be evidence."""
    causes = [c for c in paired if 2 * c.distinct <= rows.count - c.nulls and not c.blanks]
    pairs = [(a, b) for a in causes for b in paired if a is not b and _may_follow(a, b)]
    for relation_of in (_first_rows, _whole_groups, _all_rows):
        pairs = _that_follow(rows, pairs, relation_of)
    return [
        Dependency(column=b.name, follows_from=a.name, groups=a.distinct - a.unique)
        for a, b in pairs
    ]


def _may_follow(cause: ColumnReport, column: ColumnReport) -> bool:
    """Each value of the cause goes with one; a row without cause takes away one at most."""
    there_are = column.distinct + (column.nulls > 0) - cause.nulls
    return there_are <= cause.distinct


def _first_rows(rows: Rows, _cause: ColumnReport) -> str:
    return rows.first


def _whole_groups(rows: Rows, cause: ColumnReport) -> str:
    """Some groups with all their rows: of many small groups, the first rows hold one row each."""
    every = max(rows.count // FIRST_ROWS, 1)
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
