"""Corrected rows, judged before anything is written: master rows with the given cells over them.

The file they come from is read in corrections.py, its cells become values in corrected_cells.py,
and what is good is written back in repair_write.py.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from outreach_assets.steps.extract import STATE, fill_tables
from outreach_assets.steps.failures.corrected_cells import (
    cells_sql,
    column_types,
    fit_cells,
    say_types_as_text,
)
from outreach_assets.steps.failures.corrections import (
    NOT_CORRECTIONS,
    Correction,
    Corrections,
    CorrectionsFileError,
    Refusal,
)
from outreach_assets.steps.preview import masked
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.source import Snapshot, SourceColumn, source_columns
from outreach_assets.steps.validate import REASONS, split_sql
from outreach_assets.tables.table import Linked, Table, Verdict, literal, quoted
from outreach_core.states import UNASSIGNED

UPDATED_AT = "updated_at"
"""Set by the repair itself; a file's own is left aside."""


class Outcome(StrEnum):
    """What a corrected row is worth."""

    MENDED = "mended"
    """Bad as it is, good with the corrections."""

    GOOD = "good"
    """Good as it is and good with the corrections."""

    STILL_BAD = "still bad"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A column's value in Postgres's own words."""

    before: str | None
    after: str


@dataclass(frozen=True, kw_only=True)
class RowRepair:
    """One master row and what the corrections make of it."""

    line: int
    key: str
    reasons_before: Sequence[str]
    """The rules that it breaks now, by name."""

    reasons_after: Sequence[str]
    changes: Mapping[str, Change]
    """By column; cells that say what the row says already are not in it."""

    fingerprint: str = field(repr=False)
    """Changes when anything in the master row does."""

    @property
    def outcome(self) -> Outcome:
        """What the row is worth with the corrections."""
        if self.reasons_after:
            return Outcome.STILL_BAD
        return Outcome.MENDED if self.reasons_before else Outcome.GOOD


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What a file of corrections comes to."""

    table: Table
    types: Mapping[str, str]
    """Of the corrected columns, as a cast names them."""

    rows: Sequence[RowRepair]
    refused: Sequence[Refusal]

    @property
    def to_write(self) -> list[RowRepair]:
        """The rows that change and are good with it."""
        return [row for row in self.rows if row.changes and not row.reasons_after]

    @property
    def is_all_good(self) -> bool:
        """True when every row of the file is good with its corrections."""
        return not self.refused and not any(row.reasons_after for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class MasterRow:
    """A row as the snapshot has it; of its values only those that the file names."""

    fingerprint: str
    values: Mapping[str, str | None]


def plan_repair(
    duck: Duck, snapshot: Snapshot, tables: Sequence[Table], corrections: Corrections
) -> Repair:
    """What the corrections would change, and how the rows are judged before and after.

    `tables` say what the rules are now, as for a run. Nothing is written. Raises
    CorrectionsFileError when a column is unknown, and what `source_columns` and `fill_tables` do.
    """
    connection = snapshot.connection
    table = next(t for t in tables if t.name == corrections.table.name)
    say_types_as_text(connection)
    types = _corrected_types(corrections, column_types(connection, table.source))
    fitting, unfit = fit_cells(connection, duck, corrections.rows, types)
    masters = _master_rows(snapshot, table, list(types), [row.key for row in fitting])
    rows = [row for row in fitting if len(masters.get(row.key, ())) == 1]
    unknown = [_not_one(r, table, masters) for r in fitting if len(masters.get(r.key, ())) != 1]
    before, after = _judged(duck, snapshot, table, types, rows) if rows else ({}, {})
    return Repair(
        table=table,
        types=types,
        rows=[_row_repair(row, masters[row.key][0], before, after) for row in rows],
        refused=sorted([*corrections.refused, *unfit, *unknown], key=lambda one: one.line),
    )


def masked_changes(table: Table, row: RowRepair) -> dict[str, Change]:
    """A row's changes as anybody may see them: personal values masked, unknown columns' too."""
    open_ = {column.name for column in table.columns if not column.is_personal}
    return {
        name: change
        if name in open_
        else Change(
            before=None if change.before is None else masked(change.before),
            after=masked(change.after),
        )
        for name, change in row.changes.items()
    }


def fingerprint_sql(alias: str) -> str:
    """SQL for a digest of the whole row of that alias; wants `say_types_as_text`."""
    return f"md5({alias}::text)"


def _corrected_types(corrections: Corrections, types: Mapping[str, str]) -> dict[str, str]:
    """The columns to correct with their types, in the file's order."""
    source = corrections.table.source
    for name in corrections.columns:
        if name not in types and name not in NOT_CORRECTIONS:
            near = difflib.get_close_matches(name, types, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise CorrectionsFileError(
                f"{source} has no column {name!r}{meant}: rename it or take it out of the file"
            )
    aside = {UPDATED_AT, corrections.table.key}
    found = {n: types[n] for n in corrections.columns if n in types and n not in aside}
    if not found:
        raise CorrectionsFileError(
            f"the file corrects no column of {source}: beside the key it needs one, "
            f"such as {corrections.table.columns[2].name}"
        )
    return found


def _master_rows(
    snapshot: Snapshot, table: Table, columns: Sequence[str], keys: Sequence[str]
) -> dict[str, list[MasterRow]]:
    """The rows with these keys, as many as there are of each."""
    listed = "".join(f", outreach_row.{quoted(name)}::text" for name in columns)
    key = f"outreach_row.{quoted(table.key)}::text"
    found: dict[str, list[MasterRow]] = {}
    for key_, fingerprint, *values in snapshot.connection.execute(
        f"""SELECT {key}, {fingerprint_sql("outreach_row")} {listed}
            FROM {table.source} AS outreach_row WHERE {key} = ANY(%s)""".encode(),
        (list(keys),),
    ):
        row = MasterRow(fingerprint=fingerprint, values=dict(zip(columns, values, strict=True)))
        found.setdefault(key_, []).append(row)
    return found


def _not_one(row: Correction, table: Table, masters: Mapping[str, Sequence[MasterRow]]) -> Refusal:
    rows = len(masters.get(row.key, ()))
    why = f"its key is in {rows} rows of {table.source}" if rows else f"not in {table.source}"
    return Refusal(line=row.line, key=row.key, why=why)


def _row_repair(
    row: Correction,
    master: MasterRow,
    before: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
) -> RowRepair:
    return RowRepair(
        line=row.line,
        key=row.key,
        reasons_before=before.get(row.key, ()),
        reasons_after=after.get(row.key, ()),
        changes={
            name: Change(before=master.values[name], after=cell)
            for name, cell in row.cells.items()
            if master.values[name] != cell
        },
        fingerprint=master.fingerprint,
    )


def _judged(
    duck: Duck,
    snapshot: Snapshot,
    table: Table,
    types: Mapping[str, str],
    rows: Sequence[Correction],
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The reasons of the rows that are bad, by key: as they are, and with their corrections."""
    before, after = (replace(table, name=f"{table.name}_{when}") for when in ("before", "after"))
    source = source_columns(snapshot, table)
    queries = {
        before.raw: _overlaid(table, source, {}, rows),
        after.raw: _overlaid(table, source, types, rows),
    }
    fill_tables(duck, snapshot, queries)
    for link in (rule.linked for rule in table.errors if rule.linked):
        _fill_linked(duck, snapshot, link, [before, after])
    return _reasons(duck, before), _reasons(duck, after)


def _fill_linked(duck: Duck, snapshot: Snapshot, link: Linked, versions: Sequence[Table]) -> None:
    """The rows of another table that these ask about, as the snapshot has them."""
    other = link.table
    asked = " UNION ".join(f"SELECT {quoted(link.column)}::VARCHAR FROM {t.raw}" for t in versions)
    keys = [Correction(line=0, key=k, cells={}) for (k,) in duck.execute(asked).fetchall() if k]
    query = _overlaid(other, source_columns(snapshot, other), {}, keys)
    fill_tables(duck, snapshot, {other.raw: query})


def _overlaid(
    table: Table,
    source: Sequence[SourceColumn],
    types: Mapping[str, str],
    rows: Sequence[Correction],
) -> str:
    """A query for the rows with the cells of the typed columns over them, as a run selects them.

    No rule looks at the state, and a linked row's is the same: so all get one, and none is found.
    """
    listed = ", ".join(column.expression for column in source)
    overlaid = ", ".join(_over(c.name, types.get(c.name)) for c in source)
    key = quoted(table.key)
    given = [{table.key: row.key, **row.cells} for row in rows]
    return f"""
        SELECT {listed}, '{UNASSIGNED}' AS {STATE} FROM (
            SELECT {overlaid} FROM {table.source} AS m
            JOIN {cells_sql("n", literal(json.dumps(given)), [table.key, *types])}
                ON m.{key}::text = n.{key}
        ) AS t"""


def _over(name: str, type_: str | None) -> str:
    column = quoted(name)
    if type_ is None:
        return f"m.{column}"
    return f"CASE WHEN n.{column} IS NULL THEN m.{column} ELSE n.{column}::{type_} END AS {column}"


def _reasons(duck: Duck, table: Table) -> dict[str, list[str]]:
    for view in split_sql(duck, table):
        duck.execute(view)
    bad = table.judged(Verdict.BAD)
    return dict(
        duck.execute(f"SELECT {quoted(table.key)}::VARCHAR, {REASONS} FROM {bad}").fetchall()
    )
