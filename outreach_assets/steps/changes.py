"""What a snapshot changed against another of the same state, key by key, and what made it so.

Plain DuckDB over the Parquet files of both. Where the files come from is the caller's business:
the chain has them under exports/, the command line fetches them (snapshots/fetch.py).
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from b2_resources import keys
from outreach_assets.steps.export import COMPRESSION
from outreach_assets.steps.extract import STATE
from outreach_assets.steps.manifest import ChangesFacts, Manifest
from outreach_assets.steps.private_duckdb import Duck, disk_errors
from outreach_assets.steps.validate import REASONS, asked_rows, reasons_sql
from outreach_assets.tables.table import Table, Verdict, fingerprint, literal, quoted

IS_OLD = "outreach_is_old"
LIST = "outreach_changes"
DIFFERING = "outreach_differing"


class Change(StrEnum):
    """What became of a key."""

    FIXED = "fixed"
    BROKEN = "broken"
    APPEARED = "appeared"
    VANISHED = "vanished"
    CHANGED = "changed"
    """The same verdict with other contents or other reasons."""


class Cause(StrEnum):
    """What made it so."""

    DATA = "data"
    """The row, or a row it is linked to."""

    RULE = "rule"
    """The old row, judged by the new snapshot's rules, comes out like that; a rule has changed."""

    ENGINE = "engine"
    """The same, and no rule has changed: DuckDB, or how we run it, answers otherwise."""

    UNCLEAR = "unclear"
    """The rules or the DuckDB of the new snapshot are not at hand, and the row has changed too."""


@dataclass(frozen=True, kw_only=True)
class SnapshotFiles:
    """A snapshot, and where its files lie on this machine."""

    manifest: Manifest
    place: Callable[[str], Path]
    """From a file's key to its path."""


@dataclass(frozen=True, kw_only=True)
class _Pair:
    old: SnapshotFiles
    new: SnapshotFiles
    tables: Sequence[Table]

    def both(self, table: Table) -> str:
        """The rows of both snapshots as one relation; `outreach_is_old` tells them apart.

        By name and of common types: a column that one side lacks is NULL there, and an integer
        that became a bigint is the same number.
        """
        return "(" + " UNION ALL BY NAME ".join(self._scans(table)) + ")"

    def _scans(self, table: Table) -> Iterator[str]:
        for side, is_old in ((self.old, True), (self.new, False)):
            for verdict in Verdict:
                path = side.place(side.manifest.file(table.name, verdict).key)
                yield (
                    f"SELECT *, {is_old} AS {IS_OLD} "
                    f"FROM read_parquet({literal(str(path))}, hive_partitioning = false)"
                )

    def old_rows(self, table: Table) -> str:
        """The old rows with every column that either side has, as `asked_rows` takes them."""
        state = literal(self.new.manifest.state)
        return f"(SELECT *, {state} AS {STATE} FROM {self.both(table)} WHERE {IS_OLD})"

    @property
    def can_judge_anew(self) -> bool:
        """True when today's rules and engine are those of the new snapshot."""
        new = self.new.manifest
        return (new.rules, new.duckdb) == (fingerprint(self.tables), duckdb.__version__)

    @property
    def is_same_engine(self) -> bool:
        return self.old.manifest.duckdb == self.new.manifest.duckdb

    def has_changed_rule(self, reasons: str) -> str:
        """SQL: whether the rule of one of these reasons is another one in the new snapshot."""
        before, after = (side.manifest.rule_fingerprints for side in (self.old, self.new))
        if not (before and after):  # format 1 knows only whether any rule has changed
            return str(self.old.manifest.rules != self.new.manifest.rules)
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        return f"list_has_any({reasons}, {_list(changed)})"


def compare(
    duck: Duck, tables: Sequence[Table], old: SnapshotFiles, new: SnapshotFiles, out: Path
) -> ChangesFacts:
    """Write one row per changed key to `out`, whole or not at all; the facts for a manifest.

    The list has outreach_state, table_name, key, change, cause, row_changed (the row's own
    contents; NULL unless it is in both), old_reasons and new_reasons (sorted; empty for a good row,
    NULL for one that is not there), and reasons_judged_anew: what the new snapshot's rules say of
    the old row, NULL where that was not asked. Never the contents of a row.

    Contents are compared by a hash made now from both files, so whichever DuckDB wrote them. A
    column that only one side has counts as NULL on the other: a new one changes the rows that have
    a value in it. Rows that share a key (a state released all the same) count as one.
    `tables` say today's rules: the new snapshot's, unless somebody compares older ones. Raises
    DiskFullError.
    """
    pair = _Pair(old=old, new=new, tables=tables)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    with disk_errors(out.parent):
        try:
            duck.execute(f"CREATE OR REPLACE TEMP TABLE {LIST} ({LIST_COLUMNS})")
            for table in tables:
                duck.execute(_differing_sql(duck, pair, table))
                duck.execute(f"INSERT INTO {LIST} {_causes_sql(pair, table)}")
            counts = _counts(duck, tables)
            rows = duck.execute(
                f"COPY (FROM {LIST} ORDER BY table_name, change, cause, key) "
                f"TO {literal(str(part))} (FORMAT parquet, {COMPRESSION})"
            ).fetchall()[0][0]
            with part.open("rb") as written:
                sha256 = hashlib.file_digest(written, "sha256").hexdigest()
                size_bytes = os.fstat(written.fileno()).st_size
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
            for temporary in (LIST, DIFFERING):
                duck.execute(f"DROP TABLE IF EXISTS {temporary}")
    return ChangesFacts(
        key=keys.changes_key(new.manifest.state, new.manifest.version),
        rows=rows,
        size_bytes=size_bytes,
        sha256=sha256,
        since=old.manifest.version,
        counts=counts,
    )


LIST_COLUMNS = """
    outreach_state VARCHAR, table_name VARCHAR, key VARCHAR, change VARCHAR, cause VARCHAR,
    row_changed BOOLEAN, old_reasons VARCHAR[], new_reasons VARCHAR[],
    reasons_judged_anew VARCHAR[]"""


def _differing_sql(duck: Duck, pair: _Pair, table: Table) -> str:
    """Keys whose rows or reasons differ. One pass: only a hash and the reasons leave the scan.

    Grouped, not joined, because that also takes keys that are NULL or there twice. Reasons travel
    as text, which `max` takes at little cost; sorted, because their order is only the rules'.
    """
    both = pair.both(table)
    contents = ", ".join(_hashed_columns(duck, both))
    return f"""
        CREATE OR REPLACE TEMP TABLE {DIFFERING} AS
        SELECT key, was_there, is_there, row_changed,
            CASE WHEN was_there THEN coalesce(string_split(old_said, ','), []) END AS old_reasons,
            CASE WHEN is_there THEN coalesce(string_split(new_said, ','), []) END AS new_reasons
        FROM (
            SELECT key, count(*) FILTER ({IS_OLD}) > 0 AS was_there,
                count(*) FILTER (NOT {IS_OLD}) > 0 AS is_there,
                sum(contents) FILTER ({IS_OLD})
                    IS DISTINCT FROM sum(contents) FILTER (NOT {IS_OLD}) AS row_changed,
                max(said) FILTER ({IS_OLD}) AS old_said,
                max(said) FILTER (NOT {IS_OLD}) AS new_said
            FROM (SELECT {quoted(table.key)} AS key, {IS_OLD}, hash({contents}) AS contents,
                    array_to_string(list_sort({REASONS}), ',') AS said
                  FROM {both})
            GROUP BY key)
        WHERE row_changed OR old_said IS DISTINCT FROM new_said"""


def _hashed_columns(duck: Duck, relation: str) -> Iterator[str]:
    """The source's columns as `hash` takes them: to it NULL, [] and [NULL] are one and the same."""
    for name, duck_type, *_ in duck.execute(f"DESCRIBE FROM {relation}").fetchall():
        if name not in (REASONS, IS_OLD):
            yield quoted(name)
            if duck_type.endswith("]"):
                yield f"len({quoted(name)})"


def _causes_sql(pair: _Pair, table: Table) -> str:
    """The rows of the list: every differing key with what became of it and why."""
    anew = "NULL::VARCHAR[]"
    joined = ""
    if pair.can_judge_anew:
        anew = "anew.reasons"
        joined = f"LEFT JOIN ({_judged_anew_sql(pair, table)}) AS anew USING (key)"
    return f"""
        WITH named AS (
            SELECT d.*, {anew} AS anew,
                CASE WHEN NOT was_there THEN '{Change.APPEARED}'
                    WHEN NOT is_there THEN '{Change.VANISHED}'
                    WHEN (old_reasons = []) = (new_reasons = []) THEN '{Change.CHANGED}'
                    WHEN new_reasons = [] THEN '{Change.FIXED}'
                    ELSE '{Change.BROKEN}' END AS change
            FROM {DIFFERING} AS d {joined})
        SELECT {literal(pair.new.manifest.state)}, '{table.name}', key::VARCHAR, change,
            CASE WHEN NOT (was_there AND is_there) OR old_reasons = new_reasons THEN '{Cause.DATA}'
                ELSE {_cause_sql(pair, table)} END,
            CASE WHEN was_there AND is_there THEN row_changed END, old_reasons, new_reasons, anew
        FROM named"""


def _judged_anew_sql(pair: _Pair, table: Table) -> str:
    """What the rules say of the old rows whose reasons have changed."""
    key = quoted(table.key)
    return f"""
        SELECT {key} AS key, coalesce(string_split(
            max(nullif(array_to_string(list_sort({reasons_sql(table)}), ','), '')), ','), []
            ) AS reasons
        FROM {asked_rows(table, table.errors, pair.old_rows)}
        WHERE {key} IN (SELECT key FROM {DIFFERING} WHERE old_reasons <> new_reasons)
        GROUP BY key"""


def _cause_sql(pair: _Pair, table: Table) -> str:
    """Why the reasons of a row that is in both have changed."""
    if pair.can_judge_anew:
        judged_otherwise = _either_only("anew", "old_reasons")
        return f"""
            CASE WHEN NOT CASE change
                    WHEN '{Change.FIXED}' THEN anew = []
                    WHEN '{Change.BROKEN}' THEN list_has_any(anew, new_reasons)
                    ELSE anew = new_reasons END THEN '{Cause.DATA}'
                WHEN {pair.has_changed_rule(judged_otherwise)} THEN '{Cause.RULE}'
                ELSE '{Cause.ENGINE}' END"""
    concerned = _either_only("old_reasons", "new_reasons")
    changed = pair.has_changed_rule(concerned)
    linked = _list({rule.name for rule in table.rules if rule.linked is not None})
    return f"""
        CASE WHEN {pair.is_same_engine} AND NOT {changed} THEN '{Cause.DATA}'
            WHEN row_changed OR list_has_any({concerned}, {linked}) THEN '{Cause.UNCLEAR}'
            WHEN {changed} THEN '{Cause.RULE}'
            ELSE '{Cause.ENGINE}' END"""


def _either_only(one: str, other: str) -> str:
    """SQL for what is in one of two lists and not in the other."""
    return (
        f"list_filter(list_concat({one}, {other}), "
        f"lambda r: list_contains({one}, r) <> list_contains({other}, r))"
    )


def _counts(duck: Duck, tables: Sequence[Table]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {table.name: {} for table in tables}
    for name, change, cause, rows in duck.execute(
        f"SELECT table_name, change, cause, count(*) FROM {LIST} GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        counts[name][f"{change} by {cause}"] = rows
    return counts


def _list(names: set[str]) -> str:
    return f"[{', '.join(literal(name) for name in sorted(names))}]::VARCHAR[]"
