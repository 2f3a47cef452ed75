"""Split `<table>_raw` into `<table>_good` and `<table>_bad`, and say how it came out by state.

Plain DuckDB. What counts as bad is said by each table, in tables/; good and bad rows are views, so
nothing is copied. What reaches Parquet is held against these facts in export.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from outreach_assets.steps.extract import STATE
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tables.table import Rule, Severity, Table, Verdict, quoted

REASONS = "validation_errors"
"""The column that a bad row has beyond the source's: every reason that applies, in rule order."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many rows, and a number that changes when any of their keys does."""

    rows: int
    key_hash: str

    @property
    def number(self) -> int:
        """The key hash as the sum that DuckDB counted."""
        return int(self.key_hash, 16)


@dataclass(frozen=True, kw_only=True)
class StateVerdict:
    """How one table's rows of one state were judged."""

    raw: Tally
    good: Tally
    bad: Tally
    row_hash: str
    """Changes when any value of any row does. Only comparable within one DuckDB version."""

    reasons: Mapping[str, int]
    """Broken rules of severity error, by name; a row with two is counted in both."""

    warnings: Mapping[str, int]
    keys_missing: int
    keys_repeated: int

    @property
    def adds_up(self) -> bool:
        """Every raw row is good or bad, never both, never neither: by count and by key hash."""
        return (
            self.raw.rows == self.good.rows + self.bad.rows
            and self.raw.number == self.good.number + self.bad.number
        )


Verdicts = Mapping[str, Mapping[str, StateVerdict]]
"""By table name, then by state."""


def split_rows(duck: Duck, tables: Sequence[Table], states: Sequence[str]) -> Verdicts:
    """Make the good and bad views of every table and count them, state by state."""
    for table in tables:
        for view in split_sql(duck, table):
            duck.execute(view)
    return {table.name: _verdicts(duck, table, states) for table in tables}


def split_sql(duck: Duck, table: Table) -> Iterator[str]:
    """The statements that make `<table>_good` and `<table>_bad` from `<table>_raw`."""
    columns = ", ".join(quoted(name) for name in source_columns(duck, table))
    good, bad = _is_good(table), _is_bad(table)
    rows = asked_rows(table, table.errors)
    yield f"""
        CREATE VIEW {table.judged(Verdict.GOOD)} AS
        SELECT {columns}, {STATE} FROM {rows} WHERE {good}"""
    yield f"""
        CREATE VIEW {table.judged(Verdict.BAD)} AS
        SELECT {columns}, {reasons_sql(table)} AS {REASONS}, {STATE} FROM {rows} WHERE {bad}"""


def reasons_sql(table: Table) -> str:
    """SQL for the list of broken rules of severity error, in rule order; empty for a good row."""
    named = ", ".join(f"CASE WHEN {rule.broken} THEN '{rule.name}' END" for rule in table.errors)
    return f"list_filter([{named}]::VARCHAR[], lambda reason: reason IS NOT NULL)"


def asked_rows(
    table: Table, rules: Sequence[Rule], rows_of: Callable[[Table], str] = lambda t: t.raw
) -> str:
    """The relation that these rules are asked of: the rows, and what they ask of other tables.

    `rows_of` names the relation that holds a table's rows with their `outreach_state`. Each linked
    table is judged and joined once, however often the rules are asked; without a linked rule the
    relation is the rows themselves.
    """
    linked = {rule.linked.is_bad: rule.linked for rule in rules if rule.linked is not None}
    if not linked:
        return rows_of(table)
    columns, joins = "t.*", ""
    for number, link in enumerate(linked.values()):
        other, alias = link.table, f"linked_{number}"
        key = quoted(other.key)
        columns += f", {alias}.key IS NOT NULL AS {link.is_bad}"
        # Of the same state only: a run of one state has no other state's rows to look at.
        joins += f"""
            LEFT JOIN (SELECT DISTINCT {key} AS key, {STATE} AS state
                       FROM {asked_rows(other, other.errors, rows_of)} WHERE {_is_bad(other)})
            AS {alias} ON {alias}.key = t.{quoted(link.column)} AND {alias}.state = t.{STATE}"""
    return f"(SELECT {columns} FROM {rows_of(table)} AS t {joins})"


def source_columns(duck: Duck, table: Table) -> list[str]:
    """The raw table's columns that came from the source, in its order."""
    described = duck.execute(f"DESCRIBE {table.raw}").fetchall()
    return [row[0] for row in described if row[0] != STATE]


def _hashed_columns(duck: Duck, table: Table) -> Iterator[str]:
    """The source's columns as `hash` takes them: to it NULL, [] and [NULL] are one and the same."""
    for name, duck_type, *_ in duck.execute(f"DESCRIBE {table.raw}").fetchall():
        if name != STATE:
            yield quoted(name)
            if duck_type.endswith("]"):
                yield f"len({quoted(name)})"


def _is_good(table: Table) -> str:
    return " AND ".join(f"NOT {rule.broken}" for rule in table.errors) or "TRUE"


def _is_bad(table: Table) -> str:
    """Said by itself, not as the opposite of good: that they are is what the tallies check."""
    return " OR ".join(rule.broken for rule in table.errors) or "FALSE"


def key_tally(key: str) -> str:
    """SQL for the two columns of a Tally: count, and sum of key hashes (never NULL)."""
    return f"count(*), coalesce(sum(hash({quoted(key)})::HUGEINT), 0)"


def _verdicts(duck: Duck, table: Table, states: Sequence[str]) -> dict[str, StateVerdict]:
    found = {row[0]: row[1:] for row in duck.execute(_verdict_sql(duck, table)).fetchall()}
    nothing = (0,) * (9 + len(table.rules))
    return {state: _verdict(table, found.get(state, nothing)) for state in states}


def _verdict_sql(duck: Duck, table: Table) -> str:
    """One pass: per state the three tallies, the row hash, the keys, the broken rules."""
    columns = ", ".join(_hashed_columns(duck, table))
    key = quoted(table.key)
    good, bad = _is_good(table), _is_bad(table)
    broken = "".join(f", count(*) FILTER ({rule.broken})" for rule in table.rules)
    return f"""
        SELECT {STATE}, {key_tally(table.key)},
            count(*) FILTER ({good}), coalesce(sum(hash({key})::HUGEINT) FILTER ({good}), 0),
            count(*) FILTER ({bad}), coalesce(sum(hash({key})::HUGEINT) FILTER ({bad}), 0),
            sum(hash({columns})::HUGEINT), count(*) FILTER ({key} IS NULL),
            count({key}) - count(DISTINCT {key}) {broken}
        FROM {asked_rows(table, table.rules)} GROUP BY {STATE}"""


def _verdict(table: Table, row: Sequence[int]) -> StateVerdict:
    by_rule = dict(zip(table.rules, row[9:], strict=True))
    return StateVerdict(
        raw=tally(row[0], row[1]),
        good=tally(row[2], row[3]),
        bad=tally(row[4], row[5]),
        row_hash=f"{int(row[6]):x}",
        keys_missing=row[7],
        keys_repeated=row[8],
        reasons={r.name: n for r, n in by_rule.items() if r.severity is Severity.ERROR},
        warnings={r.name: n for r, n in by_rule.items() if r.severity is Severity.WARN},
    )


def tally(rows: int, key_sum: int) -> Tally:
    """A Tally of what `key_tally` selected."""
    return Tally(rows=rows, key_hash=f"{int(key_sum):x}")
