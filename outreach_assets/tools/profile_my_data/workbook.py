"""The report as a workbook: a summary with charts, issues, columns, their values, the drift.

Every text is written as text: nothing that came from the file can be a formula or a link.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from outreach_assets.tools.profile_my_data.report import ColumnReport, ProfileReport

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]

OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
SAME_BYTES = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""Written as the workbook's birth: the same file gives the same report."""

DARK, LIGHT = "#1f3a5f", "#eef2f7"
SEVERITY_COLOURS = {"high": "#f8d7da", "medium": "#fff3cd", "low": "#e7f1ff"}
WIDEST = 60
CHARTED = 30


class Book:
    """A workbook in one style."""

    def __init__(self, path: Path) -> None:
        self.book = xlsxwriter.Workbook(str(path), OPTIONS)
        self.book.set_properties({"created": SAME_BYTES, "title": "Data profile"})
        self.title = self.book.add_format({"bold": True, "font_size": 16, "font_color": DARK})
        self.head = self.book.add_format(
            {"bold": True, "bg_color": DARK, "font_color": "white", "text_wrap": True}
        )
        self.text = self.book.add_format({"valign": "top", "text_wrap": True})
        self.whole = self.book.add_format({"num_format": "#,##0", "valign": "top"})
        self.real = self.book.add_format({"num_format": "#,##0.0##", "valign": "top"})
        self.share = self.book.add_format({"num_format": "0.0%", "valign": "top"})

    def sheet(self, name: str, columns: Sequence[str], rows: Rows, *, at: int = 0) -> Worksheet:
        """A sheet with a table from row `at` on: frozen head, filter, widths that fit."""
        sheet = self.book.add_worksheet(name)
        for number, column in enumerate(columns):
            sheet.write_string(at, number, column, self.head)
            longest = max((len(str(row[number])) for row in rows), default=0)
            sheet.set_column(number, number, min(max(longest, len(column)) + 3, WIDEST))
        for line, row in enumerate(rows, start=at + 1):
            for number, cell in enumerate(row):
                self.write(sheet, line, number, cell, is_share="share" in columns[number])
        sheet.freeze_panes(at + 1, 1)
        if rows:
            sheet.autofilter(at, 0, at + len(rows), len(columns) - 1)
        return sheet

    def write(
        self, sheet: Worksheet, line: int, number: int, cell: Cell, *, is_share: bool = False
    ) -> None:
        """One cell by its type; never by what its text looks like."""
        if cell is None:
            sheet.write_blank(line, number, None, self.text)
        elif isinstance(cell, str):
            sheet.write_string(line, number, cell, self.text)
        else:
            look: Format = self.share if is_share else self.real
            sheet.write_number(
                line, number, cell, self.whole if isinstance(cell, int) and not is_share else look
            )


def write_workbook(report: ProfileReport, path: Path) -> None:
    """Write the report as XLSX."""
    book = Book(path)
    _summary(book, report)
    _issues(book, report)
    book.sheet("Columns", COLUMN_HEADS, [_column_row(column) for column in report.columns])
    book.sheet(
        "Top values",
        ["column", "value", "rows", "share of values"],
        [[c.name, v.value, v.rows, v.share] for c in report.columns for v in c.top_values],
    )
    book.sheet(
        "Patterns",
        ["column", "pattern", "rows", "share of values"],
        [[c.name, p.value, p.rows, p.share] for c in report.columns for p in c.patterns],
    )
    _relations(book, report)
    if report.drift:
        _drift(book, report)
    book.book.close()


def _summary(book: Book, report: ProfileReport) -> None:
    parts = report.quality.parts
    rows: Rows = [[p.name, p.score, p.weight, p.says] for p in parts]
    sheet = book.sheet(
        "Summary", ["quality", "score", "weight (share)", "what was counted"], rows, at=9
    )
    sheet.freeze_panes(0, 0)
    sheet.write_string(0, 0, "Data profile", book.title)
    facts: Rows = [
        ["quality score, 0 to 100", report.quality.score],
        ["rows", report.table.rows],
        ["columns", report.table.columns],
        ["empty cells", report.table.empty_cells],
        ["duplicate rows", report.table.duplicate_rows],
        ["issues", len(report.issues)],
        ["read as", " ".join(filter(None, [report.file.kind, report.file.encoding]))],
    ]
    for line, (name, value) in enumerate(facts, start=1):
        book.write(sheet, line, 0, name)
        book.write(sheet, line, 1, value)
    sheet.set_column(0, 0, 26)
    _chart(book, sheet, "A18", "Quality by part", ("Summary", 10, 9 + len(parts), 1))
    shown = min(len(report.columns), CHARTED)
    _chart(book, sheet, "D18", "Empty cells by column (share)", ("Columns", 1, shown, 5))
    _chart(book, sheet, "A34", "Score by column", ("Columns", 1, shown, 20))


def _chart(
    book: Book, sheet: Worksheet, at: str, title: str, of: tuple[str, int, int, int]
) -> None:
    """Bars of a sheet's column, from the first to the last line."""
    name, first, last, column = of
    chart = book.book.add_chart({"type": "bar"})
    chart.add_series(
        {
            "categories": [name, first, 0, last, 0],
            "values": [name, first, column, last, column],
            "fill": {"color": DARK},
            "gap": 40,
        }
    )
    chart.set_title({"name": title, "name_font": {"size": 11}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True})
    chart.set_size({"width": 520, "height": 300})
    sheet.insert_chart(at, chart)


def _issues(book: Book, report: ProfileReport) -> None:
    rows: Rows = [[i.severity, i.column, i.code, i.rows, i.sentence] for i in report.issues]
    sheet = book.sheet("Issues", ["severity", "column", "issue", "rows", "what is wrong"], rows)
    for severity, colour in SEVERITY_COLOURS.items():
        look = book.book.add_format({"bg_color": colour})
        sheet.conditional_format(
            1,
            0,
            max(len(rows), 1),
            0,
            {"type": "cell", "criteria": "==", "value": f'"{severity}"', "format": look},
        )


COLUMN_HEADS = [
    *("column", "type", "meaning", "rows filled", "nulls", "empty share", "blanks", "distinct"),
    *("unique", "duplicates", "do not fit", "padded", "shortest", "longest", "mean length"),
    *("min", "median", "max", "outliers", "sensitive", "score"),
]


def _column_row(column: ColumnReport) -> list[Cell]:
    filled = column.rows - column.nulls - column.blanks
    lengths, spread = column.lengths, column.spread
    return [
        *(column.name, column.type, column.meaning, filled, column.nulls),
        round(1 - filled / column.rows, 6),
        *(column.blanks, column.distinct, column.unique, column.duplicates),
        *(filled - column.fits, column.padded),
        *((lengths.shortest, lengths.longest, lengths.mean) if lengths else (None,) * 3),
        *((spread.min, spread.p50, spread.max) if spread else (None,) * 3),
        column.outliers.rows if column.outliers else None,
        ", ".join(one.kind for one in column.sensitive) or None,
        column.score,
    ]


def _relations(book: Book, report: ProfileReport) -> None:
    table = report.table
    rows: list[list[Cell]] = [["key", " + ".join(key), "every row", None] for key in table.keys]
    rows += [["follows from", d.column, d.follows_from, d.groups] for d in table.dependencies]
    about = " (approximate)" if table.correlations_are_approximate else ""
    rows += [[c.measure + about, c.first, c.second, c.value] for c in table.correlations]
    book.sheet("Relations", ["what", "first", "second", "value or groups"], rows)


def _drift(book: Book, report: ProfileReport) -> None:
    if report.drift is None:
        return
    schema: list[list[Cell]] = [
        *_only_named("added", report.drift.columns_added),
        *_only_named("removed", report.drift.columns_removed),
    ]
    changed = {one.name: f"{one.before} to {one.now}" for one in report.drift.types_changed}
    columns: list[list[Cell]] = [
        [
            *(one.verdict, one.name, changed.get(one.name), one.compared_as),
            *(one.psi, one.ks, one.null_share_before, one.null_share_now),
            ", ".join(value.value for value in one.new_values),
            ", ".join(value.value for value in one.vanished_values),
        ]
        for one in report.drift.columns
    ]
    heads = ["verdict", "column", "type changed", "compared as", "PSI", "KS"]
    heads += ["empty share before", "empty share now", "new values", "vanished values"]
    book.sheet("Drift", heads, [*schema, *columns])


def _only_named(what: str, names: Sequence[str]) -> list[list[Cell]]:
    """Rows of the drift table for columns that only one of the two files has."""
    return [[what, name, *[None] * 8] for name in names]
