"""`outreach backup drill`: a sample is restored from everywhere; `drills` is the history of it."""

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outreach_core.drill_table import DrillResult

FILES = 20


def drill_command(
    policy: Annotated[str | None, typer.Option(help="Only the policy of this id.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Only what was brought to this destination.")
    ] = None,
    files: Annotated[
        int, typer.Option(min=1, help="So many of each policy from each destination.")
    ] = FILES,
    seed: Annotated[
        str | None, typer.Option(help="Of an earlier drill, to try the same files again.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Restore a random sample from each destination, and compare it with what was recorded.

    Into an empty folder below OUTREACH_HOME, which is gone afterwards. A destination that fails
    stops no other. Exit codes: 0 every file came back, 3 some did not.

    Examples: `outreach backup drill` · `outreach backup drill --policy docs --to backblaze_b2
    --files 200 --json`
    """
    from outreach_assets.command_line.backup_progress import BackupBars  # noqa: PLC0415
    from outreach_assets.steps.backups.drill import Drill  # noqa: PLC0415 imports psycopg
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    with BackupBars("from") as bars:
        results = Drill(
            postgres=open_neon(settings),
            settings=settings,
            drill_id=secrets.token_hex(8),
            seed=seed or secrets.token_hex(4),
            files=files,
            now=datetime.now(UTC),  # noqa: TID251 the edge
            progress=bars,
            event=command_event,
        ).run(folder_id=policy, destination=to)
    if as_json:
        print_json({"drills": [_as_json(result) for result in results]})
    else:
        passed = sum(result.is_passed for result in results)
        _print_drills(f"{passed} of {len(results)} passed, seed {results[0].seed}", results)
    failed = [f"{one.folder_id} from {one.destination}" for one in results if not one.is_passed]
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(PARTLY)


def drills_command(
    policy: Annotated[str | None, typer.Option(help="Only of the policy of this id.")] = None,
    destination: Annotated[str | None, typer.Option(help="Only from this destination.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest first.")] = 30,
    *,
    as_json: AsJson = False,
) -> None:
    """How restore drills went, the newest first.

    Examples: `outreach backup drills` · `outreach backup drills --destination aws_s3 --json`
    """
    from outreach_core.drill_table import list_drills  # noqa: PLC0415 imports psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415

    neon = open_neon(load_settings())
    found = list_drills(neon, folder_id=policy, destination=destination, limit=limit)
    if as_json:
        print_json({"drills": [_as_json(result) for result in found]})
    else:
        _print_drills(f"{len(found)} drills", found)


def _as_json(result: "DrillResult") -> dict[str, object]:
    return {**vars(result), "bytes_per_second": round(result.bytes_per_second)}


def _print_drills(title: str, results: "Sequence[DrillResult]") -> None:
    print_table(
        title,
        ["when", "policy", "destination", "files", "restored", "bytes", "seconds", "a second", ""],
        [
            [
                *(f"{one.drilled_at:%Y-%m-%d %H:%M}", one.folder_id, one.destination),
                *(one.files, one.restored, one.restored_bytes, f"{one.seconds:.1f}"),
                *(decimal(int(one.bytes_per_second)), "passed" if one.is_passed else "failed"),
            ]
            for one in results
        ],
    )
    for one in results:
        if one.error:
            typer.echo(f"{one.folder_id} from {one.destination}: {one.error}")
