"""`outreach backup restore`: a policy's files back into a folder."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.show import print_json

if TYPE_CHECKING:
    from outreach_assets.steps.backups.restore import Restored

SHOWN = 20
"""So many files are named on a terminal; --json names them all."""


def restore_command(  # noqa: PLR0913 each is an option
    policy: Annotated[str, typer.Argument(help="The id of a policy, also of one removed since.")],
    to: Annotated[Path, typer.Option(help="The folder to restore into; made if need be.")],
    path: Annotated[
        str | None, typer.Option(help="Only this file, or this folder and all below it.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="As it was then, such as 2026-11-20T12:00Z.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="The one destination to take it from, whatever answers first."),
    ] = None,
    *,
    encrypted: Annotated[
        bool | None,
        typer.Option("--encrypted/--plain", help="Which files, of a policy that was switched."),
    ] = None,
    without_database: Annotated[
        bool, typer.Option(help="From what lies at a destination alone, when the database is lost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a policy's files back into a folder, each proven by hash before it is there.

    From the destination that answers first; what is damaged or missing there, from the others. No
    file that differs is ever written over. After a kill run it again: what is whole is not fetched
    twice. Exit codes: 0 all is there, 3 something could not be had.

    Examples: `outreach backup restore docs --to /srv/back` · `outreach backup restore docs --to
    /srv/back --path reports/2026 --at 2026-11-20T12:00Z --from backblaze_b2`
    """
    from outreach_assets.command_line.backup_progress import BackupBars  # noqa: PLC0415
    from outreach_assets.steps.backups.restore import Restore  # noqa: PLC0415 imports psycopg
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings, then = load_settings(), _time(at)
    with BackupBars("from") as bars:
        restored = Restore(
            postgres=None if without_database else open_neon(settings),
            settings=settings,
            folder_id=policy,
            to=to,
            path=path,
            at=then,
            source=source,
            encrypted=encrypted,
            progress=bars,
            event=command_event,
        ).run()
    if as_json:
        print_json({**vars(restored), "is_done": restored.is_done})
    else:
        _print_restored(restored)
    if not restored.is_done:
        raise typer.Exit(PARTLY)


def _time(said: str | None) -> datetime | None:
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise typer.BadParameter("expected a time with its zone, such as 2026-11-20T12:00Z")
    return found.astimezone(UTC)


def _print_restored(restored: "Restored") -> None:
    whence = [f"{count:,} from {name}" for name, count in restored.fetched.items()]
    whence += [f"{restored.resumed:,} fetched before"] if restored.resumed else []
    whence += [f"{restored.there:,} there already"] if restored.there else []
    came = restored.files - len(restored.lacking)
    typer.echo(
        f"{restored.folder_id}: {came:,} of {restored.files:,} files are in {restored.to} "
        f"({', '.join(whence)}); {decimal(restored.fetched_bytes)} in {restored.seconds:.1f} s"
    )
    if restored.version:
        typer.echo(f"as the run of {restored.version} (UTC) left it")
    for name, why in restored.refused.items():
        typer.echo(f"{name} was not used: {why}")
    for name, files in restored.damaged.items():
        _name_files(f"not from {name}", [f"{path}: {why}" for path, why in files.items()])
    _name_files("could not be had anywhere", restored.lacking)
    _name_files("was there then, and a later run did not keep it", restored.lost)
    _name_files("had newer content that was never backed up", restored.outdated)
    if restored.unproven:
        typer.echo(
            f"{restored.unproven:,} files are proven by the hash of the destination alone: neither "
            "the database nor the notes of a run say what they must be"
        )


def _name_files(says: str, names: list[str]) -> None:
    for name in names[:SHOWN]:
        typer.echo(f"{says}: {name}")
    if len(names) > SHOWN:
        typer.echo(f"{says}: {len(names) - SHOWN:,} more, which --json names")
