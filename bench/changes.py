"""How long two snapshots of everything take to compare, and in how much memory.

All states of size M: 370,000 companies and 1,480,000 people, made in DuckDB alone and exported
twice, with one row in a hundred edited in between. Each measurement is a process of its own.

    python -m bench.changes            # size M
    python -m bench.changes --companies 37000
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from outreach_assets.steps.changes import SnapshotFiles, compare
from outreach_assets.steps.export import WRITERS, Export, Judged, write_parquet
from outreach_assets.steps.extract import ExtractedTable, drop_rows
from outreach_assets.steps.manifest import exported_manifest
from outreach_assets.steps.private_duckdb import Duck, Limits, private_duckdb
from outreach_assets.steps.source import SourceColumn
from outreach_assets.steps.validate import source_columns, split_rows
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Table
from outreach_core.states import ALL_STATES

MEMORY_MB = 400  # the default of OUTREACH_DUCKDB_MEMORY_MB
OLD, NEW = "20260101000000", "20260102000000"
SPECIAL = {
    "companies": {
        "company_unique_id": "'04.04.01.' || i",
        "company_name": "CASE WHEN (i + edited) % 20 <> 0 THEN 'Acme ' || i END",
        "website_url": "CASE WHEN i % 19 <> 0 THEN 'https://www.acme' || i || '.example' END",
        "description": "'A paragraph about it ' || md5(i::VARCHAR) || md5((i + 1)::VARCHAR)",
        "keywords": "['a' || i % 10, 'b' || i % 7]",
    },
    "people": {
        "unique_id": "'07.' || i",
        "company_unique_id": "'04.04.01.' || i // 4",
        "email": "CASE WHEN (i + edited) % 12 <> 0 THEN 'a' || i || '@b.example' ELSE 'x' END",
        "title": "CASE WHEN i % 30 <> 0 THEN 'Chief ' || i % 99 END",
        "bio": "'Born and raised ' || md5(i::VARCHAR) || md5((i + 1)::VARCHAR)",
        "skills": "['a' || i % 10, 'b' || i % 7]",
    },
}
OTHERS = {
    "text": "'Some words ' || i % 5000",
    "text[]": "['a' || i % 10, 'b' || i % 7]",
    "timestamptz": "TIMESTAMPTZ '2025-01-01' + INTERVAL (i % 1000000) SECOND",
    "boolean": "i % 2 = 0",
}
TYPES = {"text": "VARCHAR", "text[]": "VARCHAR[]"}


def fill(duck: Duck, table: Table, rows: int, per_company: int, *, edited: bool) -> None:
    """`<table>_raw` with so many rows, one in a hundred of them edited."""
    values = ", ".join(
        f"({SPECIAL[table.name].get(c.name, OTHERS.get(c.type, 'i % 100'))})"
        f"::{TYPES.get(c.type, c.type)} AS {c.name}"
        for c in table.columns
    )
    states = "[" + ", ".join(f"'{state}'" for state in ALL_STATES) + "]"
    duck.execute(f"""
        CREATE TABLE {table.raw} AS
        SELECT {values}, {states}[1 + i // {per_company} % {len(ALL_STATES)}] AS outreach_state
        FROM (SELECT i, CASE WHEN {edited} AND i % 100 = 0 THEN 1 ELSE 0 END AS edited
              FROM range({rows}) AS r(i))
        ORDER BY outreach_state""")


def export(folder: Path, companies: int, version: str) -> None:
    """A snapshot of every state under the folder."""
    with private_duckdb(Limits(memory_mb=1500, temp_gb=50, folder=folder / "spill")) as duck:
        for table, rows, per in zip(TABLES, (companies, companies * 4), (1, 4), strict=True):
            fill(duck, table, rows, per, edited=version == NEW)
        extracted = {
            table.name: ExtractedTable(
                columns=[
                    SourceColumn(name=name, type="", dimensions=0)
                    for name in source_columns(duck, table)
                ],
                rows={},
                not_finite={},
            )
            for table in TABLES
        }
        judged = Judged(
            extracted=extracted, verdicts=split_rows(duck, TABLES, ALL_STATES), states=ALL_STATES
        )
        to = Export(exports=folder / version, version=version, run_id="bench")
        write_parquet(duck, to, TABLES, judged, ALL_STATES)
        drop_rows(duck, TABLES)


def snapshot(folder: Path, version: str, state: str) -> SnapshotFiles:
    """One state's, exported above."""
    manifest = exported_manifest(folder / version, state)
    if manifest is None:
        raise SystemExit(f"{state} was not exported")
    return SnapshotFiles(manifest=manifest, place=lambda key: folder / version / key)


def once(folder: Path) -> dict[str, object]:
    """Every state compared, two at a time as the exports are written."""
    began, cpu = time.monotonic(), time.process_time()
    counts: Counter[str] = Counter()
    with private_duckdb(Limits(memory_mb=MEMORY_MB, temp_gb=50, folder=folder / "spill")) as duck:

        def one(state: str) -> Counter[str]:
            with duck.cursor() as cursor:
                facts = compare(
                    cursor,
                    TABLES,
                    snapshot(folder, OLD, state),
                    snapshot(folder, NEW, state),
                    folder / f"{state}.parquet",
                )
            return sum((Counter(by_change) for by_change in facts.counts.values()), Counter())

        with ThreadPoolExecutor(WRITERS) as pool:
            for found in pool.map(one, ALL_STATES):
                counts += found
    return {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "counts": counts,
    }


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--companies", type=int, default=370_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.export:
        for version in (OLD, NEW):
            export(asked.export, asked.companies, version)
        return
    if asked.once:
        print(json.dumps(once(asked.once)))
        return
    with tempfile.TemporaryDirectory() as root:
        # Not in this process: a child's peak memory would begin at its parent's.
        ours = [sys.executable, "-m", "bench.changes", "--companies", str(asked.companies)]
        subprocess.run([*ours, "--export", root], check=True)
        found = []
        for _ in range(asked.times):
            ran = subprocess.run(
                [*ours, "--once", root], check=True, capture_output=True, text=True
            )
            found.append(json.loads(ran.stdout))
    middle = {k: statistics.median(one[k] for one in found) for k in ("seconds", "cpu", "peak_mb")}
    print(f"{asked.companies:,} companies, {asked.companies * 4:,} people, twice: "
          f"{middle['seconds']:.1f} s, {middle['cpu']:.1f} CPU s, peak {middle['peak_mb']:.0f} MB  "
          f"{found[0]['counts']}")  # fmt: skip


if __name__ == "__main__":
    main()
