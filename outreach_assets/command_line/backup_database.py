"""`outreach backup database` and what brings one back; folders by policy are in backup.py."""

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import FAILED, PARTLY
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from outreach_assets.steps.private_duckdb import Duck
    from outreach_core.settings import Settings

SPILL_FOLDER = "spill"
Destinations = Annotated[
    list[str] | None, typer.Option("--destination", help="Only these; all that are set up else.")
]


def database(
    destination: Destinations = None,
    *,
    listing: Annotated[bool, typer.Option("--list", help="Show what is there instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Back up the project's tables and the two masters, as Parquet from one snapshot.

    Each destination gets the same version, proven by hash, and keeps old ones by number and days.
    Exit codes: 0 it is everywhere, 3 it is not.

    Examples: `outreach backup database` · `outreach backup database --destination aws_s3 --json` ·
    `outreach backup database --list`
    """
    from outreach_assets.command_line.backup_progress import BackupBars  # noqa: PLC0415
    from outreach_assets.steps.backups.database.run import DatabaseBackup  # noqa: PLC0415
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    if listing:
        _show_versions(settings, destination or [], as_json=as_json)
        return
    with BackupBars() as bars:
        receipt, outcomes = DatabaseBackup(
            postgres=open_neon(settings),
            settings=settings,
            open_duck=_open_duck(settings),
            now=datetime.now(UTC),  # noqa: TID251 the edge
            run_id="",
            progress=bars,
            event=command_event,
        ).run(destination or [])
    if as_json:
        left_out = [vars(one) for one in receipt.left_out]
        print_json({"outcomes": [vars(o) for o in outcomes], "left_out": left_out})
    else:
        print_table(
            f"version {receipt.version}: {len(receipt.tables)} tables, {receipt.rows:,} rows",
            ["destination", "bytes", "removed", "seconds"],
            [[o.destination, o.bytes, len(o.removed), o.seconds] for o in outcomes],
        )
        for outcome in outcomes:
            if outcome.error:
                typer.echo(f"not at {outcome.destination}: {outcome.error}")
        for one in receipt.left_out:
            typer.echo(f"left out: {one.name}: {one.why}")
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(PARTLY)


def restore_database(
    source: Annotated[str, typer.Option("--from", help="The destination it comes from.")],
    to: Annotated[str, typer.Option(help="An empty database, as postgresql:// and its address.")],
    version: Annotated[str | None, typer.Option(help="As in --list; the newest otherwise.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Restore the database into an empty PostgreSQL: rows, keys, triggers, sequences; or nothing.

    Every table is compared by row hash before anything stays. Roles, grants and API tokens do not
    come along.

    Examples: `outreach backup restore-database --from aws_s3 --to "$EMPTY_DATABASE_URL"` ·
    `outreach backup restore-database --from local --version 20261127021500 --to …`
    """
    from outreach_assets.steps.backups.database.restore import Restoring  # noqa: PLC0415
    from outreach_assets.steps.backups.database.run import opened_shelf  # noqa: PLC0415
    from outreach_assets.steps.backups.rclone import rclone_program  # noqa: PLC0415
    from outreach_core.postgres import Postgres  # noqa: PLC0415

    settings = load_settings()
    with opened_shelf(settings, rclone_program(settings.outreach_rclone), source) as shelf:
        restoring = Restoring(
            shelf=shelf, folder=settings.home / SPILL_FOLDER, open_duck=_open_duck(settings)
        )
        done = restoring.into(Postgres(conninfo=to, name="--to"), version)
    if as_json:
        print_json(vars(done))
        return
    typer.echo(f"version {done.version} is back: {done.tables} tables, {done.rows:,} rows, as were")
    for problem in done.breaks:
        typer.echo(f"its audit log was backed up like this: {problem}")


def drill_database(destination: Destinations = None, *, as_json: AsJson = False) -> None:
    """Restore each destination's newest backup into a PostgreSQL of its own, and compare.

    Ends with 1 when one cannot be restored or holds other rows. `outreach backup drills --policy
    neon` is the history.

    Examples: `outreach backup drill-database` · `outreach backup drill-database --json`
    """
    from outreach_assets.steps.backups.database.drill import DatabaseDrill  # noqa: PLC0415
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    drill = DatabaseDrill(
        postgres=open_neon(settings),
        settings=settings,
        open_duck=_open_duck(settings),
        drill_id=secrets.token_hex(8),
        now=datetime.now(UTC),  # noqa: TID251 the edge
        event=command_event,
    )
    found = list(drill.run(destination or []))
    if as_json:
        print_json({"drills": [vars(one) for one in found]})
    else:
        print_table(
            f"{sum(not one.problem for one in found)} of {len(found)} came back as they were",
            ["destination", "version", "tables", "rows", "bytes", "seconds"],
            [[o.destination, o.version, o.tables, o.rows, o.bytes, o.seconds] for o in found],
        )
        for one in found:
            if one.problem:
                typer.echo(f"{one.destination}: {one.problem}")
    if any(one.problem and not one.is_empty for one in found):
        raise typer.Exit(FAILED)


def _show_versions(settings: "Settings", destinations: list[str], *, as_json: bool) -> None:
    from outreach_assets.steps.backups.database.run import opened_shelf, set_up  # noqa: PLC0415
    from outreach_assets.steps.backups.rclone import rclone_program  # noqa: PLC0415
    from outreach_core.errors import RetryableError  # noqa: PLC0415

    program = rclone_program(settings.outreach_rclone)
    found: dict[str, list[str]] = {}
    problems: dict[str, str] = {}
    for name in destinations or set_up(settings):
        try:
            with opened_shelf(settings, program, name) as shelf:
                found[name] = list(shelf.versions())
        except RetryableError as error:
            problems[name] = str(error)
    if as_json:
        print_json({"versions": found, "problems": problems})
    else:
        rows = [[name, version] for name, there in found.items() for version in there]
        print_table(f"{len(rows)} backups of the database", ["destination", "version"], rows)
        for problem in problems.values():
            typer.echo(problem)
    if problems:
        raise typer.Exit(PARTLY)


def _open_duck(settings: "Settings") -> "Callable[[], AbstractContextManager[Duck]]":
    from outreach_assets.steps.private_duckdb import Limits, private_duckdb  # noqa: PLC0415

    limits = Limits(
        memory_mb=settings.outreach_duckdb_memory_mb,
        temp_gb=settings.outreach_duckdb_temp_gb,
        threads=settings.outreach_duckdb_threads,
        folder=settings.home / SPILL_FOLDER,
    )
    return lambda: private_duckdb(limits)
