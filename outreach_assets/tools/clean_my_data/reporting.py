"""cleaning_report.json and .xlsx counted and written: what each agent did, column by column.

No value of a cell is in them, and nothing depends on when or where they were written.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xlsxwriter

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.clean_my_data.agents import FORMULAS, PLAIN_TEXT, SAYS, Agent
from outreach_assets.tools.clean_my_data.cells import CleanedColumn
from outreach_assets.tools.clean_my_data.manifest import CLEAN_MY_DATA, CleanParameters
from outreach_assets.tools.clean_my_data.outputs import OPTIONS, SAME_BYTES
from outreach_assets.tools.clean_my_data.report import (
    SCHEMA_VERSION,
    AgentReport,
    CleaningReport,
    ColumnReport,
    RowCounts,
)
from outreach_assets.tools.reading.columns import literal
from outreach_assets.tools.reading.read_table import ReadTable

ALL = (PLAIN_TEXT, *Agent, FORMULAS)
SAID = {
    PLAIN_TEXT: "Makes line ends alike and takes NULs away; always at work.",
    FORMULAS: "Puts a ' before what a spreadsheet would run; at work unless keep_formulas is set.",
} | {str(agent): says for agent, says in SAYS.items()}

Cell = str | int | float | None
Counts = Mapping[tuple[str, str], tuple[int, int]]
"""By column and agent: cells changed, cells left."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How the cleaning went."""

    columns: Mapping[int, CleanedColumn]
    turns: int
    is_settled: bool


def cleaning_report(
    duck: Duck, log: Path, read: ReadTable, parameters: CleanParameters, settled: Settled
) -> CleaningReport:
    """Count what the log and the table `gone` hold."""
    cells = _cells(duck, log)
    gone = duck.execute("""
        SELECT agent, count(*) FILTER (NOT is_quarantined), count(*) FILTER (is_quarantined)
        FROM gone GROUP BY agent""").fetchall()
    removed = {agent: counts for agent, *counts in gone}
    duplicates = sum(counts[0] for counts in removed.values())
    quarantined = sum(counts[1] for counts in removed.values())
    return CleaningReport(
        schema_version=SCHEMA_VERSION,
        tool=CLEAN_MY_DATA.id,
        tool_version=CLEAN_MY_DATA.version,
        file={"kind": read.kind, "encoding": read.encoding, "size_bytes": read.size_bytes},
        parameters=parameters.model_dump(mode="json"),
        rows=RowCounts(
            read=read.rows,
            cleaned=read.rows - duplicates - quarantined,
            quarantined=quarantined,
            duplicates_removed=duplicates,
        ),
        turns=settled.turns,
        is_settled=settled.is_settled,
        agents=[
            AgentReport(
                agent=agent,
                is_on=_is_on(agent, parameters),
                cells_changed=sum(n for (_, one), (n, _) in cells.items() if one == agent),
                cells_left=sum(n for (_, one), (_, n) in cells.items() if one == agent),
                rows_removed=removed.get(agent, (0, 0))[0],
                rows_quarantined=removed.get(agent, (0, 0))[1],
            )
            for agent in ALL
        ],
        columns=[
            _column(name, settled.columns[place], cells) for place, name in enumerate(read.names)
        ],
        reasons=_reasons(duck),
    )


def _is_on(agent: str, parameters: CleanParameters) -> bool:
    if agent == FORMULAS:
        return not parameters.keep_formulas
    return agent == PLAIN_TEXT or agent in parameters.agents


def _cells(duck: Duck, log: Path) -> Counts:
    counted = duck.execute(f"""
        SELECT "column", agent, count(*) FILTER (reason IS NULL), count(reason)
        FROM read_parquet({literal(str(log))}) WHERE "column" IS NOT NULL
        GROUP BY ALL ORDER BY ALL""").fetchall()
    return {(column, agent): (changed, left) for column, agent, changed, left in counted}


def _column(name: str, found: CleanedColumn, cells: Counts) -> ColumnReport:
    mine = {agent: counts for (column, agent), counts in cells.items() if column == name}
    return ColumnReport(
        name=name,
        kind=found.kind.agent if found.kind else "text",
        share=found.kind.share if found.kind else None,
        says=found.says,
        cells_changed={agent: changed for agent, (changed, _) in mine.items() if changed},
        cells_left={agent: left for agent, (_, left) in mine.items() if left},
    )


def _reasons(duck: Duck) -> dict[str, int]:
    counted = duck.execute("""
        SELECT agent || ': ' || regexp_replace(reason, 'row [0-9]+', 'an earlier row'), count(*)
        FROM gone WHERE is_quarantined GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100""").fetchall()
    return {str(reason): count for reason, count in counted}


def write_json(report: CleaningReport, target: Path) -> None:
    """Write the report for programs."""
    text = json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")


def write_workbook(report: CleaningReport, target: Path) -> None:
    """Write the report for people; every text is written as text."""
    book = xlsxwriter.Workbook(str(target), OPTIONS | {"constant_memory": False})
    book.set_properties({"created": SAME_BYTES, "title": "Cleaning report"})
    head = book.add_format({"bold": True, "bg_color": "#1f3a5f", "font_color": "white"})
    rows = report.rows
    sheets: dict[str, tuple[Sequence[str], Sequence[Sequence[Cell]]]] = {
        "Summary": (
            ("what", "count"),
            [
                ("rows read", rows.read),
                ("rows cleaned", rows.cleaned),
                ("rows quarantined", rows.quarantined),
                ("duplicates removed", rows.duplicates_removed),
                ("cells changed", sum(one.cells_changed for one in report.agents)),
                ("cells left", sum(one.cells_left for one in report.agents)),
                ("settled", "yes" if report.is_settled else "no: clean the cleaned file again"),
            ],
        ),
        "Agents": (
            ("agent", "on", "cells changed", "cells left", "rows removed", "quarantined", "does"),
            [
                (
                    *(one.agent, "yes" if one.is_on else "no", one.cells_changed, one.cells_left),
                    *(one.rows_removed, one.rows_quarantined, SAID[one.agent]),
                )
                for one in report.agents
            ],
        ),
        "Columns": (
            ("column", "kind", "share of that kind", "read with", "cells changed", "cells left"),
            [
                (
                    *(one.name, one.kind, one.share, one.says),
                    *(sum(one.cells_changed.values()), sum(one.cells_left.values())),
                )
                for one in report.columns
            ],
        ),
        "Quarantine": (("agent and reason", "rows"), list(report.reasons.items())),
    }
    for title, (heads, lines) in sheets.items():
        sheet = book.add_worksheet(title)
        for place, name in enumerate(heads):
            longest = max((len(str(line[place])) for line in lines), default=0)
            sheet.set_column(place, place, min(max(longest, len(name)) + 3, 60))
        for number, line in enumerate([heads, *lines]):
            for place, cell in enumerate(line):
                look = None if number else head
                if isinstance(cell, str):
                    sheet.write_string(number, place, cell, look)
                elif cell is not None:
                    sheet.write_number(number, place, cell, look)
        sheet.freeze_panes(1, 0)
    book.close()
