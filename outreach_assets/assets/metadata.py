"""The facts of each step as Dagster's pages show them, state by state.

Nothing here decides anything; every function turns facts into metadata or into one sentence.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from b2_resources import keys
from b2_resources.meter import traffic_of
from b2_resources.object_store import ObjectStore
from outreach_assets.steps.extract import ExtractedTable
from outreach_assets.steps.failures.log import Recorded, pipeline_id
from outreach_assets.steps.manifest import Manifest
from outreach_assets.steps.preview import preview_rows
from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.steps.record import Ending
from outreach_assets.steps.upload import Published
from outreach_assets.steps.validate import StateVerdict, Verdicts
from outreach_assets.tables.table import Table, Verdict

Metadata = Mapping[str, Any]
ROW_COUNT = "dagster/partition_row_count"


def extracted(facts: ExtractedTable, state: str) -> Metadata:
    """A raw table of one state."""
    return {ROW_COUNT: facts.rows.get(state, 0), "nan_became_null": facts.not_finite.get(state, 0)}


def judged(
    table: Table, verdict: Verdict, verdicts: Mapping[str, StateVerdict], state: str
) -> Metadata:
    """The good or bad rows of one state, with the reasons as a table."""
    found = verdicts[state]
    rows = found.good.rows if verdict is Verdict.GOOD else found.bad.rows
    said: dict[str, object] = {
        ROW_COUNT: rows,
        "share": f"{rows / found.raw.rows:.1%}" if found.raw.rows else "no rows",
    }
    if verdict is Verdict.BAD:
        said["reasons"] = _reasons(table, {**found.reasons, **found.warnings})
    return said


def failures(
    tables: Sequence[Table],
    verdicts: Verdicts,
    recorded: Mapping[str, Mapping[str, Recorded]],
    version: str,
    state: str,
) -> Metadata:
    """What the failures log has of one state after a validation, the commonest reasons first."""
    reasons = [
        (table, rule, verdicts[table.name][state].reasons[rule.name])
        for table in tables
        for rule in table.errors
    ]
    found = [recorded[table.name][state] for table in tables]
    return {
        ROW_COUNT: sum(one.failures for one in found),
        "new": sum(one.new for one in found),
        "pipeline_id": pipeline_id(state, version),
        "reasons": dg.MetadataValue.table(
            [
                dg.TableRecord({"of": table.singular, "reason": rule.complaint, "rows": rows})
                for table, rule, rows in sorted(reasons, key=lambda one: -one[2])
            ]
        ),
    }


def exported(
    duck: Duck,
    exports: Path,
    table: Table,
    verdict: Verdict,
    manifests: Mapping[str, Manifest],
    state: str,
) -> Metadata:
    """An exported file, with its first rows masked."""
    file = manifests[state].file(table.name, verdict)
    return {
        ROW_COUNT: file.rows,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "path": dg.MetadataValue.path(str(exports / file.key)),
        "preview": dg.MetadataValue.md(preview_rows(duck, exports / file.key, table, verdict)),
    }


CHANGE_COUNTS = dg.TableSchema(
    [dg.TableColumn("of"), dg.TableColumn("change"), dg.TableColumn("rows", "int")]
)
"""Said, because Dagster cannot guess it where no row has changed: other columns, or other rules."""


def changed(exports: Path, manifests: Mapping[str, Manifest], state: str) -> Metadata:
    """What a state's snapshot changes against the one published before."""
    found = manifests[state].changes
    if found is None:
        return {ROW_COUNT: 0, "since": "nothing to compare with, or nothing new"}
    counted = [
        dg.TableRecord({"of": table, "change": change, "rows": rows})
        for table, counts in found.counts.items()
        for change, rows in counts.items()
    ]
    return {
        ROW_COUNT: found.rows,
        "since": found.since,
        "changes": dg.MetadataValue.table(counted, CHANGE_COUNTS),
        "path": dg.MetadataValue.path(str(exports / found.key)),
    }


def published_file(
    store: ObjectStore,
    table: Table,
    verdict: Verdict,
    published: Mapping[str, Published],
    state: str,
) -> Metadata:
    """A published file and where readers find it."""
    file = published[state].manifest.file(table.name, verdict)
    newest = keys.newest_key(state, table.name, verdict)
    return {
        ROW_COUNT: file.rows,
        "size_bytes": file.size_bytes,
        "outcome": str(published[state].outcome),
        "newest": dg.MetadataValue.path(store.place_of(newest)),
        "version": dg.MetadataValue.path(store.place_of(file.key)),
    }


def published_manifest(
    store: ObjectStore, published: Mapping[str, Published], state: str
) -> Metadata:
    """A receipt: what the state's snapshot is and what came before it."""
    found = published[state]
    manifest = found.manifest
    return {
        "version": manifest.version,
        "outcome": str(found.outcome),
        "uploaded_bytes": found.uploaded_bytes,
        "rules": manifest.rules,
        "duckdb": manifest.duckdb,
        "manifest": dg.MetadataValue.path(store.place_of(manifest.key)),
        **_traffic(store),
        "previous_version": manifest.previous.version if manifest.previous else "none",
        "files": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {"file": f"{f.table} {f.verdict}", "rows": f.rows, "bytes": f.size_bytes}
                )
                for f in manifest.files
            ]
        ),
    }


def _traffic(store: ObjectStore) -> Metadata:
    """What the whole run has asked of the store and moved so far; B2 charges by these classes."""
    return {f"run_{name}": count for name, count in vars(traffic_of(store)).items()}


def recorded(run_id: str, endings: Mapping[str, Ending], state: str) -> Metadata:
    """The audit row of one state."""
    return {
        "status": str(endings[state].status),
        "event_type": "outreach_validation_run",
        "run": dg.MetadataValue.dagster_run(run_id),
    }


def rows_by_verdict(verdicts: Verdicts) -> dict[str, int]:
    """How many rows of each table are good and bad, over all states."""
    said: dict[str, int] = {}
    for name, by_state in verdicts.items():
        said[f"good {name}"] = sum(v.good.rows for v in by_state.values())
        said[f"bad {name}"] = sum(v.bad.rows for v in by_state.values())
    return said


def sizes(manifests: Iterable[Manifest]) -> dict[str, int]:
    """How many files, and how large together."""
    files = [file for manifest in manifests for file in manifest.files]
    return {"files": len(files), "bytes": sum(f.size_bytes for f in files)}


def uploads(published: Iterable[Published]) -> dict[str, int]:
    """How many states were published, how many had nothing new, and what went up."""
    found = list(published)
    new = sum(1 for p in found if p.uploaded_bytes)
    return {
        "published": new,
        "unchanged": len(found) - new,
        "bytes": sum(p.uploaded_bytes for p in found),
    }


def _reasons(table: Table, broken: Mapping[str, int]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "reason": rule.name,
                    "rows": broken[rule.name],
                    "severity": str(rule.severity),
                    "good when": rule.says,
                }
            )
            for rule in table.rules
        ]
    )
