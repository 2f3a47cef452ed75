"""`outreach backup`: run the policies, and say which file is where."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line import backup_database
from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.backup_proofs import percent, repair_command, verify_command
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from outreach_assets.steps.backups.back_up import Outcome

app = typer.Typer(
    no_args_is_help=True, help="Folders to several clouds by policy, and the database."
)
app.command("database")(backup_database.database)
app.command("restore-database")(backup_database.restore_database)
app.command("drill-database")(backup_database.drill_database)
app.command("verify")(verify_command)
app.command("repair")(repair_command)


@app.command("run")
def run_command(
    policy: Annotated[str | None, typer.Option(help="Only the policy of this id.")] = None,
    destination: Annotated[str | None, typer.Option(help="Only to this destination.")] = None,
    *,
    new_passphrase: Annotated[
        bool, typer.Option("--new-passphrase", help="Send anew what another has encrypted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring every policy's files to each of its destinations, and prove them by hash.

    What is there already is not sent again: after a failure, run it again and only what failed
    goes. Destinations do not wait for each other. Exit codes: 0 all is there, 3 something is not.

    Examples: `outreach backup run` · `outreach backup run --policy docs --destination aws_s3
    --json`
    """
    from outreach_assets.command_line.backup_progress import BackupBars  # noqa: PLC0415
    from outreach_assets.steps.backups.run import BackupRun  # noqa: PLC0415 imports psycopg
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    with BackupBars() as bars:
        outcomes = BackupRun(
            postgres=open_neon(settings),
            settings=settings,
            now=datetime.now(UTC),  # noqa: TID251 the edge
            progress=bars,
            event=command_event,
            is_new_passphrase=new_passphrase,
        ).run(folder_id=policy, destination=destination)
    if as_json:
        print_json({"outcomes": [{**vars(o), "is_done": o.is_done} for o in outcomes]})
    else:
        _print_outcomes(outcomes)
    if not all(outcome.is_done for outcome in outcomes):
        raise typer.Exit(PARTLY)


@app.command("status")
def status_command(*, as_json: AsJson = False) -> None:
    """How many files of each policy are at each destination, by the last run's proof.

    Examples: `outreach backup status` · `outreach backup status --json`
    """
    from outreach_core.file_destinations import place_summaries  # noqa: PLC0415 imports psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415

    found = place_summaries(open_neon(load_settings()))
    if as_json:
        print_json({"places": [{**p._asdict(), "bytes_share": p.bytes_share} for p in found]})
        return
    print_table(
        f"{len(found)} policies and destinations",
        [
            *("policy", "destination", "synced", "pending", "failed", "deleted", "bytes", "proven"),
            "bytes proven in 30 days",
        ],
        [
            [
                *(place.folder_id, place.destination, place.synced, place.pending, place.failed),
                *(place.deleted, place.synced_bytes),
                f"{place.proven_at:%Y-%m-%d %H:%M}" if place.proven_at else None,
                percent(place.bytes_share),
            ]
            for place in found
        ],
    )
    for place in found:
        if place.error:
            typer.echo(f"{place.folder_id} at {place.destination}: {place.error}")


@app.command("destinations")
def destinations_command(*, as_json: AsJson = False) -> None:
    """Every destination: whether it is set up and answers, and why not.

    Examples: `outreach backup destinations` · `outreach backup destinations --json`
    """
    from outreach_assets.steps.backups.places import unreachable  # noqa: PLC0415
    from outreach_core.destinations import all_destinations  # noqa: PLC0415 imports pydantic

    settings = load_settings()
    found = {
        name: {"place": one.root or None, "problem": unreachable(settings, one)}
        for name, one in all_destinations(settings).items()
    }
    if as_json:
        print_json({"destinations": found})
        return
    print_table(
        f"{len(found)} destinations",
        ["destination", "place", "answers"],
        [[name, says["place"], says["problem"] or "yes"] for name, says in found.items()],
    )


def _print_outcomes(outcomes: "list[Outcome]") -> None:
    print_table(
        f"{sum(o.is_done for o in outcomes)} of {len(outcomes)} done",
        ["policy", "destination", "files", "there", "sent", "removed", "failed", "seconds"],
        [
            [
                *(o.folder_id, o.destination, o.files, o.synced, o.sent, o.removed, o.failed),
                f"{o.seconds:.1f}",
            ]
            for o in outcomes
        ],
    )
    for outcome in outcomes:
        unread = [f"{folder} cannot be listed" for folder in outcome.unread]
        for says in filter(None, [outcome.error, *unread, outcome.left_behind]):
            typer.echo(f"{outcome.folder_id} to {outcome.destination}: {says}")
        if outcome.failed and not outcome.error:
            typer.echo(
                f"{outcome.folder_id} to {outcome.destination}: {outcome.failed:,} files are not "
                "there; `outreach backup status` says why, `outreach backup run` tries them again"
            )
