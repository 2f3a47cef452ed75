"""The analysts' DuckDB file: views over the newest Parquet of every state, and nothing else.

It is replaced by rename, so nobody meets a lock and whoever has it open keeps what they had.
"""

import re
import secrets
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from outreach_assets.steps.export import FILE
from outreach_assets.steps.private_duckdb import disk_errors
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Verdict
from outreach_core.life_marks import marked_alive, sweep_dead

FILE_NAME = "outreach_workbench.duckdb"


def workbench_path(home: Path) -> Path:
    """Where the file lies."""
    return home / "duck" / FILE_NAME


def refresh_workbench(home: Path, exports: Path) -> Path | None:
    """Make the file anew over what exports/ holds; None while it shows no snapshot.

    Views: `companies_good`, `companies_bad`, `people_good`, `people_bad` (the file's columns and
    `outreach_state`), `snapshots` (one row per snapshot, file and state), `reasons_by_snapshot`
    (one row per snapshot, state and rule: how many rows broke it, of how many) and
    `reasons_over_time` (the same over all states whenever one was published).
    """
    views = [(table.judged(v), f"{table.name}/{v}") for table in TABLES for v in Verdict]
    # Without a newest file of each kind, as when nothing could be published yet, no view can be.
    if not all(any(exports.glob(f"outreach/*/{folder}/{view}.parquet")) for view, folder in views):
        return None
    path = workbench_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    for dead in sweep_dead(path.parent):
        _part(path, dead).unlink(missing_ok=True)
    with marked_alive(path.parent, name), disk_errors(home):
        try:
            _make(_part(path, name), exports, views)
            _part(path, name).replace(path)
        finally:
            _part(path, name).unlink(missing_ok=True)
    return path


def _part(path: Path, name: str) -> Path:
    return path.with_name(f".{path.name}.{name}.part")


def _make(part: Path, exports: Path, views: Sequence[tuple[str, str]]) -> None:
    with closing(duckdb.connect(str(part))) as duck:
        for view, folder in views:
            duck.execute(_rows_view(exports, view, folder))
        duck.execute(_snapshots_view(exports))
        duck.execute(_reasons_view(exports))
        duck.execute(REASONS_OVER_TIME)


def _rows_view(exports: Path, view: str, folder: str) -> str:
    files = _literal(exports, f"outreach/*/{folder}/{view}.parquet")
    # By name, because a column that came along later is missing in states published before.
    return f"""
        CREATE VIEW {view} AS
        SELECT * EXCLUDE ({FILE}), {_state(FILE)} AS outreach_state
        FROM read_parquet({files}, union_by_name = true, filename = '{FILE}',
            hive_partitioning = false)"""


def _snapshots_view(exports: Path) -> str:
    return f"""
        CREATE VIEW snapshots AS
        SELECT state AS outreach_state, version, run_id, rules, duckdb, file.table AS table_name,
            file.verdict, file.rows, file.size_bytes, file.sha256, file.key
        FROM (SELECT state, version, run_id, rules, duckdb, unnest(files) AS file
              FROM {_receipts(exports)})"""


def _reasons_view(exports: Path) -> str:
    """Receipts name a rule and not its table; of a rule that is no more, the table is NULL."""
    tables = ", ".join(f"('{rule.name}', '{t.name}')" for t in TABLES for rule in t.rules)
    return f"""
        CREATE VIEW reasons_by_snapshot AS
        WITH broken AS (
            SELECT *, 'error' AS severity, unnest(map_entries(reasons)) AS entry
            FROM {_receipts(exports)}
            UNION ALL
            SELECT *, 'warn', unnest(map_entries(warnings)) FROM {_receipts(exports)})
        SELECT state AS outreach_state, version,
            -- The run's start in UTC. No TIMESTAMPTZ: fetching one into Python needs pytz.
            strptime(version, '%Y%m%d%H%M%S') AS published_at,
            rule.table_name, entry.key AS reason, severity, entry.value AS rows,
            list_sum(list_transform(
                list_filter(files, lambda file: file.table = rule.table_name),
                lambda file: file.rows))::BIGINT AS of_rows,
            rule_fingerprints[entry.key] AS rule_fingerprint
        FROM broken LEFT JOIN (VALUES {tables}) AS rule (name, table_name)
            ON rule.name = entry.key"""


# Only states that have changed are published, so a night's own rows are no total.
REASONS_OVER_TIME = """
    CREATE VIEW reasons_over_time AS
    WITH moments AS (
        SELECT moment.published_at AS moment, states.outreach_state
        FROM (SELECT DISTINCT published_at FROM reasons_by_snapshot) AS moment,
            (SELECT DISTINCT outreach_state FROM reasons_by_snapshot) AS states),
    newest AS (
        SELECT moment, snapshot.*
        FROM moments ASOF JOIN (
            SELECT DISTINCT outreach_state, published_at FROM reasons_by_snapshot) AS snapshot
            ON moments.outreach_state = snapshot.outreach_state AND moment >= published_at)
    SELECT moment AS published_at, table_name, reason, severity,
        sum(rows)::BIGINT AS rows, sum(of_rows)::BIGINT AS of_rows
    FROM newest JOIN reasons_by_snapshot USING (outreach_state, published_at)
    GROUP BY ALL"""


def _receipts(exports: Path) -> str:
    """Every receipt as a relation; what an older format does not have is NULL."""
    files = _literal(exports, "outreach/*/manifests/*.json")
    return f"""read_json({files}, columns = {{
        state: 'VARCHAR', version: 'VARCHAR', run_id: 'VARCHAR', rules: 'VARCHAR',
        duckdb: 'VARCHAR', reasons: 'MAP(VARCHAR, BIGINT)', warnings: 'MAP(VARCHAR, BIGINT)',
        rule_fingerprints: 'MAP(VARCHAR, VARCHAR)',
        files: 'STRUCT("table" VARCHAR, verdict VARCHAR, rows BIGINT, size_bytes BIGINT,
            sha256 VARCHAR, "key" VARCHAR)[]'}})"""


def _state(filename: str) -> str:
    found = rf"regexp_extract({filename}, 'outreach/([^/]+)/[a-z]+/[a-z]+/[^/]+$', 1)"
    return f"CASE {found} WHEN 'unassigned' THEN 'unassigned' ELSE upper({found}) END"


def _literal(folder: Path, pattern: str) -> str:
    """The files below the folder, whose own name is no pattern whatever is in it."""
    plain = re.sub(r"[*?\[]", r"[\g<0>]", str(folder))
    return "'" + f"{plain}/{pattern}".replace("'", "''") + "'"
