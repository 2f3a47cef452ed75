"""The report as one page: no script, no network, every text from the file escaped.

How it looks is page.css; the drawings are in drawings.py.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from outreach_assets.tools.profile_my_data.drawings import bar, histogram, ring
from outreach_assets.tools.profile_my_data.report import (
    ColumnDrift,
    ColumnReport,
    Counted,
    Issue,
    ProfileReport,
    Quality,
    TableReport,
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load: nothing. Should a text ever slip through unescaped, it does nothing."""

APPROXIMATE = (
    "Correlations are from about 100,000 rows all over the table: they are off by less than 0.01."
)
DRIFT_WORDS = (
    "PSI, the population stability index, says how far the shares of values moved: under 0.1 is "
    "stable, from 0.25 on major. KS is the largest distance between the two distributions, 0 to 1. "
    "New and gone are values that only one of the files has; ids and free text are not compared."
)
PATTERN_WORDS = "patterns: 9 is a digit, a or A a letter, a+ several"
MOST_ISSUES = 200
MOST_RELATIONS = 40


def as_page(report: ProfileReport) -> str:
    """The whole page."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    sections = [
        _top(report),
        _quality(report.quality),
        _issues(report.issues),
        _drift(report) if report.drift else "",
        '<h2 id="columns">Columns</h2>',
        *(_column(column) for column in report.columns),
        _relations(report.table),
        _foot(report),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>Data profile</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _top(report: ProfileReport) -> str:
    table, file = report.table, report.file
    read_as = " · ".join(filter(None, [file.kind, file.encoding, file.delimiter, file.sheet]))
    cells = max(table.rows * table.columns, 1)
    facts = [
        (f"{table.rows:,}", "rows"),
        (f"{table.columns:,}", "columns"),
        (f"{table.empty_cells / cells:.1%}", "cells empty"),
        (f"{table.duplicate_rows:,}", "duplicate rows"),
        (f"{len(report.issues):,}", "issues"),
    ]
    cards = "".join(
        f"<div class=card><b>{value}</b><span>{name}</span></div>" for value, name in facts
    )
    return (
        f"<header><div><h1>Data profile</h1><p class=quiet>{escape(read_as)}, "
        f"{file.size_bytes:,} bytes</p></div>{ring(report.quality.score)}</header>"
        f"<section class=cards>{cards}</section>"
    )


def _quality(quality: Quality) -> str:
    rows = [
        [
            escape(p.name),
            bar(p.score / 100),
            f"{p.score:.1f}",
            f"{p.weight:.0%}",
            f"<span class=says>{escape(p.says)}</span>",
        ]
        for p in quality.parts
    ]
    heads = ["part", "", "score", "weight", "what was counted"]
    return "<h2>Quality</h2>" + _table(heads, rows, "wide stacked")


def _issues(issues: Sequence[Issue]) -> str:
    if not issues:
        return "<h2>Issues</h2><p>None found.</p>"
    rows = [
        [
            f"<span class='tag {one.severity}'>{one.severity}</span>",
            f"<code>{escape(one.column)}</code>" if one.column else "table",
            f"<span class=says>{escape(one.sentence)}</span>",
            f"<span class=rows>{one.rows:,}</span>" if one.rows else "",
        ]
        for one in issues[:MOST_ISSUES]
    ]
    more = len(issues) - MOST_ISSUES
    left = f"<p class=quiet>and {more:,} more, in the workbook.</p>" if more > 0 else ""
    heads = ["", "column", "what to look at", "rows"]
    return "<h2>Issues</h2>" + _table(heads, rows, "wide stacked") + left


def _drift(report: ProfileReport) -> str:
    drift = report.drift
    if drift is None:
        return ""
    schema = [
        *(f"added <code>{escape(name)}</code>" for name in drift.columns_added),
        *(f"removed <code>{escape(name)}</code>" for name in drift.columns_removed),
        *(
            f"<code>{escape(one.name)}</code> was {one.before}, is {one.now}"
            for one in drift.types_changed
        ),
    ]
    listed = f"<p>Columns: {'; '.join(schema)}.</p>" if schema else "<p>The same columns.</p>"
    rows = [_drift_row(one) for one in drift.columns]
    heads = ["column", "verdict", "compared as", "PSI", "KS", "empty before", "now", "new", "gone"]
    return (
        f"<h2>Drift</h2><p>{drift.rows_before:,} rows before, {drift.rows_now:,} now.</p>"
        f"{listed}{_table(heads, rows)}<p class=quiet>{DRIFT_WORDS}</p>"
    )


def _drift_row(one: ColumnDrift) -> list[str]:
    tag = {"major": "high", "moderate": "medium", "stable": "fine"}.get(one.verdict, "")
    return [
        f"<code>{escape(one.name)}</code>",
        f"<span class='tag {tag}'>{one.verdict}</span>",
        one.compared_as,
        *("-" if value is None else f"{value:.3f}" for value in (one.psi, one.ks)),
        f"{one.null_share_before:.1%}",
        f"{one.null_share_now:.1%}",
        _named(one.new_values),
        _named(one.vanished_values),
    ]


def _named(values: Sequence[Counted]) -> str:
    return ", ".join(escape(one.value) for one in values[:5]) + ("…" if len(values) > 5 else "")


def _column(column: ColumnReport) -> str:
    filled = column.rows - column.nulls - column.blanks
    tags = "".join(f"<span class='tag medium'>{escape(s.kind)}</span>" for s in column.sensitive)
    facts = [
        ("filled", f"{filled:,} ({filled / column.rows:.1%})"),
        ("nulls", f"{column.nulls:,}"),
        ("blanks", f"{column.blanks:,}"),
        ("distinct", f"{column.distinct:,}"),
        ("in one row only", f"{column.unique:,}"),
        ("do not fit", f"{filled - column.fits:,}"),
        *([("blanks around", f"{column.padded:,}")] if column.padded else []),
        *_length_facts(column),
        *_number_facts(column),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f"<details class=column {'open' if column.place <= 12 else ''}><summary>"
        f"<span class=score>{column.score:.0f}</span>"
        f"<b>{escape(column.name)}</b> <span class=tag>{column.type}</span>"
        f"<span class='tag means'>{column.meaning}</span>{tags}</summary>"
        f"<div class=split><dl>{listed}</dl><div>{_pictures(column)}</div></div></details>"
    )


def _length_facts(column: ColumnReport) -> list[tuple[str, str]]:
    if not column.lengths:
        return []
    one = column.lengths
    return [("length", f"{one.shortest:,} to {one.longest:,}, mean {one.mean:.1f}")]


def _number_facts(column: ColumnReport) -> list[tuple[str, str]]:
    facts = []
    if column.spread:
        spread = column.spread
        facts += [("min, max", f"{escape(spread.min)} to {escape(spread.max)}")]
        facts += [("quartiles", f"{spread.p25} · {spread.p50} · {spread.p75}")]
    if column.numbers:
        facts += [("mean", f"{column.numbers.mean:,.6g}")]
    if column.outliers:
        facts += [("outliers", f"{column.outliers.rows:,}")]
    return facts


def _pictures(column: ColumnReport) -> str:
    drawn = histogram(column.spread.histogram) if column.spread else ""
    repeated = [one for one in column.top_values if one.rows > 1]
    shown = "" if column.spread and column.distinct > 50 else _counts("values", repeated)
    if column.distinct > 1 and column.unique == column.distinct and not column.spread:
        shown = "<p class=quiet>every value is in one row only</p>"
    forms = _counts("written as", column.forms) if len(column.forms) > 1 else ""
    patterns = _counts(PATTERN_WORDS, column.patterns[:5]) if not column.spread else ""
    return drawn + shown + forms + patterns


def _counts(title: str, counted: Sequence[Counted]) -> str:
    if not counted:
        return ""
    rows = "".join(
        f"<tr><td class=value>{escape(one.value)}</td><td>{bar(one.share)}</td>"
        f"<td class=n>{one.rows:,}</td></tr>"
        for one in counted
    )
    return f"<table class=counts><caption>{title}</caption>{rows}</table>"


def _relations(table: TableReport) -> str:
    keys = "; ".join(" + ".join(f"<code>{escape(n)}</code>" for n in key) for key in table.keys)
    rows = [
        *(
            [_code(d.column), "follows from", _code(d.follows_from), f"{d.groups:,} groups"]
            for d in table.dependencies[:MOST_RELATIONS]
        ),
        *(
            [_code(c.first), c.measure.replace("_", " "), _code(c.second), f"{c.value:.3f}"]
            for c in table.correlations[:MOST_RELATIONS]
        ),
    ]
    found = _table(["", "", "", ""], rows) if rows else "<p>No dependency and no correlation.</p>"
    said = [*([APPROXIMATE] if table.correlations_are_approximate else []), *table.not_looked_at]
    notes = "".join(f"<p class=quiet>{escape(note)}</p>" for note in said)
    return f"<h2>Between columns</h2><p>Keys: {keys or 'none'}.</p>{found}{notes}"


def _code(name: str) -> str:
    return f"<code>{escape(name)}</code>"


def _foot(report: ProfileReport) -> str:
    return (
        f"<footer>{escape(report.tool)} {escape(report.tool_version)} · report schema "
        f"{report.schema_version} · personal values are masked</footer>"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], look: str = "wide") -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="{look}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
