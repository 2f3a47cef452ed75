"""Profile a file: read it, look at columns, table and baseline, write the three reports."""

from collections.abc import Mapping
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
from outreach_assets.tools.profile_my_data.table_facts import Rows, table_report
from outreach_assets.tools.profile_my_data.values import values_of
from outreach_assets.tools.profile_my_data.workbook import write_workbook
from outreach_assets.tools.reading.columns import inner_name, literal
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
    read = read_table(assignment.duck, assignment.inputs[name], assignment.scratch, name)
    assignment.duck.execute(
        f"CREATE VIEW {name}_rows AS FROM read_parquet({literal(str(read.path))})"
    )
    return read


def _profile(assignment: Assignment, read: ReadTable, before: ReadTable | None) -> ProfileReport:
    parameters = ProfileParameters.model_validate(assignment.parameters.model_dump())
    columns: list[ColumnReport] = []
    drifts: list[ColumnDrift] = []
    changes: list[TypeChange] = []
    for n, name in enumerate(read.names):
        assignment.progress("columns", 20 + 60 * n // len(read.names))
        with values_of(assignment.duck, f"{PRIMARY}_rows", inner_name(n), "now") as values:
            column = column_report(assignment.duck, values, name, n + 1, parameters)
            columns.append(column)
            if before and name in before.names:
                place = inner_name(list(before.names).index(name))
                with values_of(assignment.duck, f"{BASELINE}_rows", place, "before", values) as old:
                    drifts.append(
                        column_drift(assignment.duck, values, old, column, parameters.drift_bins)
                    )
                changes += _type_change(assignment.duck, place, column)
    assignment.progress("table", 80)
    rows = Rows(duck=assignment.duck, relation=f"{PRIMARY}_rows", columns=columns)
    table = table_report(rows)
    drift = _drift(read, before, drifts, changes) if before else None
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


def _type_change(duck: Duck, place: str, column: ColumnReport) -> list[TypeChange]:
    """The baseline's own type, where it is another one."""
    with values_of(duck, f"{BASELINE}_rows", place, "before") as old:
        was = meaning(duck, old, column.name).type
    if was == column.type or "empty" in (was, column.type):
        return []
    return [TypeChange(name=column.name, before=was, now=column.type)]


def _drift(
    read: ReadTable, before: ReadTable, drifts: list[ColumnDrift], changes: list[TypeChange]
) -> DriftReport:
    return DriftReport(
        rows_before=before.rows,
        rows_now=read.rows,
        columns_added=[name for name in read.names if name not in before.names],
        columns_removed=[name for name in before.names if name not in read.names],
        types_changed=changes,
        columns=drifts,
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
