"""How good the table is, part by part, and what to look at first."""

from collections.abc import Iterator, Sequence

from outreach_assets.tools.profile_my_data.columns import is_mixable, written_alike
from outreach_assets.tools.profile_my_data.meanings import TYPE_SHARE
from outreach_assets.tools.profile_my_data.report import (
    ColumnReport,
    DriftReport,
    Issue,
    Quality,
    QualityPart,
    TableReport,
)
from outreach_assets.tools.reading.read_table import ReadTable

SEVERITIES = ("high", "medium", "low")
MANY_EMPTY, MANY_WRONG = 0.5, 0.05


def quality(table: TableReport, columns: Sequence[ColumnReport], read: ReadTable) -> Quality:
    """The score and its parts."""
    cells = table.rows * table.columns
    filled = [c for c in columns if c.rows > c.nulls + c.blanks]
    useless = [c for c in columns if c.distinct < 2 and table.rows > 1]
    whole = table.rows / (table.rows + read.ragged.rows)
    parts = [
        QualityPart(
            name="completeness",
            score=_percent(1 - table.empty_cells / cells),
            weight=0.3,
            says=f"{table.empty_cells:,} of {cells:,} cells are empty",
        ),
        QualityPart(
            name="validity",
            score=_percent(_mean([c.fits / _filled(c) for c in filled])),
            weight=0.3,
            says="values that are what their column holds, as the mean of the columns",
        ),
        QualityPart(
            name="consistency",
            score=_percent(_mean([_alike(c) for c in filled])),
            weight=0.15,
            says="values written the way most of their column are, without blanks around them",
        ),
        QualityPart(
            name="uniqueness",
            score=_percent(1 - table.duplicate_rows / table.rows),
            weight=0.15,
            says=f"{table.duplicate_rows:,} of {table.rows:,} rows repeat an earlier one",
        ),
        QualityPart(
            name="structure",
            score=_percent((1 - len(useless) / table.columns) * whole),
            weight=0.1,
            says=f"columns of one value or none: {len(useless)}; rows of a wrong length: "
            f"{read.ragged.rows:,}",
        ),
    ]
    return Quality(score=round(sum(p.score * p.weight for p in parts), 1), parts=parts)


def _filled(column: ColumnReport) -> int:
    return column.rows - column.nulls - column.blanks


def _alike(column: ColumnReport) -> float:
    alike = written_alike(column.type, column.meaning, column.forms)
    return alike * (1 - column.padded / _filled(column))


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 0.0


def _percent(share: float) -> float:
    return round(100 * share, 1)


def issues(
    table: TableReport, columns: Sequence[ColumnReport], read: ReadTable, drift: DriftReport | None
) -> list[Issue]:
    """What a person should look at, worst first."""
    found = [*_of_table(table, read)]
    for column in columns:
        found += _of_column(column, table)
    found += _of_drift(drift) if drift else []
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), -one.rows))


def _issue(severity: str, code: str, column: str | None, rows: int, sentence: str) -> Issue:
    return Issue(severity=severity, code=code, column=column, rows=rows, sentence=sentence)


def _of_table(table: TableReport, read: ReadTable) -> Iterator[Issue]:
    if read.ragged.rows:
        named = ", ".join(read.ragged.first)
        yield _issue(
            "high",
            "ragged_rows",
            None,
            read.ragged.rows,
            f"{read.ragged.rows:,} rows were left out: they have not as many cells as there are "
            f"columns ({named})",
        )
    if table.duplicate_rows:
        share = table.duplicate_rows / table.rows
        yield _issue(
            "high" if share > MANY_WRONG else "medium",
            "duplicate_rows",
            None,
            table.duplicate_rows,
            f"{table.duplicate_rows:,} rows repeat an earlier one in every column",
        )
    if not table.keys and table.rows > 1:
        yield _issue(
            "low", "no_key", None, 0, "no column, and no two, tell every row from all others"
        )


def _of_column(column: ColumnReport, table: TableReport) -> Iterator[Issue]:
    filled, name = _filled(column), column.name
    empty = column.nulls + column.blanks
    if not filled:
        yield _issue("medium", "empty_column", name, empty, "no row has a value")
        return
    if empty > MANY_EMPTY * column.rows:
        yield _issue(
            "medium",
            "mostly_empty",
            name,
            empty,
            f"{empty / column.rows:.0%} of the rows are empty",
        )
    if column.distinct == 1 and table.rows > 1:
        yield _issue("low", "constant", name, filled, "every value is the same")
    if column.fits < filled:
        wrong = filled - column.fits
        yield _issue(
            "high" if wrong > MANY_WRONG * filled else "medium",
            "does_not_fit",
            name,
            wrong,
            f"{wrong:,} values are no {column.meaning}",
        )
    yield from _of_writing(column, filled)
    yield from _of_contents(column, filled)


def _of_writing(column: ColumnReport, filled: int) -> Iterator[Issue]:
    name, forms = column.name, column.forms
    if is_mixable(column.type, column.meaning) and len(forms) > 1:
        ways = ", ".join(f"{form.value} ({form.rows:,})" for form in forms)
        yield _issue(
            "medium",
            "mixed_formats",
            name,
            filled - forms[0].rows,
            f"written in {len(forms)} ways: {ways}",
        )
    typed = sum(form.rows for form in forms)
    if column.type == "text" and column.meaning in ("text", "category", "id") and typed:
        share = typed / filled
        if 1 - TYPE_SHARE < share < TYPE_SHARE:
            yield _issue(
                "medium",
                "mixed_types",
                name,
                min(typed, filled - typed),
                f"{share:.0%} of the values look like {forms[0].value}, the others do not",
            )
    if column.padded:
        yield _issue(
            "low",
            "padded",
            name,
            column.padded,
            f"{column.padded:,} values have blanks around them",
        )


def _of_contents(column: ColumnReport, filled: int) -> Iterator[Issue]:
    name = column.name
    if column.meaning == "id" and column.duplicates:
        yield _issue(
            "high",
            "repeated_id",
            name,
            column.duplicates,
            f"{column.duplicates:,} rows repeat an id that an earlier row has",
        )
    if column.outliers and column.outliers.rows and column.meaning != "id":
        edges = f"{column.outliers.below} to {column.outliers.above}"
        yield _issue(
            "low",
            "outliers",
            name,
            column.outliers.rows,
            f"{column.outliers.rows:,} values lie outside {edges}",
        )
    for one in column.sensitive:
        yield _issue(
            "medium" if one.how == "inside text" else "low",
            "sensitive",
            name,
            one.rows,
            f"{one.kind} ({one.how}) in {one.rows / filled:.0%} of the values; "
            "masked in this report",
        )


def _of_drift(drift: DriftReport) -> Iterator[Issue]:
    for name in drift.columns_removed:
        yield _issue(
            "high", "column_removed", name, 0, "the baseline has this column, this file not"
        )
    for name in drift.columns_added:
        yield _issue("low", "column_added", name, 0, "the baseline does not have this column")
    for change in drift.types_changed:
        yield _issue(
            "high", "type_changed", change.name, 0, f"was {change.before}, is {change.now}"
        )
    for one in drift.columns:
        if one.verdict in ("moderate", "major"):
            yield _issue(
                "high" if one.verdict == "major" else "medium",
                "drift",
                one.name,
                one.unseen_rows,
                f"{one.verdict} drift from the baseline (PSI {one.psi:.3f})",
            )
        moved = one.null_share_now - one.null_share_before
        if abs(moved) >= MANY_WRONG:
            yield _issue(
                "medium",
                "empty_share_moved",
                one.name,
                0,
                f"{one.null_share_before:.0%} of the rows were empty, now {one.null_share_now:.0%}",
            )
