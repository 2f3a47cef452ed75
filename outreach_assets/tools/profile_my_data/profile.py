"""Profile a file: read it, look at columns, table and baseline, write the three reports."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.assignment import Assignment
from outreach_assets.tools.profile_my_data.columns import column_report
from outreach_assets.tools.profile_my_data.drift import column_drift
from outreach_assets.tools.profile_my_data.manifest import PROFILE_MY_DATA, ProfileParameters
from outreach_assets.tools.profile_my_data.meanings import meaning
from outreach_assets.tools.profile_my_data.page import as_page
from outreach_assets.tools.profile_my_data.quality import issues, quality
from outreach_assets.tools.profile_my_data.report import (
    ColumnDrift,
    ColumnReport,
    DriftReport,
    FileFacts,
    ProfileReport,
    TypeChange,
)
from outreach_assets.tools.profile_my_data.rows import Rows, rows_sql
from outreach_assets.tools.profile_my_data.table_facts import table_report
from outreach_assets.tools.profile_my_data.values import forms_of, values_of
from outreach_assets.tools.profile_my_data.workbook import write_workbook
from outreach_assets.tools.reading.columns import inner_name
from outreach_assets.tools.reading.read_table import ReadTable, read_table
from outreach_assets.tools.tool import BASELINE, PRIMARY

NAME = "data_profile_report"


def profile_file(assignment: Assignment) -> Mapping[str, object]:
    """Write the three reports; returns the score and the counts. Raises ToolRefusedError."""
    assignment.progress("reading", 2)
    read = _read(assignment, PRIMARY)
    before = _read(assignment, BASELINE) if BASELINE in assignment.inputs else None
    report = _profile(assignment, read, before)
    assignment.progress("writing", 90)
    _write(report, assignment.outputs)
    assignment.progress("done", 100)
    return {
        "rows": report.table.rows,
        "columns": report.table.columns,
        "score": report.quality.score,
        "issues": len(report.issues),
        "duplicate_rows": report.table.duplicate_rows,
        "drifted_columns": [
            c.name for c in (report.drift.columns if report.drift else []) if c.verdict == "major"
        ],
    }


def _read(assignment: Assignment, name: str) -> ReadTable:
    return read_table(assignment.duck, assignment.inputs[name], assignment.scratch, name)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of one column."""

    report: ColumnReport
    drift: ColumnDrift | None = None
    type_change: TypeChange | None = None


def _profile(assignment: Assignment, read: ReadTable, before: ReadTable | None) -> ProfileReport:
    parameters = ProfileParameters.model_validate(assignment.parameters.model_dump())
    looks = list(_looks(assignment, read, before, parameters))
    columns = [look.report for look in looks]
    assignment.progress("table", 80)
    rows = Rows(duck=assignment.duck, relation=rows_sql(read.path), columns=columns)
    table = table_report(rows)
    drift = _drift(read, before, looks) if before else None
    return ProfileReport(
        tool=PROFILE_MY_DATA.id,
        tool_version=PROFILE_MY_DATA.version,
        parameters=parameters.model_dump(),
        file=_file_facts(read),
        table=table,
        quality=quality(table, columns, read),
        issues=issues(table, columns, read, drift),
        columns=columns,
        drift=drift,
    )


def _looks(
    assignment: Assignment,
    read: ReadTable,
    before: ReadTable | None,
    parameters: ProfileParameters,
) -> Iterator[Look]:
    """Each column's, in their order.

    As many at a time as there are threads, each in one: a fifth less work than each in all of them.
    """

    def look(place: int) -> Look:
        with closing(one_thread.cursor()) as duck:
            return _look(duck, read, before, place, parameters)

    with assignment.one_thread() as one_thread, ThreadPoolExecutor(assignment.threads) as pool:
        for place, found in enumerate(pool.map(look, range(len(read.names))), start=1):
            assignment.progress("columns", 20 + 60 * place // len(read.names))
            yield found


def _look(
    duck: Duck,
    read: ReadTable,
    before: ReadTable | None,
    place: int,
    parameters: ProfileParameters,
) -> Look:
    name = read.names[place]
    with values_of(duck, rows_sql(read.path), inner_name(place), "now") as values:
        column = column_report(duck, values, name, place + 1, parameters)
        if not before or name not in before.names:
            return Look(report=column)
        inner = inner_name(list(before.names).index(name))
        with values_of(duck, rows_sql(before.path), inner, "before", values) as old:
            drift = column_drift(duck, values, old, column, parameters.drift_bins)
            is_written_alike = set(forms_of(duck, old.name)) == set(values.forms)
            was = meaning(duck, old, name).type
    if not is_written_alike:
        with values_of(duck, rows_sql(before.path), inner, "before") as old:
            was = meaning(duck, old, name).type
    return Look(report=column, drift=drift, type_change=_type_change(was, column))


def _type_change(was: str, column: ColumnReport) -> TypeChange | None:
    """What the column was in the baseline, where that is another type."""
    if was == column.type or "empty" in (was, column.type):
        return None
    return TypeChange(name=column.name, before=was, now=column.type)


def _drift(read: ReadTable, before: ReadTable, looks: Sequence[Look]) -> DriftReport:
    return DriftReport(
        rows_before=before.rows,
        rows_now=read.rows,
        columns_added=[name for name in read.names if name not in before.names],
        columns_removed=[name for name in before.names if name not in read.names],
        types_changed=[look.type_change for look in looks if look.type_change],
        columns=[look.drift for look in looks if look.drift],
    )


def _file_facts(read: ReadTable) -> FileFacts:
    return FileFacts(
        kind=read.kind,
        size_bytes=read.size_bytes,
        encoding=read.encoding,
        delimiter=read.delimiter,
        sheet=read.sheet,
        ragged_rows=read.ragged.rows,
        first_ragged_rows=list(read.ragged.first),
    )


def _write(report: ProfileReport, folder: Path) -> None:
    text = report.model_dump_json(indent=1)
    (folder / f"{NAME}.json").write_text(text + "\n", encoding="utf-8")
    (folder / f"{NAME}.html").write_text(as_page(report), encoding="utf-8")
    write_workbook(report, folder / f"{NAME}.xlsx")
