"""Builders: rows and the steps before the one a test is about. A test says only what it is about.

Nothing here asserts; servers and databases come from the fixtures.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from b2_resources import keys
from b2_resources.object_store import ObjectStore
from outreach_assets.steps.export import Export, Judged, write_parquet
from outreach_assets.steps.extract import STATE, ExtractedTable, extract_rows
from outreach_assets.steps.manifest import FileFacts, Manifest, Previous
from outreach_assets.steps.private_duckdb import Duck, Limits, private_duckdb
from outreach_assets.steps.source import SourceColumn, held_snapshot
from outreach_assets.steps.validate import source_columns, split_rows
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Table, Verdict, quoted
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres

COMPANY_MASTER, PEOPLE_MASTER = (table.source for table in TABLES)
VERSION = "20260504030201"

Row = Mapping[str, object]


def a_company(key: str = "c1", **fields: object) -> dict[str, object]:
    """A good company of West Virginia, except for the fields named."""
    return {
        "company_unique_id": key,
        "company_name": "Acme",
        "website_url": "acme.example",
        "address_state": "WV",
        **fields,
    }


def a_person(key: str = "p1", **fields: object) -> dict[str, object]:
    """A good person of company c1, except for the fields named."""
    return {
        "unique_id": key,
        "company_unique_id": "c1",
        "email": "a@b.example",
        "title": "CFO",
        **fields,
    }


def given_rows(
    postgres: Postgres, companies: Sequence[Row] = (), people: Sequence[Row] = ()
) -> None:
    """The two source tables, made by the migrations, with these rows besides those they have."""
    migrate(postgres)
    with postgres.connect() as connection:
        for source, rows in ((COMPANY_MASTER, companies), (PEOPLE_MASTER, people)):
            for row in rows:
                names = ", ".join(quoted(name) for name in row)
                places = ", ".join(["%s"] * len(row))
                connection.execute(
                    f"INSERT INTO {source} ({names}) VALUES ({places})".encode(), [*row.values()]
                )


def given_sql(postgres: Postgres, *statements: str) -> None:
    """The statements, each in the order given and committed together."""
    with postgres.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


LOG = "marketing.validation_failures_log"


def a_failure(key: str = "c1", **fields: object) -> dict[str, object]:
    """A company of West Virginia that has failed, except for the fields named."""
    return {
        "company_id": key,
        "company_name": "Acme",
        "fail_reason": "Missing website",
        "state": "WV",
        "pipeline_id": "WV-VALIDATION-20251118",
        "failure_type": "company",
        **fields,
    }


def given_failures(postgres: Postgres, *rows: Row) -> None:
    """The log of failures, made by the migrations, with these rows besides those it has."""
    migrate(postgres)
    with postgres.connect() as connection:
        for row in rows:
            names = ", ".join(quoted(name) for name in row)
            places = ", ".join(["%s"] * len(row))
            connection.execute(
                f"INSERT INTO {LOG} ({names}) VALUES ({places})".encode(), [*row.values()]
            )


def given_many_failures(postgres: Postgres, rows: int, *, pipelines: int = 1) -> None:
    """So many companies' failures, c1 and on, in so many pipelines one after the other."""
    migrate(postgres)
    given_sql(
        postgres,
        f"INSERT INTO {LOG} (company_id, company_name, fail_reason, state, validation_timestamp, "
        "pipeline_id, failure_type) "
        "SELECT 'c' || i, 'Company ' || i, 'Missing website; Missing name', 'WV', now(), "
        f"'WV-VALIDATION-' || 20251101 + i * {pipelines} / {rows + 1}, 'company' "
        f"FROM generate_series(1, {rows}) AS i",
    )


def given_raw(duck: Duck, table: Table, rows: Sequence[Row]) -> None:
    """`<table>_raw` as extract leaves it: the rows named, every other column NULL, state WV."""
    columns = ", ".join(f"{quoted(c.name)} {_duck_type(c.type)}" for c in table.columns)
    duck.execute(f"CREATE OR REPLACE TABLE {table.raw} ({columns}, {STATE} VARCHAR)")
    for row in rows:
        filled = {STATE: "WV", **row}
        names = ", ".join(quoted(name) for name in filled)
        places = ", ".join(["?"] * len(filled))
        duck.execute(f"INSERT INTO {table.raw} ({names}) VALUES ({places})", [*filled.values()])


def _duck_type(postgres_type: str) -> str:
    return {"text": "VARCHAR", "text[]": "VARCHAR[]"}.get(postgres_type, postgres_type)


@contextmanager
def a_duck(folder: Path, *, memory_mb: int = 400, temp_gb: int = 1) -> Iterator[Duck]:
    """A run's own DuckDB that spills below the folder."""
    limits = Limits(memory_mb=memory_mb, temp_gb=temp_gb, folder=folder / "spill", threads=2)
    with private_duckdb(limits) as duck:
        yield duck


def extracted(
    duck: Duck, postgres: Postgres, tables: Sequence[Table], states: Sequence[str]
) -> dict[str, ExtractedTable]:
    """Pull the rows of these states, from a snapshot of their own."""
    with held_snapshot(postgres) as snapshot:
        return extract_rows(duck, snapshot, tables, states)


def judge(
    duck: Duck,
    postgres: Postgres,
    states: Sequence[str] = ("WV",),
    *,
    tables: Sequence[Table] = TABLES,
) -> Judged:
    """Extract and validate these states."""
    return Judged(
        extracted=extracted(duck, postgres, tables, states),
        verdicts=split_rows(duck, tables, states),
        states=states,
    )


def export_judged(
    duck: Duck,
    judged: Judged,
    exports: Path,
    *,
    version: str = VERSION,
    run_id: str = "run-1",
) -> dict[str, Manifest]:
    """Write what was judged; the receipts by state."""
    export = Export(exports=exports, version=version, run_id=run_id)
    return write_parquet(duck, export, TABLES, judged, judged.states)


def export_states(
    postgres: Postgres,
    home: Path,
    states: Sequence[str] = ("WV",),
    *,
    version: str = VERSION,
    run_id: str = "run-1",
    tables: Sequence[Table] = TABLES,
) -> dict[str, Manifest]:
    """Extract, validate and export; the files lie under `home / "exports"`."""
    with a_duck(home) as duck:
        judged = judge(duck, postgres, states, tables=tables)
        export = Export(exports=home / "exports", version=version, run_id=run_id)
        return write_parquet(duck, export, tables, judged, judged.states)


def given_history(
    store: ObjectStore, versions: Sequence[str], held: Sequence[str] = (), state: str = "WV"
) -> dict[str, Manifest]:
    """Snapshots of a state that follow one another, with bytes that nobody reads as rows."""
    manifests: dict[str, Manifest] = {}
    for version in versions:
        before = [*manifests.values()][-1:]
        previous = [
            Previous(version=m.version, sha256=hashlib.sha256(m.body).hexdigest()) for m in before
        ]
        manifests[version] = _a_manifest(state, version, next(iter(previous), None))
        for file in manifests[version].files:
            store.put_bytes(file.key, file.key.encode())
        store.put_bytes(manifests[version].key, manifests[version].body)
        for file in manifests[version].files:
            store.copy(file.key, keys.newest_key(state, file.table, file.verdict))
    for version in held:
        store.put_bytes(keys.held_manifest_key(state, version), b"{}")
    return manifests


def _a_manifest(state: str, version: str, previous: Previous | None) -> Manifest:
    def a_file(table: str, verdict: str) -> FileFacts:
        key = keys.snapshot_key(state, table, verdict, version)
        return FileFacts(
            key=key,
            table=table,
            verdict=verdict,
            rows=1,
            size_bytes=len(key),
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            columns=(),
        )

    return Manifest(
        state=state,
        version=version,
        run_id=f"run-{version}",
        rules="",
        duckdb="",
        sources=(),
        files=tuple(a_file(table.name, verdict) for table in TABLES for verdict in Verdict),
        reasons={},
        previous=previous,
    )


def raw_rows(duck: Duck, table: Table) -> list[tuple[object, ...]]:
    """Every raw row with its state, as text, in key order: comparable between extracts."""
    return duck.execute(
        f"SELECT t.{STATE}, t.{quoted(table.key)}, t::VARCHAR FROM {table.raw} AS t ORDER BY ALL"
    ).fetchall()


def export_raw(  # noqa: PLR0913 a snapshot is so much
    home: Path,
    companies: Sequence[Row] = (),
    people: Sequence[Row] = (),
    *,
    states: Sequence[str] = ("WV",),
    version: str = VERSION,
    run_id: str = "run-1",
    tables: Sequence[Table] = TABLES,
) -> dict[str, Manifest]:
    """The same from rows given here, without a Postgres."""
    with a_duck(home) as duck:
        judged = judge_raw(duck, companies, people, states, tables=tables)
        export = Export(exports=home / "exports", version=version, run_id=run_id)
        return write_parquet(duck, export, tables, judged, judged.states)


def judge_raw(
    duck: Duck,
    companies: Sequence[Row] = (),
    people: Sequence[Row] = (),
    states: Sequence[str] = ("WV",),
    *,
    tables: Sequence[Table] = TABLES,
) -> Judged:
    """Validate rows given here as if they had been extracted."""
    for table, rows in zip(tables, (companies, people), strict=True):
        given_raw(duck, table, rows)
    return Judged(
        extracted={table.name: _as_extracted(duck, table) for table in tables},
        verdicts=split_rows(duck, tables, states),
        states=states,
    )


def _as_extracted(duck: Duck, table: Table) -> ExtractedTable:
    columns = [
        SourceColumn(name=name, type="", dimensions=0) for name in source_columns(duck, table)
    ]
    return ExtractedTable(columns=columns, rows={}, not_finite={})
