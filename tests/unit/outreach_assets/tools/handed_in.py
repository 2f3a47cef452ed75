"""Files as people hand them in, and tools run on them inside the test's own process.

Starting a process per case would cost half a second each; test_run_tool.py does start them.
"""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.assignment import Assignment, ToolLimits
from outreach_assets.tools.catalogue import tool_by_id
from outreach_assets.tools.profile_my_data.profile import profile_file
from outreach_assets.tools.profile_my_data.report import ProfileReport
from outreach_assets.tools.reading.read_table import ReadTable, read_table
from outreach_assets.tools.sandbox import locked_duckdb
from outreach_assets.tools.validate_outreach.judge import judge_file

WORK = {"profile-my-data": profile_file, "validate-outreach": judge_file}


@contextmanager
def a_locked_duck(folder: Path, *files: Path) -> Iterator[Duck]:
    """What a tool gets: a DuckDB that sees the folder and the files and nothing else."""
    for name in ("scratch", "outputs"):
        (folder / name).mkdir(exist_ok=True)
    inputs = {str(n): path for n, path in enumerate(files)}
    with locked_duckdb(folder, inputs, ToolLimits(memory_mb=700)) as duck:
        yield duck


def a_file(folder: Path, content: str | bytes, name: str = "leads.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, path: Path) -> tuple[ReadTable, list[tuple[Any, ...]]]:
    """The file as it was read, and its rows."""
    with a_locked_duck(folder, path) as duck:
        found = read_table(duck, path, folder / "scratch", "primary")
        return found, duck.execute(f"FROM read_parquet('{found.path}')").fetchall()


def work(
    folder: Path, tool_id: str, files: Mapping[str, Path], **parameters: object
) -> Mapping[str, Any]:
    """Run the tool; its outputs are in `folder/outputs`."""
    with a_locked_duck(folder, *files.values()) as duck:
        assignment = Assignment(
            duck=duck,
            one_thread=lambda: a_locked_duck(folder),
            threads=2,
            inputs=files,
            parameters=tool_by_id(tool_id).checked_parameters(parameters),
            scratch=folder / "scratch",
            outputs=folder / "outputs",
            progress=lambda _stage, _percent: None,
        )
        return WORK[tool_id](assignment)


def profiled(
    folder: Path, content: str | bytes, baseline: str | bytes | None = None, **parameters: object
) -> ProfileReport:
    """The report on these contents."""
    files = {"primary": a_file(folder, content)}
    if baseline is not None:
        files["baseline"] = a_file(folder, baseline, "before.csv")
    work(folder, "profile-my-data", files, **parameters)
    text = (folder / "outputs" / "data_profile_report.json").read_text(encoding="utf-8")
    return ProfileReport.model_validate_json(text)


def a_workbook(path: Path, sheet_xml: str, **members: str) -> Path:
    """An XLSX with one sheet of this XML, as small as one can be."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/>'
            "</Types>",
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
            '<sheet name="Leads" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        archive.writestr("xl/worksheets/sheet1.xml", sheet_xml)
        for name, content in members.items():
            archive.writestr(name, content)
    return path
