"""The judged rows of each state into four Parquet files and a receipt under exports/.

What reached the files is held against what was judged before anything is uploaded; uploading is
upload.py's. Files are whole or absent: written beside their place and renamed.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb

from b2_resources import keys
from outreach_assets.steps.extract import STATE, ExtractedTable
from outreach_assets.steps.manifest import FileFacts, Manifest, SourceFacts
from outreach_assets.steps.private_duckdb import Duck, disk_errors
from outreach_assets.steps.validate import REASONS, StateVerdict, Tally, Verdicts, key_tally, tally
from outreach_assets.tables.table import Table, Verdict, fingerprint
from outreach_core.errors import PermanentError

# One COPY of one state is too small for DuckDB to use two threads; two at once are.
WRITERS = 2

# At M: 123 MB in 3.3 CPU seconds, where DuckDB's defaults (snappy, bloom filters, dictionaries up
# to 1 MB that high-cardinality strings fill for nothing) make 185 MB in 3.5 (measured).
COMPRESSION = (
    "COMPRESSION zstd, COMPRESSION_LEVEL 1, WRITE_BLOOM_FILTER false, "
    "STRING_DICTIONARY_PAGE_SIZE_LIMIT 65536"
)

EXPORTS_FOLDER = "exports"
"""Below OUTREACH_HOME: exported files, keyed as in the store."""

FILE = "outreach_file"
"""The column that names a row's file when several are read; no source has one of that name."""


class ExportDiffersError(PermanentError):
    """A Parquet file does not hold the rows or the columns that were judged."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export is called and where it goes."""

    exports: Path
    version: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the steps before have found out about the rows that lie in DuckDB now."""

    extracted: Mapping[str, ExtractedTable]
    verdicts: Verdicts
    states: Sequence[str]


def write_parquet(
    duck: Duck,
    export: Export,
    tables: Sequence[Table],
    judged: Judged,
    states: Sequence[str],
    held: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Manifest]:
    """Write the states' files and, last, their receipts; returns the receipts by state.

    `held` says by state why it must not be published, which its receipt remembers.
    Raises ExportDiffersError or DiskFullError.
    """
    if not states:
        return {}
    columns = judged_columns(duck, tables, judged)

    def one_state(state: str) -> Manifest:
        with duck.cursor() as cursor:
            files = [
                _write(cursor, export, table, verdict, state, columns[table.name, verdict])
                for table in tables
                for verdict in Verdict
            ]
        verdicts = {table: by_state[state] for table, by_state in judged.verdicts.items()}
        receipt = _receipt(export, tables, verdicts, state, files)
        return receipt.model_copy(update={"held": tuple((held or {}).get(state, ()))})

    with disk_errors(export.exports), ThreadPoolExecutor(WRITERS) as pool:
        _remove_parts(export.exports, states)
        manifests = dict(zip(states, pool.map(one_state, states), strict=True))
        _hold_to_verdicts(duck, export, tables, judged.verdicts, manifests)
        for manifest in manifests.values():
            write_whole(export.exports / manifest.key, manifest.body)
    return manifests


def _remove_parts(exports: Path, states: Sequence[str]) -> None:
    """Remove what a killed run had half written; nobody else writes in states we have claimed.

    DuckDB puts a `tmp_` before the name it was given.
    """
    for state in states:
        for part in (exports / keys.state_prefix(state)).rglob("*.part"):
            part.unlink(missing_ok=True)


def write_whole(path: Path, body: bytes) -> None:
    """The bytes at the path, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(body)
    part.replace(path)


def _write(
    duck: Duck,
    export: Export,
    table: Table,
    verdict: Verdict,
    state: str,
    columns: tuple[tuple[str, str], ...],
) -> FileFacts:
    key = keys.snapshot_key(state, table.name, verdict, export.version)
    path = export.exports / key
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    target = str(part).replace("'", "''")
    try:
        rows = duck.execute(
            f"COPY (SELECT * EXCLUDE ({STATE}) FROM {table.judged(verdict)} "
            f"WHERE {STATE} = '{state}') TO '{target}' (FORMAT parquet, {COMPRESSION})"
        ).fetchall()[0][0]
        with part.open("rb") as written:
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
            size_bytes = os.fstat(written.fileno()).st_size
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
    return FileFacts(
        key=key,
        table=table.name,
        verdict=verdict,
        rows=rows,
        size_bytes=size_bytes,
        sha256=sha256,
        columns=columns,
    )


def judged_columns(
    duck: Duck, tables: Sequence[Table], judged: Judged
) -> dict[tuple[str, Verdict], tuple[tuple[str, str], ...]]:
    """Each file's columns, by table and verdict, in the order of a receipt's files.

    Raises ExportDiffersError.
    """
    return {
        (table.name, verdict): _columns_of(
            duck, table.judged(verdict), judged.extracted[table.name], verdict
        )
        for table in tables
        for verdict in Verdict
    }


def _columns_of(
    duck: Duck, view: str, extracted: ExtractedTable, verdict: Verdict
) -> tuple[tuple[str, str], ...]:
    """The file's columns: exactly the source's; in a bad file the reasons after them."""
    described = duck.execute(f"DESCRIBE {view}").fetchall()
    columns = tuple((row[0], row[1]) for row in described if row[0] != STATE)
    wanted = [c.name for c in extracted.columns] + [REASONS] * (verdict is Verdict.BAD)
    if [name for name, _ in columns] != wanted:
        raise ExportDiffersError(f"{view} does not have the source's columns")
    return columns


def sources_of(
    tables: Sequence[Table], judged: Mapping[str, StateVerdict]
) -> tuple[SourceFacts, ...]:
    """What the tables held of one state, as its receipt says it."""
    return tuple(
        SourceFacts(
            table=t.source,
            rows=judged[t.name].raw.rows,
            key_hash=judged[t.name].raw.key_hash,
            row_hash=judged[t.name].row_hash,
        )
        for t in tables
    )


def _receipt(
    export: Export,
    tables: Sequence[Table],
    judged: Mapping[str, StateVerdict],
    state: str,
    files: Sequence[FileFacts],
) -> Manifest:
    return Manifest(
        state=state,
        version=export.version,
        run_id=export.run_id,
        rules=fingerprint(tables),
        duckdb=duckdb.__version__,
        sources=sources_of(tables, judged),
        files=tuple(files),
        reasons={name: n for v in judged.values() for name, n in v.reasons.items()},
        warnings={name: n for v in judged.values() for name, n in v.warnings.items()},
        rule_fingerprints={rule.name: rule.fingerprint for t in tables for rule in t.rules},
    )


def _hold_to_verdicts(
    duck: Duck,
    export: Export,
    tables: Sequence[Table],
    verdicts: Verdicts,
    manifests: Mapping[str, Manifest],
) -> None:
    """Read keys and columns back from the files; raise ExportDiffersError where they differ."""
    for table in tables:
        for verdict in Verdict:
            files = {m.file(table.name, verdict).key: m for m in manifests.values()}
            for key, found in _read_back(duck, export.exports, table, list(files)).items():
                judged = verdicts[table.name][files[key].state]
                if found != (judged.good if verdict is Verdict.GOOD else judged.bad):
                    raise ExportDiffersError(f"{key} does not hold the rows that were judged")
            _hold_schema(duck, export.exports, manifests, table, verdict)


def _read_back(duck: Duck, exports: Path, table: Table, wanted: Sequence[str]) -> dict[str, Tally]:
    listed = ", ".join("'" + str(exports / key).replace("'", "''") + "'" for key in wanted)
    found = duck.execute(
        f"SELECT {FILE}, {key_tally(table.key)} FROM read_parquet([{listed}], "
        f"filename = '{FILE}', hive_partitioning = false) GROUP BY {FILE}"
    ).fetchall()
    by_path = {path: tally(rows, key_sum) for path, rows, key_sum in found}
    return {key: by_path.get(str(exports / key), tally(0, 0)) for key in wanted}


def _hold_schema(
    duck: Duck, exports: Path, manifests: Mapping[str, Manifest], table: Table, verdict: Verdict
) -> None:
    """All states' files come from one statement, so the first one's columns are everybody's."""
    first = next(iter(manifests.values()), None)
    if first is None:
        return
    file = first.file(table.name, verdict)
    path = str(exports / file.key).replace("'", "''")
    described = duck.execute(
        f"DESCRIBE SELECT * FROM read_parquet('{path}', hive_partitioning = false)"
    ).fetchall()
    if tuple((row[0], row[1]) for row in described) != file.columns:
        raise ExportDiffersError(f"{file.key} does not have the columns that were judged")
