"""Judge a file's rows by the pipeline's own step, steps/validate.py, and write them down.

What a rule asks is in tables/. Here: which table the file is, and how its text becomes that table.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from outreach_assets.steps.extract import STATE
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.validate import REASONS, StateVerdict, split_rows
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Column, Table, Verdict, fingerprint, quoted
from outreach_assets.tools.assignment import Assignment
from outreach_assets.tools.harmless import harmless, harmless_sql
from outreach_assets.tools.reading.columns import inner_name, literal
from outreach_assets.tools.reading.read_table import ReadTable, read_table
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.tool import PRIMARY
from outreach_assets.tools.validate_outreach.manifest import ValidateParameters, WhichTable

SCHEMA_VERSION = 1
IN_WORDS = "validation_errors_in_words"
OURS = (REASONS, IN_WORDS, STATE)
"""Columns that a mended file of bad rows still has; they are made anew."""

EVERYTHING = "upload"
"""An upload is judged as one: in place of a state."""

NOT_TEXT = ("integer", "numeric", "boolean", "timestamptz")


def judge_file(assignment: Assignment) -> Mapping[str, object]:
    """Write the good rows, the bad rows and the summary; returns the summary.

    Raises ToolRefusedError when it is no table of ours, or a row could not be read.
    """
    duck = assignment.duck
    assignment.progress("reading", 5)
    read = read_table(duck, assignment.inputs[PRIMARY], assignment.scratch, PRIMARY)
    if read.ragged.rows:
        raise ToolRefusedError(
            ErrorCode.RAGGED_ROWS,
            f"{read.ragged.rows:,} rows have not as many cells as there are columns "
            f"({', '.join(read.ragged.first)}): mend them, or their rows would be lost",
        )
    names = _names(read)
    table = _table(assignment.parameters, names)
    assignment.progress("judging", 40)
    _load(duck, table, read)
    verdict = split_rows(duck, [table], [EVERYTHING])[table.name]
    assignment.progress("writing", 70)
    changed = {one: _write(duck, table, one, assignment.outputs, names) for one in Verdict}
    summary = _summary(table, read, verdict[EVERYTHING]) | {
        "values_of_a_wrong_type": _wrong_types(duck, table, names),
        "columns_unknown_to_the_table": _unknown(table, names),
        "cells_made_harmless": sum(changed.values()),
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (assignment.outputs / "validation_summary.json").write_text(text + "\n", encoding="utf-8")
    assignment.progress("done", 100)
    return summary


def _names(read: ReadTable) -> list[str]:
    """The file's columns without ours. Raises ToolRefusedError when SQL would take two for one."""
    names = [name for name in read.names if name not in OURS]
    folded = Counter(name.lower() for name in read.names)
    twice = ", ".join(name[:60] for name in read.names if folded[name.lower()] > 1)
    if twice:
        raise ToolRefusedError(
            ErrorCode.DUPLICATE_COLUMN_NAMES,
            f"columns differ only in upper and lower case: {twice}: rename all but one",
        )
    return names


def _table(parameters: object, names: Sequence[str]) -> Table:
    """The table the parameter names, or the one whose needed columns are all there."""
    which = parameters.table if isinstance(parameters, ValidateParameters) else WhichTable.AUTO
    wanted = [t for t in TABLES if which in (WhichTable.AUTO, t.name)]
    complete = [t for t in wanted if _asked_for(t) <= set(names)]
    if complete:
        return max(complete, key=lambda t: len({c.name for c in t.columns}.intersection(names)))
    nearest = min(wanted, key=lambda t: len(_asked_for(t).difference(names)))
    missing = ", ".join(sorted(_asked_for(nearest).difference(names)))
    if which is WhichTable.AUTO and nearest.key not in names:
        raise ToolRefusedError(
            ErrorCode.TABLE_NOT_RECOGNISED,
            "the columns are those of no table we know: "
            + "; ".join(f"{t.name} need {', '.join(sorted(_asked_for(t)))}" for t in wanted),
        )
    raise ToolRefusedError(
        ErrorCode.MISSING_COLUMNS,
        f"{nearest.name} need columns that are not there: {missing}. Names are written in lower "
        "case, as in the database",
    )


def _asked_for(table: Table) -> set[str]:
    """What the rules and the key need; a company's state says where it goes, not how good it is."""
    linked = {rule.linked.column for rule in table.rules if rule.linked}
    return table.needed_columns - {table.state.column} | linked


def _load(duck: Duck, table: Table, read: ReadTable) -> None:
    """`<table>_raw` as the step expects it: the file's columns, as text, and a state.

    The other tables are empty: what a rule asks of them is not known.
    """
    columns = ", ".join(
        f"{inner_name(n)} AS {quoted(name)}"
        for n, name in enumerate(read.names)
        if name not in OURS
    )
    duck.execute(f"""
        CREATE TABLE {table.raw} AS
        SELECT {columns}, {literal(EVERYTHING)} AS {STATE}
        FROM read_parquet({literal(str(read.path))})""")
    for other in TABLES:
        if other is not table:
            empty = ", ".join(f"{quoted(c.name)} VARCHAR" for c in other.columns)
            duck.execute(f"CREATE TABLE {other.raw} ({empty}, {STATE} VARCHAR)")


def _write(duck: Duck, table: Table, verdict: Verdict, folder: Path, names: Sequence[str]) -> int:
    """Write one of the two files; how many cells had to be made harmless."""
    plain = ", ".join(f"{harmless_sql(quoted(name))} AS {quoted(harmless(name))}" for name in names)
    changed = " + ".join(
        f"count(*) FILTER ({harmless_sql(quoted(name))} <> {quoted(name)})" for name in names
    )
    view = table.judged(verdict)
    target = literal(str(folder / f"{verdict}.csv"))
    reasons = f", {_reasons(table)}" if verdict is Verdict.BAD else ""
    duck.execute(f"COPY (SELECT {plain}{reasons} FROM {view}) TO {target} (FORMAT csv, HEADER)")
    counted = duck.execute(f"SELECT {changed} FROM {view}").fetchone()
    return int(counted[0]) if counted else 0


def _reasons(table: Table) -> str:
    """Every reason by name, and in words."""
    words = ", ".join(f"{literal(r.name)}: {literal(r.complaint)}" for r in table.errors)
    in_words = f"list_transform({REASONS}, lambda reason: map {{{words}}}[reason])"
    return (
        f"array_to_string({REASONS}, '; ') AS {REASONS}, "
        f"array_to_string({in_words}, '; ') AS {IN_WORDS}"
    )


def _summary(table: Table, read: ReadTable, verdict: StateVerdict) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "table": table.name,
        "rules": fingerprint([table]),
        "file": {"kind": read.kind, "encoding": read.encoding, "size_bytes": read.size_bytes},
        "rows": verdict.raw.rows,
        "good": verdict.good.rows,
        "bad": verdict.bad.rows,
        "reasons": [
            {"name": r.name, "complaint": r.complaint, "rows": verdict.reasons[r.name]}
            for r in table.errors
        ],
        "warnings": dict(verdict.warnings),
        "keys_missing": verdict.keys_missing,
        "keys_repeated": verdict.keys_repeated,
    }


def _unknown(table: Table, names: Sequence[str]) -> list[str]:
    known = {column.name for column in table.columns}
    return [name for name in names if name not in known]


def _wrong_types(duck: Duck, table: Table, names: Sequence[str]) -> dict[str, dict[str, object]]:
    """Values that Postgres would not take into the column, counted; no rule judges these."""
    typed = [c for c in table.columns if c.name in names and c.type.startswith(NOT_TEXT)]
    if not typed:
        return {}
    counts = ", ".join(f"count(*) FILTER ({_wrong(column)})" for column in typed)
    counted = duck.execute(f"SELECT {counts} FROM {table.raw}").fetchone() or ()
    return {
        column.name: {"expected": column.type, "rows": rows}
        for column, rows in zip(typed, counted, strict=True)
        if rows
    }


def _wrong(column: Column) -> str:
    name = quoted(column.name)
    return f"{name} IS NOT NULL AND TRY_CAST(trim({name}) AS {column.type}) IS NULL"
