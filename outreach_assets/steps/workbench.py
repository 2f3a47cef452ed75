"""The analysts' DuckDB file: views over the newest Parquet of every state, and nothing else.

It is replaced by rename, so nobody meets a lock and whoever has it open keeps what they had.
"""

import secrets
from contextlib import closing
from pathlib import Path

import duckdb

from outreach_assets.steps.export import disk_errors
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Verdict
from outreach_core.life_marks import marked_alive, sweep_dead

FILE_NAME = "outreach_workbench.duckdb"


def workbench_path(home: Path) -> Path:
    """Where the file lies."""
    return home / "duck" / FILE_NAME


def refresh_workbench(home: Path, exports: Path) -> Path | None:
    """Make the file anew over what exports/ holds; None while it holds nothing.

    Views: `companies_good`, `companies_bad`, `people_good`, `people_bad` (the file's columns and
    `outreach_state`), and `snapshots` (one row per snapshot, file and state).
    """
    if not _has_every_file(exports):
        return None
    path = workbench_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    for dead in sweep_dead(path.parent):
        _part(path, dead).unlink(missing_ok=True)
    with marked_alive(path.parent, name), disk_errors(home):
        _make(_part(path, name), exports)
        _part(path, name).replace(path)
    return path


def _has_every_file(exports: Path) -> bool:
    """Whether there is something to make each view over: an export alone is not published."""
    return all(
        any(exports.glob(f"outreach/*/{table.name}/{verdict}/{table.judged(verdict)}.parquet"))
        for table in TABLES
        for verdict in Verdict
    )


def _part(path: Path, name: str) -> Path:
    return path.with_name(f".{path.name}.{name}.part")


def _make(part: Path, exports: Path) -> None:
    with closing(duckdb.connect(str(part))) as duck:
        for table in TABLES:
            for verdict in Verdict:
                duck.execute(_rows_view(exports, table.judged(verdict), f"{table.name}/{verdict}"))
        duck.execute(_snapshots_view(exports))


def _rows_view(exports: Path, view: str, folder: str) -> str:
    files = _literal(exports / "outreach" / "*" / folder / f"{view}.parquet")
    # By name, because a column that came along later is missing in states published before.
    return f"""
        CREATE VIEW {view} AS
        SELECT * EXCLUDE (filename), {_state("filename")} AS outreach_state
        FROM read_parquet({files}, union_by_name = true, filename = true)"""


def _snapshots_view(exports: Path) -> str:
    files = _literal(exports / "outreach" / "*" / "manifests" / "*.json")
    return f"""
        CREATE VIEW snapshots AS
        SELECT state AS outreach_state, version, run_id, rules, duckdb, file.table AS table_name,
            file.verdict, file.rows, file.size_bytes, file.sha256, file.key
        FROM (SELECT state, version, run_id, rules, duckdb, unnest(files) AS file
              FROM read_json({files}, columns = {{
                state: 'VARCHAR', version: 'VARCHAR', run_id: 'VARCHAR', rules: 'VARCHAR',
                duckdb: 'VARCHAR', files: 'STRUCT("table" VARCHAR, verdict VARCHAR, rows BIGINT,
                size_bytes BIGINT, sha256 VARCHAR, "key" VARCHAR)[]'}}))"""


def _state(filename: str) -> str:
    found = rf"regexp_extract({filename}, 'outreach/([^/]+)/[a-z]+/[a-z]+/[^/]+$', 1)"
    return f"CASE {found} WHEN 'unassigned' THEN 'unassigned' ELSE upper({found}) END"


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
