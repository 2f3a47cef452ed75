"""The assets of the chain as the graph shows them: keys, groups, columns, lineage, checks.

What happens when they are materialized is in tables.py.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import IntEnum

import dagster as dg

from outreach_assets.steps.validate import REASONS
from outreach_assets.tables.catalogue import TABLES
from outreach_assets.tables.table import Column, Table, Verdict
from outreach_core.states import ALL_STATES

STATES = dg.StaticPartitionsDefinition(list(ALL_STATES))
"""One partition per state, and `unassigned` for rows without one."""

OWNERS = ["team:outreach"]
FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=3), fail_window=timedelta(days=7))
"""Of what is published. Only changed states are run, so a long weekend is silent and well; after a
week without a change in any state, either nobody runs or nothing reaches Neon."""

MANIFEST = dg.AssetKey(["b2", "manifest"])
AUDIT_LOG = dg.AssetKey(["neon", "audit_log"])
FAILURES_LOG = dg.AssetKey(["neon", "validation_failures_log"])
VERDICT_CHANGES = dg.AssetKey(["duckdb", "verdict_changes"])


class Step(IntEnum):
    """The verbs of the chain, in order: how far a run goes for an asset."""

    EXTRACT = 1
    VALIDATE = 2
    EXPORT = 3
    UPLOAD = 4
    RECORD = 5

    @property
    def verb(self) -> str:
        """The step as people write it, such as `extract`."""
        return self.name.lower()


def source_key(table: Table) -> dg.AssetKey:
    """`neon/company_master`: the table in Postgres."""
    return dg.AssetKey(["neon", table.source.split(".")[1]])


def raw_key(table: Table) -> dg.AssetKey:
    """`duckdb/companies_raw`."""
    return dg.AssetKey(["duckdb", table.raw])


def judged_key(table: Table, verdict: Verdict) -> dg.AssetKey:
    """`duckdb/companies_good`."""
    return dg.AssetKey(["duckdb", table.judged(verdict)])


def parquet_key(table: Table, verdict: Verdict) -> dg.AssetKey:
    """`parquet/companies_good`."""
    return dg.AssetKey(["parquet", table.judged(verdict)])


def b2_key(table: Table, verdict: Verdict) -> dg.AssetKey:
    """`b2/companies_good`."""
    return dg.AssetKey(["b2", table.judged(verdict)])


def sources() -> list[dg.AssetSpec]:
    """The tables in Neon: read, never written."""
    return [
        dg.AssetSpec(
            source_key(table),
            description=f"`{table.source}` in Postgres: where {table.name} come from. "
            "Read only; the project never alters it.",
            group_name="neon",
            owners=OWNERS,
            kinds={"postgres", "table"},
            tags={"table": table.name},
            partitions_def=STATES,
            metadata={
                "dagster/table_name": table.source,
                "dagster/column_schema": _columns(table),
            },
        )
        for table in TABLES
    ]


def chain(tables: Sequence[Table] = TABLES) -> list[dg.AssetSpec]:
    """Every asset of the chain, table by table, step by step; rules as these tables have them."""
    return [
        *_rows(tables),
        *_files(),
        _verdict_changes(),
        _manifest(),
        _audit_log(),
        _failures_log(),
    ]


def step_of(key: dg.AssetKey) -> Step:
    """The step that makes this asset."""
    if key in _STEPS:
        return _STEPS[key]
    raise KeyError(f"{key.to_user_string()} is no asset of the chain")


def _rows(tables: Sequence[Table]) -> Iterator[dg.AssetSpec]:
    for table in tables:
        upstream = [source_key(table), *([source_key(TABLES[0])] if table != TABLES[0] else [])]
        yield _spec(
            raw_key(table),
            Step.EXTRACT,
            {"duckdb", "table"},
            f"A state's {table.name} as Neon holds them, all tables from one snapshot.",
            upstream,
            _columns(table),
        )
        rules = "\n".join(f"- `{r.name}` ({r.severity}): {r.says}" for r in table.rules)
        for verdict, says in (
            (Verdict.GOOD, f"The {table.name} that keep every rule of severity error:\n\n{rules}"),
            (Verdict.BAD, f"The {table.name} that break one, each with its reasons:\n\n{rules}"),
        ):
            yield _spec(
                judged_key(table, verdict),
                Step.VALIDATE,
                {"duckdb", "view"},
                says,
                [raw_key(table)],
                _columns(table, verdict),
            )


def _files() -> Iterator[dg.AssetSpec]:
    for table in TABLES:
        for verdict in Verdict:
            yield _spec(
                parquet_key(table, verdict),
                Step.EXPORT,
                {"parquet", "file"},
                f"The {verdict} {table.name} of a state as one typed Parquet file on this machine.",
                [judged_key(table, verdict)],
                _columns(table, verdict),
            )
            yield _spec(
                b2_key(table, verdict),
                Step.UPLOAD,
                {"parquet", "s3"},
                f"The {verdict} {table.name} of a state where readers look: the newest file, and "
                "every version before it.",
                [parquet_key(table, verdict)],
                _columns(table, verdict),
            )


def _verdict_changes() -> dg.AssetSpec:
    return _spec(
        VERDICT_CHANGES,
        Step.EXPORT,
        {"duckdb", "parquet"},
        "Which rows of a state turned good or bad, came, went or changed against the snapshot "
        "published before, and whether the data, a rule or the engine made it so.",
        [parquet_key(table, verdict) for table in TABLES for verdict in Verdict],
    )


def _manifest() -> dg.AssetSpec:
    return _spec(
        MANIFEST,
        Step.UPLOAD,
        {"json", "s3"},
        "The receipt of a snapshot: its files with rows, sizes, hashes and columns, what it was "
        "made from, and which receipt came before. A snapshot without one does not exist.",
        [b2_key(table, verdict) for table in TABLES for verdict in Verdict],
    )


def _audit_log() -> dg.AssetSpec:
    return _spec(
        AUDIT_LOG,
        Step.RECORD,
        {"postgres", "table"},
        "One row per state and run in `shq.audit_log`: how it ended, with counts and places.",
        [MANIFEST],
    )


def _failures_log() -> dg.AssetSpec:
    return _spec(
        FAILURES_LOG,
        Step.VALIDATE,
        {"postgres", "table"},
        "One row per bad record and day in `marketing.validation_failures_log`, with its reasons "
        "in words. `marketing.validation_failures_open` says which are mended since.",
        [judged_key(table, Verdict.BAD) for table in TABLES],
    ).replace_attributes(group_name=Step.RECORD.verb)


def _spec(
    key: dg.AssetKey,
    step: Step,
    kinds: set[str],
    description: str,
    deps: list[dg.AssetKey],
    columns: dg.TableSchema | None = None,
) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=description,
        deps=deps,
        group_name=step.verb,
        owners=OWNERS,
        kinds=kinds,
        tags={"step": step.verb},
        metadata={} if columns is None else {"dagster/column_schema": columns},
        skippable=True,
        partitions_def=STATES,
        freshness_policy=FRESH if step is Step.UPLOAD else None,
    )


def _columns(table: Table, verdict: Verdict | None = None) -> dg.TableSchema:
    columns = [*table.columns]
    if verdict is Verdict.BAD:
        columns.append(Column(name=REASONS, type="text[]", means="Every rule the row broke"))
    return dg.TableSchema(
        columns=[dg.TableColumn(c.name, c.type, description=c.means) for c in columns]
    )


_STEPS = {spec.key: Step[spec.tags["step"].upper()] for spec in chain()}
