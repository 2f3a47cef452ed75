"""Clean a file: again and again until nothing changes, then write down what came of it.

A cleaned column can look different from what it was, and rows that are gone no longer speak for
theirs: only a table that nothing changes any more stays the same when it is cleaned once again.
"""

from collections.abc import Callable, Mapping, Sequence

from outreach_assets.tools.assignment import Assignment
from outreach_assets.tools.clean_my_data.agents import Agent
from outreach_assets.tools.clean_my_data.cells import CellCleaner, CleanedColumn
from outreach_assets.tools.clean_my_data.duplicates import equal_rows, like_rows
from outreach_assets.tools.clean_my_data.kinds import NO_QUANTITY, in_words
from outreach_assets.tools.clean_my_data.log import Log
from outreach_assets.tools.clean_my_data.manifest import CleanParameters, OutlierAction
from outreach_assets.tools.clean_my_data.outliers import outlying_rows
from outreach_assets.tools.clean_my_data.outputs import Rowset, json_columns, parquet_types
from outreach_assets.tools.clean_my_data.report import CleaningReport
from outreach_assets.tools.clean_my_data.reporting import (
    Settled,
    cleaning_report,
    write_json,
    write_workbook,
)
from outreach_assets.tools.clean_my_data.rows import Rows
from outreach_assets.tools.harmless import harmless
from outreach_assets.tools.reading.columns import inner_name, literal
from outreach_assets.tools.reading.kinds import FileKind
from outreach_assets.tools.reading.read_table import ReadTable, read_table
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError
from outreach_assets.tools.tool import PRIMARY

MOST_TURNS = 20
"""Two are usual; who peels outliers off a long tail may need more."""

ROW_NUMBER, REASON = "row_in_file", "quarantine_reason"


def clean_file(assignment: Assignment) -> Mapping[str, object]:
    """Write the cleaned rows, the quarantined ones, the log and the report; returns its counts.

    Raises ToolRefusedError when the file is no table, a row could not be read or a column that a
    parameter names is not there.
    """
    cleaning = Cleaning(assignment)
    settled = cleaning.settle()
    assignment.progress("writing", 75)
    report = cleaning.write(settled)
    assignment.progress("done", 100)
    changed = sum(one.cells_changed for one in report.agents)
    return {
        **{f"rows_{name}": count for name, count in report.rows.model_dump().items()},
        "cells_changed": changed,
        "cells_left": sum(one.cells_left for one in report.agents),
        "turns": settled.turns,
        "is_settled": settled.is_settled,
    }


class Cleaning:
    """One file on its way."""

    def __init__(self, assignment: Assignment) -> None:
        if not isinstance(assignment.parameters, CleanParameters):
            raise TypeError(type(assignment.parameters))
        self.parameters = assignment.parameters
        self.duck, self.scratch = assignment.duck, assignment.scratch
        self.source, self.outputs = assignment.inputs[PRIMARY], assignment.outputs
        self.progress = assignment.progress
        self.progress("reading", 5)
        self.read = _whole(read_table(self.duck, self.source, self.scratch, PRIMARY))
        self.match = _places(self.read, "match_columns", self.parameters.match_columns)
        self.required = _places(self.read, "required_columns", self.parameters.required_columns)
        _places(self.read, "fill_columns", self.parameters.fill_columns)
        self.rows = Rows(self.duck, self.read.path, self.scratch, len(self.read.names))
        self.log = Log(duck=self.duck, folder=self.scratch)
        self.columns: dict[int, CleanedColumn] = {}
        """As they are now; once they are clean, they no longer say what they said at first."""

        self.first_seen: dict[int, CleanedColumn] = {}
        self.cells = CellCleaner(
            duck=self.duck, parameters=self.parameters, folder=self.scratch, log=self.log
        )

    def settle(self) -> Settled:
        """Clean until a turn changes nothing, or there were too many."""
        everything = list(range(len(self.read.names)))
        looked_at = everything
        for turn in range(1, MOST_TURNS + 1):
            self.log.turn = turn
            changed = self._clean_cells(looked_at)
            removed, quarantined = self._clean_rows()
            if not (changed or removed or quarantined):
                return Settled(columns=self.first_seen, turns=turn, is_settled=True)
            # An equal row leaves every column's different values as they were.
            looked_at = everything if quarantined else changed
        return Settled(columns=self.first_seen, turns=MOST_TURNS, is_settled=False)

    def _clean_cells(self, places: Sequence[int]) -> list[int]:
        """Clean these columns, remember what was found, and give those that changed."""
        changed = []
        for number, place in enumerate(places):
            if self.log.turn == 1:
                self.progress("cleaning", 10 + 45 * number // len(places))
            found = self.columns[place] = self.cells.clean(place, self.read.names[place])
            if place not in self.first_seen or self.first_seen[place].kind is None:
                self.first_seen[place] = found
            if found.is_changed:
                changed.append(place)
        self.rows.map(changed)
        return changed

    def _clean_rows(self) -> tuple[int, int]:
        """How many rows were removed as duplicates, and how many quarantined."""
        self.progress("comparing", 60)
        agents: dict[Agent, Callable[[], int]] = {
            Agent.DROP_NULLS: self._drop_nulls,
            Agent.NEAR_DUPLICATES: self._near_duplicates,
            Agent.OUTLIERS: self._outliers,
        }
        chosen = self.parameters.agents
        turn, width = self.log.turn, len(self.read.names)
        removed = quarantined = 0
        for agent in (one for one in Agent if one in chosen):
            if agent is Agent.EXACT_DUPLICATES:
                removed += self.rows.remove(agent, turn, equal_rows(self.duck, width))
            elif agent in agents:
                quarantined += agents[agent]()
        return removed, quarantined

    def _drop_nulls(self) -> int:
        empty = [f"{inner_name(place)} IS NULL" for place in self.required]
        if empty:
            named = [
                f"CASE WHEN {test} THEN {literal(harmless(self.read.names[place]))} END"
                for place, test in zip(self.required, empty, strict=True)
            ]
            reason, wanted = f"'empty: ' || concat_ws(', ', {', '.join(named)})", " OR ".join(empty)
        else:
            columns = range(len(self.read.names))
            reason = "'every cell is empty'"
            wanted = " AND ".join(f"{inner_name(place)} IS NULL" for place in columns)
        found = f"SELECT row, {reason} AS reason FROM rows WHERE {wanted}"
        return self.rows.quarantine(Agent.DROP_NULLS, self.log.turn, found)

    def _near_duplicates(self) -> int:
        places = self.match or range(len(self.read.names))
        found = like_rows(self.duck, places, self.parameters.similarity)
        return self.rows.quarantine(Agent.NEAR_DUPLICATES, self.log.turn, found)

    def _outliers(self) -> int:
        quarantined = 0
        for place, name in enumerate(self.read.names):
            kind = self.columns[place].kind
            if (
                kind is None
                or kind.agent is not Agent.NUMBERS
                or NO_QUANTITY.search(in_words(name))
            ):
                continue
            found = outlying_rows(self.duck, place, self.parameters.outlier_fence)
            if self.parameters.outlier_action is OutlierAction.FLAG:
                self.log.flagged(place, Agent.OUTLIERS, found)
            elif found:
                because = (
                    f"SELECT row, {literal(f'{name[:60]}: ')} || reason AS reason FROM ({found})"
                )
                quarantined += self.rows.quarantine(Agent.OUTLIERS, self.log.turn, because)
        return quarantined

    def write(self, settled: Settled) -> CleaningReport:
        """Write every output."""
        names = self.read.names
        if not self.parameters.keep_formulas:
            names = [harmless(name) for name in names]
        rows = Rowset(
            duck=self.duck, sql="SELECT * EXCLUDE (row) FROM rows ORDER BY row", names=names
        )
        rows.write_delimited(self.outputs / "cleaned_data.csv", ",")
        self._write_in_kind(rows)
        self._write_quarantined(names)
        log = self.outputs / "cleaning_log.parquet"
        self.log.write(self.read.names, log)
        self.progress("reporting", 90)
        report = cleaning_report(self.duck, log, self.read, self.parameters, settled)
        write_json(report, self.outputs / "cleaning_report.json")
        write_workbook(report, self.outputs / "cleaning_report.xlsx")
        return report

    def _write_in_kind(self, rows: Rowset) -> None:
        """The file's own kind once more, when it was not CSV."""
        target = self.outputs / "cleaned_data"
        match self.read.kind:
            case FileKind.PARQUET:
                types = parquet_types(self.duck, self.source)
                rows.write_parquet(target.with_suffix(".parquet"), types)
            case FileKind.JSON_LINES:
                # In another encoding every value is text: the readers' copy is not ours.
                is_utf_8 = (self.read.encoding or "") == "UTF-8"
                typed = json_columns(self.duck, self.source, self.read.names) if is_utf_8 else set()
                rows.write_json_lines(target.with_suffix(".jsonl"), typed)
            case FileKind.XLSX:
                title = self.read.sheet or "Sheet1"
                rows.write_workbook(target.with_suffix(".xlsx"), self.scratch, title)
            case FileKind.DELIMITED if self.read.delimiter == "tab":
                rows.write_delimited(target.with_suffix(".tsv"), "\t")

    def _write_quarantined(self, names: Sequence[str]) -> None:
        columns = self.rows.columns
        pieces = [f"SELECT * FROM read_parquet({literal(str(p))})" for p in self.rows.quarantined]
        pieces.append(f"SELECT row, {columns}, '' AS reason FROM rows WHERE false")
        width = len(names)
        own = [_free(name, names) for name in (ROW_NUMBER, REASON)]
        sql = f"""
            SELECT {columns}, row::VARCHAR AS c{width}, reason AS c{width + 1}
            FROM ({" UNION ALL ".join(pieces)}) ORDER BY row"""
        quarantined = Rowset(duck=self.duck, sql=sql, names=[*names, *own])
        quarantined.write_delimited(self.outputs / "quarantined_rows.csv", ",")


def _whole(read: ReadTable) -> ReadTable:
    """The table, when every row of the file is in it."""
    if read.ragged.rows:
        raise ToolRefusedError(
            ErrorCode.RAGGED_ROWS,
            f"{read.ragged.rows:,} rows have not as many cells as there are columns "
            f"({', '.join(read.ragged.first)}): mend them, or their rows would be lost",
        )
    return read


def _places(read: ReadTable, parameter: str, wanted: Sequence[str]) -> list[int]:
    """Where the columns are. Raises ToolRefusedError naming those that are not there."""
    missing = [name for name in wanted if name not in read.names]
    if missing:
        raise ToolRefusedError(
            ErrorCode.INVALID_PARAMETERS,
            f"{parameter}: there is no column {', '.join(missing)[:80]}; the file has "
            f"{', '.join(name[:40] for name in read.names[:20])}",
        )
    return [read.names.index(name) for name in wanted]


def _free(name: str, taken: Sequence[str]) -> str:
    """A name that no column has, whatever its case."""
    folded = {one.lower() for one in taken}
    while name in folded:
        name += "_"
    return name
