"""How many rows have broken each rule over time, from the receipts under exports/.

For a terminal; the workbench's view `reasons_by_snapshot` has all of it for queries. Receipts of
other machines are brought by fetch.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from outreach_assets.steps.manifest import Manifest, read_manifest
from outreach_assets.tables.table import Rule, Table, Verdict


@dataclass(frozen=True, kw_only=True)
class Point:
    """A rule over all states, each by its newest snapshot, once a version was there."""

    version: str
    rows: int | None
    """How many broke it; None when no receipt knew the rule yet."""

    of: int
    """How many rows of the table there were."""


def broken_over_time(
    exports: Path, tables: Sequence[Table], *, points: int
) -> dict[str, list[Point]]:
    """By rule, the last so many versions, oldest first; empty without a receipt.

    Reads at most so many receipts of each state, so the points begin where all of them are known.
    """
    manifests: list[Manifest] = []
    start = ""
    for folder in exports.glob("outreach/*/manifests"):
        receipts = sorted(folder.glob("*.json"))
        kept = receipts[-points:]
        if len(kept) < len(receipts):
            start = max(start, kept[0].stem)
        manifests += (read_manifest(path.read_bytes(), str(path)) for path in kept)
    manifests.sort(key=lambda manifest: manifest.version)
    found: dict[str, list[Point]] = {rule.name: [] for t in tables for rule in t.rules}
    current: dict[str, Manifest] = {}
    for version, published in groupby(manifests, key=lambda manifest: manifest.version):
        current.update((manifest.state, manifest) for manifest in published)
        if version < start:
            continue
        for table in tables:
            of = sum(m.rows(table.name, verdict) for m in current.values() for verdict in Verdict)
            for rule in table.rules:
                rows = _broken(list(current.values()), rule)
                found[rule.name].append(Point(version=version, rows=rows, of=of))
    return {name: series[-points:] for name, series in found.items()}


def _broken(manifests: Sequence[Manifest], rule: Rule) -> int | None:
    counts = [{**manifest.reasons, **manifest.warnings}.get(rule.name) for manifest in manifests]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
