"""`outreach snapshots diff`: what changed between two snapshots, and what made it so.

How they are compared is in steps/changes.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table
from outreach_assets.command_line.unreadable import Unreadable
from outreach_core.errors import PermanentError
from outreach_core.states import ALL_STATES, checked_states

if TYPE_CHECKING:
    from b2_resources.object_store import ObjectStore
    from outreach_assets.steps.manifest import ChangesFacts, Manifest
    from outreach_assets.steps.private_duckdb import Duck
    from outreach_core.settings import Settings

FIRST = ("broken", "fixed", "vanished", "appeared", "changed")
"""What people look for first."""


class SnapshotMissingError(PermanentError):
    """There is no such snapshot to compare."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One state's two snapshots, what changed between them, and where the list lies."""

    old: "Manifest"
    new: "Manifest"
    changes: "ChangesFacts"
    path: Path


def diff(  # noqa: PLR0913 one parameter per option
    state: Annotated[list[str] | None, typer.Argument(help="One state or several.")] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every state with two snapshots.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--from", help="A version; the one before --to when not given.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="A version; the newest when not given.")
    ] = None,
    held: Annotated[
        bool, typer.Option("--held", help="What is kept aside against what is published.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the whole list here, as Parquet.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many changed keys to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """What changed between two snapshots of a state, key by key, by data, rule or engine.

    Examples: `outreach snapshots diff WV` ·
    `outreach snapshots diff WV --from 20260504030201 --out changes.parquet` ·
    `outreach snapshots diff WV --held` · `outreach snapshots diff --all --json`
    """
    if bool(state) == everything:
        raise typer.BadParameter("name states, or --all")
    if held and until:
        raise typer.BadParameter("--held is compared in place of --to")
    from b2_resources.build_store import build_store  # noqa: PLC0415

    settings = load_settings()
    states = ALL_STATES if everything else checked_states(state or ())
    unreadable = Unreadable()
    with _duck(settings) as (duck, folder):
        pair_of = partial(_pair, build_store(settings), since, until, held=held)
        pairs = list(_pairs(states, pair_of, unreadable if everything else None))
        compared = _compare_all(settings, duck, folder, pairs, unreadable if everything else None)
        lists = [one.path for one in compared if one.changes.rows]
        shown = _first_keys(duck, lists, limit)
        if out is not None:
            _write_list(duck, [one.path for one in compared], out)
    if as_json:
        print_json(
            {
                "snapshots": [
                    {
                        "state": one.new.state,
                        "from": one.old.version,
                        "to": one.new.version,
                        "rows": one.changes.rows,
                        "counts": one.changes.counts,
                    }
                    for one in compared
                ],
                "changes": shown,
                "list": out,
            }
        )
    else:
        _print(compared, shown, out)
    unreadable.tell()


@contextmanager
def _duck(settings: "Settings") -> "Iterator[tuple[Duck, Path]]":
    """A bounded DuckDB, and a folder of its own for what has to be downloaded."""
    from outreach_assets.steps.private_duckdb import (  # noqa: PLC0415
        Limits,
        own_folder,
        private_duckdb,
    )

    spill = settings.home / "spill"
    limits = Limits(
        memory_mb=settings.outreach_duckdb_memory_mb,
        temp_gb=settings.outreach_duckdb_temp_gb,
        threads=settings.outreach_duckdb_threads,
        folder=spill,
    )
    with own_folder(spill) as folder, private_duckdb(limits) as duck:
        yield duck, folder


def _pairs(
    states: Sequence[str],
    pair_of: "Callable[[str], tuple[Manifest, Manifest]]",
    unreadable: Unreadable | None,
) -> "Iterator[tuple[Manifest, Manifest]]":
    """Each state's two receipts. With `unreadable`, what a state lacks stops no other."""
    for state in states:
        if unreadable is None:
            yield pair_of(state)
        else:
            with suppress(SnapshotMissingError), unreadable.skipped(state):
                yield pair_of(state)


def _pair(
    store: "ObjectStore", since: str | None, until: str | None, state: str, *, held: bool
) -> "tuple[Manifest, Manifest]":
    """A state's two receipts, the older one first. Raises SnapshotMissingError."""
    from outreach_assets.steps.hold import held_manifest  # noqa: PLC0415
    from outreach_assets.steps.manifest import manifest_at, manifest_versions  # noqa: PLC0415

    versions = list(manifest_versions(store, state))
    missing = [v for v in (since, until) if v is not None and v not in versions]
    new = held_manifest(store, state) if held else None
    if held and new is None:
        raise SnapshotMissingError(f"nothing of {state} is held")
    to = new.version if new else until or (versions[-1] if versions else None)
    before = since or max((v for v in versions if to and v < to), default=None)
    if to is None or before is None or missing:
        what = (
            f"snapshot {missing[0]}" if missing else f"snapshot before {to}" if to else "snapshot"
        )
        raise SnapshotMissingError(
            f"{state} has no {what}: `outreach snapshots list --state {state}` shows them"
        )
    return manifest_at(store, state, before), new or manifest_at(store, state, to)


def _compare_all(
    settings: "Settings",
    duck: "Duck",
    folder: Path,
    pairs: "Sequence[tuple[Manifest, Manifest]]",
    unreadable: Unreadable | None,
) -> list[Compared]:
    """All of them, several at once; as `_pairs` does with `unreadable`."""
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.changes import compare  # noqa: PLC0415
    from outreach_assets.steps.export import EXPORTS_FOLDER, WRITERS  # noqa: PLC0415
    from outreach_assets.steps.snapshots.fetch import borrow  # noqa: PLC0415
    from outreach_assets.tables.catalogue import TABLES, tables_judged_by  # noqa: PLC0415

    store, exports = build_store(settings), settings.home / EXPORTS_FOLDER

    def one(pair: "tuple[Manifest, Manifest]") -> Compared | None:
        with unreadable.skipped(pair[1].state) if unreadable else nullcontext():
            return compared(pair)
        return None

    def compared(pair: "tuple[Manifest, Manifest]") -> Compared:
        old, new = (borrow(store, exports, folder, manifest) for manifest in pair)
        path = folder / f"{new.manifest.state}.parquet"
        with duck.cursor() as cursor:
            tables = tables_judged_by(new.manifest.rules) or TABLES
            changes = compare(cursor, tables, old, new, path)
        for file in (*old.manifest.files, *new.manifest.files):
            (folder / file.key).unlink(missing_ok=True)
        return Compared(old=old.manifest, new=new.manifest, changes=changes, path=path)

    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            return [found for found in pool.map(one, pairs) if found is not None]
        finally:  # also on Ctrl-C
            pool.shutdown(cancel_futures=True)


def _first_keys(duck: "Duck", lists: Sequence[Path], limit: int) -> list[dict[str, Any]]:
    columns = "outreach_state table_name key change cause old_reasons new_reasons".split()
    if not lists:
        return []
    found = duck.execute(
        f"SELECT {', '.join(columns)} FROM {_read(lists)} "  # noqa: S608 names of our own
        f"ORDER BY list_position({list(FIRST)}, change), outreach_state, table_name, cause, key "
        f"LIMIT {limit}"
    ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in found]


def _write_list(duck: "Duck", lists: Sequence[Path], out: Path) -> None:
    from outreach_assets.steps.private_duckdb import disk_errors  # noqa: PLC0415

    if not lists:
        raise SnapshotMissingError("no state has two snapshots: there is nothing to write")
    part = out.with_name(f".{out.name}.part")
    target = str(part).replace("'", "''")
    with disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            duck.execute(f"COPY (FROM {_read(lists)}) TO '{target}' (FORMAT parquet)")
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)


def _read(lists: Sequence[Path]) -> str:
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in lists)
    return f"read_parquet([{listed}])"


def _print(
    compared: Sequence[Compared], shown: Sequence[Mapping[str, Any]], out: Path | None
) -> None:
    counted = [
        [one.new.state, one.old.version, one.new.version, table, what, rows]
        for one in compared
        for table, counts in one.changes.counts.items()
        for what, rows in counts.items()
    ]
    total = sum(one.changes.rows for one in compared)
    states = f"{len(compared)} state{'s' * (len(compared) != 1)}"
    print_table(
        f"{total:,} keys changed in {states}",
        ["state", "from", "to", "table", "what", "keys"],
        counted,
    )
    if shown:
        print_table(
            f"the first {len(shown)}",
            ["state", "table", "key", "change", "cause", "reasons before", "reasons after"],
            [[_said(value) for value in row.values()] for row in shown],
        )
    if out is not None:
        typer.echo(f"list: {out}")
    elif total > len(shown):
        typer.echo("--out FILE.parquet writes all of them")


def _said(value: object) -> object:
    """Reasons as one cell: none for a good row, a dash for one that is not there."""
    return (", ".join(value) or "none") if isinstance(value, list) else value
