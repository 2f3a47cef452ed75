"""Bad rows into marketing.validation_failures_log: what people are asked to mend.

One row per bad record and pipeline id, however often a validation is repeated. Which of them have
been exported is export.py's; marketing.validation_failures_open shows what is mended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.extract import STATE
from outreach_assets.steps.failures.batches import migrated
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.validate import REASONS
from outreach_assets.tables.table import Table, Verdict, literal, quoted
from outreach_core.postgres import Connection, Postgres

NULL = r"\N"
BLOCK_BYTES = 1024 * 1024

FOUND = """
    CREATE TEMPORARY TABLE outreach_found (
        state text, record_id text, record_name text, fail_reason text
    ) ON COMMIT DROP"""

COPY_IN = rf"COPY outreach_found FROM STDIN (FORMAT csv, NULL '{NULL}')"

# What is in a batch of an export already stays as it was exported (export.py).
RECORD = """
    WITH recorded AS (
        INSERT INTO marketing.validation_failures_log AS log (
            {id}, {name}, fail_reason, state, validation_timestamp, pipeline_id, failure_type,
            last_seen_at)
        SELECT DISTINCT ON (record_id) record_id, record_name, fail_reason, state, now(),
            upper(state) || '-VALIDATION-' || %(day)s, %(type)s, now()
        FROM outreach_found ORDER BY record_id
        ON CONFLICT ({id}, pipeline_id, failure_type) DO UPDATE SET
            last_seen_at = now(),
            fail_reason = CASE WHEN {is_frozen} THEN log.fail_reason
                ELSE EXCLUDED.fail_reason END
        RETURNING state, xmax = 0 AS is_new)
    SELECT state, count(*), count(*) FILTER (WHERE is_new) FROM recorded GROUP BY state"""

IS_FROZEN = """log.exported_to_b2 IS TRUE OR EXISTS (
                SELECT FROM shq.failure_batch_rows AS r WHERE r.failure_id = log.id)"""

VALIDATED = """
    INSERT INTO shq.validations (state, failure_type, validated_at, pipeline_id, run_id, failures)
    VALUES (%s, %s, now(), %s, %s, %s)"""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the log has of one state and one table after this validation."""

    failures: int
    """Bad rows with a key, each with a row in the log."""

    new: int
    """Those that the log did not have under this pipeline id."""


def pipeline_id(state: str, version: str) -> str:
    """What a day's validations of a state are called, such as `WV-VALIDATION-20251118`."""
    return f"{state.upper()}-VALIDATION-{version[:8]}"


def record_failures(
    duck: Duck,
    postgres: Postgres,
    tables: Sequence[Table],
    states: Sequence[str],
    *,
    version: str,
    run_id: str,
) -> dict[str, dict[str, Recorded]]:
    """Log the bad rows that lie in DuckDB; by table name and state, what came of it.

    All of them or none. A row without a key cannot be told apart and is left out: the check of the
    keys reports it. Raises NotMigratedError and what `Postgres.connect` raises.
    """
    folder = Path(duck.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])
    found = {table.name: _write_found(duck, table, folder) for table in tables}
    try:
        with postgres.connect() as connection, migrated(postgres):
            return {
                t.name: _record(connection, t, found[t.name], states, version, run_id)
                for t in tables
            }
    finally:
        for path in found.values():
            path.unlink()


def _write_found(duck: Duck, table: Table, folder: Path) -> Path:
    """The bad rows as Postgres's COPY takes them."""
    path = folder / f"{table.name}_failures.csv"
    target = str(path).replace("'", "''")
    says = ", ".join(f"'{rule.name}': {literal(rule.complaint)}" for rule in table.errors)
    words = f"MAP {{{says}}}"
    duck.execute(
        f"COPY (SELECT {STATE}, {quoted(table.key)}, {table.called}, "
        f"list_aggregate(list_transform({REASONS}, lambda r: ({words})[r]), 'string_agg', '; ') "
        f"FROM {table.judged(Verdict.BAD)} WHERE {quoted(table.key)} IS NOT NULL) "
        f"TO '{target}' (FORMAT csv, HEADER false, NULLSTR '{NULL}')"
    )
    return path


def _record(
    connection: Connection,
    table: Table,
    found: Path,
    states: Sequence[str],
    version: str,
    run_id: str,
) -> dict[str, Recorded]:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(FOUND)
        with found.open("rb") as rows, cursor.copy(COPY_IN.encode()) as copy:
            while block := rows.read(BLOCK_BYTES):
                copy.write(block)
        record = RECORD.format(
            id=f"{table.singular}_id", name=f"{table.singular}_name", is_frozen=IS_FROZEN
        )
        cursor.execute(record.encode(), {"day": version[:8], "type": table.singular})
        counted: Mapping[str, tuple[int, int]] = {row[0]: row[1:] for row in cursor}
        cursor.execute("DROP TABLE outreach_found")
        recorded = {
            state: Recorded(failures=total, new=new)
            for state, (total, new) in ((s, counted.get(s, (0, 0))) for s in states)
        }
        cursor.executemany(
            VALIDATED,
            [
                (state, table.singular, pipeline_id(state, version), run_id, one.failures)
                for state, one in recorded.items()
            ],
        )
    return recorded
