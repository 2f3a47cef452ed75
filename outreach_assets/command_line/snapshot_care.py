"""`outreach snapshots` where it is about keeping them: prove, restore, remove old ones.

Exit codes beside 0: 1 failed or something is wrong, 2 wrong usage or settings, 3 done but for some
states. Listing and fetching are in snapshots.py.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import FAILED, PARTLY
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.states import ALL_STATES, checked_states

if TYPE_CHECKING:
    from outreach_assets.steps.private_duckdb import Duck
    from outreach_assets.steps.snapshots.restore import Restored
    from outreach_assets.steps.snapshots.retention import Keep
    from outreach_core.settings import Settings

SPILL_FOLDER = "spill"

T = TypeVar("T")
States = Annotated[list[str] | None, typer.Option("--state", "-s", help="Only these states.")]


def verify(
    state: States = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Every snapshot that exists, not the newest alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read snapshots to the last byte: files, manifests, their chain, and the rows judged again.

    Ends with 1 when something is wrong, one sentence for each thing.

    Examples: `outreach snapshots verify` · `outreach snapshots verify --state WV --all --json`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.snapshots.verify import Verifier, Which, verify_states  # noqa: PLC0415
    from outreach_core.audit import published_manifests  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    states = checked_states(state) if state else ALL_STATES
    verifier = Verifier(
        store=build_store(settings),
        folder=settings.home / SPILL_FOLDER,
        open_duck=_open_duck(settings),
        which=Which.ALL if every else Which.NEWEST,
        audited=published_manifests(open_neon(settings)),
    )
    found = list(_shown(verify_states(verifier, states), "verifying", len(states)))
    problems = [problem for one in found for problem in one.problems]
    notes = [note for one in found for note in one.notes]
    counts = {
        "states": sum(bool(one.links) for one in found),
        "snapshots": sum(len(one.versions) for one in found),
        "objects": sum(one.objects for one in found),
        "bytes": sum(one.size_bytes for one in found),
    }
    if as_json:
        print_json({**counts, "problems": problems, "notes": notes})
    else:
        for note in notes:
            typer.echo(f"note: {note}")
        for problem in problems:
            typer.secho(f"wrong: {problem}", fg="red")
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        typer.echo(f"{said}: " + (f"{len(problems)} wrong" if problems else "all as published"))
    raise typer.Exit(FAILED if problems else 0)


def prune(
    *,
    keep: Annotated[
        int | None, typer.Option(min=1, help="So many stay; OUTREACH_KEEP_SNAPSHOTS.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=0, max=36500, help="And so many days; OUTREACH_KEEP_DAYS.")
    ] = None,
    state: States = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Remove them; without it nothing is.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What old snapshots would go, and with --apply remove them, hidden versions included.

    A snapshot goes only when it is beyond both the number and the days; never the newest. What is
    left of it is a receipt and a row in the audit log.

    Examples: `outreach snapshots prune` · `outreach snapshots prune --keep 10 --days 30 --apply`
    """
    from outreach_assets.steps.snapshots.retention import Keep  # noqa: PLC0415

    settings = load_settings()
    kept = Keep(
        snapshots=settings.outreach_keep_snapshots if keep is None else keep,
        days=settings.outreach_keep_days if days is None else days,
    )
    states = checked_states(state) if state else ALL_STATES
    if apply:
        _prune(settings, kept, states, as_json=as_json)
    else:
        _show_plan(settings, kept, states, as_json=as_json)


def restore(
    state: Annotated[str, typer.Argument(help="Such as WV.")],
    *,
    version: Annotated[
        str | None, typer.Option(help="As `outreach snapshots list` shows it; else the newest.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--to-folder", help="A folder that is new or empty.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--to-duckdb", help="A DuckDB file that is not there yet.")
    ] = None,
    schema: Annotated[
        str | None, typer.Option("--to-postgres", help="A schema without these tables, in Neon.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A snapshot back from the store, proven by sha256; nothing that is there is overwritten.

    Examples: `outreach snapshots restore WV --to-folder wv` ·
    `outreach snapshots restore WV --version 20260504030201 --to-duckdb wv.duckdb` ·
    `outreach snapshots restore WV --to-postgres restored_wv`
    """
    if sum(target is not None for target in (folder, file, schema)) != 1:
        raise typer.BadParameter("name one of --to-folder, --to-duckdb and --to-postgres")
    [known] = checked_states([state])
    back = _restore(load_settings(), known, version, folder=folder, file=file, schema=schema)
    rows = {f"{f.table}_{f.verdict}": f.rows for f in back.manifest.files}
    if as_json:
        print_json(
            {
                "state": known,
                "version": back.manifest.version,
                "target": back.target,
                "bytes": back.size_bytes,
                "rows": rows,
            }
        )
        return
    typer.echo(f"{known} {back.manifest.version} is in {back.target}")
    print_table(f"{back.size_bytes:,} bytes, proven", ["table", "rows"], rows.items())


def _restore(
    settings: "Settings",
    state: str,
    version: str | None,
    *,
    folder: Path | None,
    file: Path | None,
    schema: str | None,
) -> "Restored":
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.snapshots import restore as steps  # noqa: PLC0415

    store = build_store(settings)
    manifest = steps.find_manifest(store, state, version)
    if folder is not None:
        return steps.restore_to_folder(store, manifest, folder)
    if file is not None:
        return steps.restore_to_duckdb(
            store, manifest, file, memory_mb=settings.outreach_duckdb_memory_mb
        )
    from outreach_assets.steps.snapshots.restore_postgres import restore_to_postgres  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    return restore_to_postgres(
        store,
        manifest,
        open_neon(settings),
        schema or "",
        folder=settings.home / SPILL_FOLDER,
        open_duck=_open_duck(settings),
    )


def _show_plan(
    settings: "Settings", keep: "Keep", states: tuple[str, ...], *, as_json: bool
) -> None:
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.snapshots.retention import plan_state  # noqa: PLC0415

    store, now = build_store(settings), _now()
    plans = (plan_state(store, state, keep, now) for state in states)
    found = list(_shown(plans, "listing", len(states)))
    if as_json:
        print_json({"applied": False, "states": [asdict(p) for p in found if p.kept]})
        return
    rows = [[p.state, version, size] for p in found for version, size in p.doomed.items()]
    if rows:
        print_table("would go", ["state", "version", "bytes"], rows)
    typer.echo(f"{len(rows)} snapshots would go, {sum(len(p.kept) for p in found)} stay")
    if rows:
        typer.echo("nothing was removed: add --apply")


def _prune(settings: "Settings", keep: "Keep", states: tuple[str, ...], *, as_json: bool) -> None:
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.snapshots.retention import prune as prune_states  # noqa: PLC0415
    from outreach_core.audit import operator  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    store, by = build_store(settings), {"who": operator()}
    done = prune_states(store, open_neon(settings), states, keep, now=_now(), by=by)
    found = list(_shown(done, "pruning", len(states)))
    removed = [one for state in found for one in state.removed]
    failures = {one.state: str(one.failure) for one in found if one.failure is not None}
    hidden = sum(one.purged.hidden_bytes for one in found)
    if as_json:
        print_json(
            {
                "applied": True,
                "removed": [asdict(one) for one in removed],
                "hidden_bytes": hidden,
                "failed": failures,
            }
        )
    else:
        rows = [[one.state, one.version, one.size_bytes] for one in removed]
        if rows:
            print_table("removed", ["state", "version", "bytes"], rows)
        typer.echo(f"{len(rows)} snapshots removed, {hidden:,} bytes of them a bucket's versions")
        for name, why in failures.items():
            typer.secho(f"{name}: {why}", fg="red", err=True)
    raise typer.Exit(PARTLY if failures else 0)


def _shown(found: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The same again, with a bar on standard error where somebody looks."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        yield from bars.track(found, description=what, total=total)


def _open_duck(settings: "Settings") -> "Callable[[], AbstractContextManager[Duck]]":
    from outreach_assets.steps.private_duckdb import Limits, private_duckdb  # noqa: PLC0415

    limits = Limits(
        memory_mb=settings.outreach_duckdb_memory_mb,
        temp_gb=settings.outreach_duckdb_temp_gb,
        threads=settings.outreach_duckdb_threads,
        folder=settings.home / SPILL_FOLDER,
    )
    return lambda: private_duckdb(limits)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 an edge: a command
