"""The rows of a snapshot's Parquet files, judged anew and held against its manifest.

The rules are the tables' own and the SQL is validate.py's. That the files are those of the
manifest, byte for byte, was proven before (verify.py, restore.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from outreach_assets.steps.extract import STATE
from outreach_assets.steps.manifest import FileFacts, Manifest, SourceFacts
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.validate import (
    REASONS,
    StateVerdict,
    key_tally,
    split_rows,
    tally,
)
from outreach_assets.tables.table import Table, Verdict, fingerprint, quoted

Files = Mapping[str, Path]
"""Where each of a manifest's objects lies on this machine, by key."""

SUM_OF_REASONS = "coalesce(sum(hash({key}, {reasons})::HUGEINT), 0)"


def rows_problems(
    duck: Duck, manifest: Manifest, files: Files, tables: Sequence[Table]
) -> list[str]:
    """What in the rows is not as the manifest says, one sentence each. Needs an empty DuckDB."""
    try:
        problems = [
            p for file in manifest.files for p in _file_problems(duck, manifest, file, files)
        ]
        problems += _reason_problems(duck, manifest, files)
        if not problems and is_judged_by(manifest, tables):
            problems += _verdict_problems(duck, manifest, files, tables)
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        says = str(error).splitlines()[0]
        return [f"{manifest.state} {manifest.version} cannot be read as Parquet: {says}"]
    return problems


def is_judged_by(manifest: Manifest, tables: Sequence[Table]) -> bool:
    """True when the rules are today's, so that today's verdicts must be the same."""
    return manifest.rules == fingerprint(tables)


def rows_of(path: Path) -> str:
    """SQL that reads one Parquet file."""
    literal = str(path).replace("'", "''")
    return f"read_parquet('{literal}', hive_partitioning = false)"


def _file_problems(duck: Duck, manifest: Manifest, file: FileFacts, files: Files) -> Iterator[str]:
    source = rows_of(files[file.key])
    described = duck.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    if tuple((row[0], row[1]) for row in described) != file.columns:
        yield f"{file.key} does not have the columns that {manifest.key} names"
    found = duck.execute(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    if found != file.rows:
        yield f"{file.key} has {found:,} rows, and {manifest.key} says {file.rows:,}"


def _reason_problems(duck: Duck, manifest: Manifest, files: Files) -> Iterator[str]:
    """Reasons are those of the bad files, whatever the rules were then."""
    found: dict[str, int] = {}
    for file in manifest.files:
        if file.verdict == Verdict.BAD:
            counted = f"""
                SELECT reason, count(*) FROM (
                    SELECT unnest({REASONS}) AS reason FROM {rows_of(files[file.key])}
                ) GROUP BY reason"""
            found |= dict(duck.execute(counted).fetchall())
    said = {reason: count for reason, count in manifest.reasons.items() if count}
    if found != said:
        yield (
            f"{manifest.key} says {_listed(said)}, and the bad rows of that version say "
            f"{_listed(found)}"
        )


def _verdict_problems(
    duck: Duck, manifest: Manifest, files: Files, tables: Sequence[Table]
) -> Iterator[str]:
    for table in tables:
        duck.execute(_raw_view(manifest, table, files))
    verdicts = split_rows(duck, tables, [manifest.state])
    for table in tables:
        verdict = verdicts[table.name][manifest.state]
        yield from _good_problems(duck, manifest, table, files, verdict)
        yield from _bad_problems(duck, manifest, table, files, verdict)
        for source in manifest.sources:
            if source.table == table.source:
                yield from _source_problems(manifest, source, verdict)
    warned = {rule: n for v in verdicts.values() for rule, n in v[manifest.state].warnings.items()}
    if manifest.format > 1 and warned != manifest.warnings:
        yield f"{manifest.key} says {_listed(manifest.warnings)}, judged again {_listed(warned)}"


def _raw_view(manifest: Manifest, table: Table, files: Files) -> str:
    """`<table>_raw` as extract leaves it, made of what was judged good and bad."""
    good, bad = (rows_of(files[manifest.file(table.name, v).key]) for v in Verdict)
    return f"""
        CREATE VIEW {table.raw} AS
        SELECT *, '{manifest.state}' AS {STATE} FROM {good}
        UNION ALL BY NAME
        SELECT * EXCLUDE ({REASONS}), '{manifest.state}' AS {STATE} FROM {bad}"""


def _good_problems(
    duck: Duck, manifest: Manifest, table: Table, files: Files, verdict: StateVerdict
) -> Iterator[str]:
    file = manifest.file(table.name, Verdict.GOOD)
    rows, keys = duck.execute(
        f"SELECT {key_tally(table.key)} FROM {rows_of(files[file.key])}"
    ).fetchall()[0]
    if tally(rows, keys) != verdict.good:
        yield (
            f"{file.key} holds {rows:,} rows; judged again, {verdict.good.rows:,} are good, and "
            f"not all of them are the same ones{_engine(manifest)}"
        )


def _bad_problems(
    duck: Duck, manifest: Manifest, table: Table, files: Files, verdict: StateVerdict
) -> Iterator[str]:
    file = manifest.file(table.name, Verdict.BAD)
    reasons = SUM_OF_REASONS.format(key=quoted(table.key), reasons=REASONS)
    said, found = (
        duck.execute(f"SELECT {reasons} FROM {rows}").fetchall()[0][0]
        for rows in (rows_of(files[file.key]), table.judged(Verdict.BAD))
    )
    if said != found:
        yield (
            f"{file.key} holds {file.rows:,} rows; judged again, {verdict.bad.rows:,} are bad, and "
            f"not all of them are the same ones for the same reasons{_engine(manifest)}"
        )


def _source_problems(
    manifest: Manifest, source: SourceFacts, verdict: StateVerdict
) -> Iterator[str]:
    if verdict.raw.rows != source.rows:
        yield (
            f"{manifest.key} says that {source.table} had {source.rows:,} rows; good and bad "
            f"together are {verdict.raw.rows:,}"
        )
    # A hash of DuckDB's is only comparable within one version of it.
    elif manifest.duckdb == duckdb.__version__ and (
        (verdict.raw.key_hash, verdict.row_hash) != (source.key_hash, source.row_hash)
    ):
        yield f"{manifest.key} names other rows of {source.table} than good and bad together hold"


def _engine(manifest: Manifest) -> str:
    if manifest.duckdb == duckdb.__version__:
        return ""
    return f" (judged by DuckDB {manifest.duckdb} then, by {duckdb.__version__} now)"


def _listed(counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()) if count)
    return named or "no reasons"
