"""`outreach backup` where it is about what is there already: prove it, mend it.

Running and listing are in backup.py.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from outreach_assets.steps.backups.repair import Repair
    from outreach_assets.steps.backups.verify import Sample, Verification

SHOWN = 10
"""So many faults of a place are named on a terminal."""

Policy = Annotated[str | None, typer.Option(help="Only the policy of this id.")]
To = Annotated[str | None, typer.Option("--to", help="Only at this destination.")]


def verify_command(
    policy: Policy = None,
    to: To = None,
    sample: Annotated[
        int | None, typer.Option(min=0, help="So many files of each place are read.")
    ] = None,
    share: Annotated[str, typer.Option(help="Or this share of them.")] = "5%",
    *,
    every: Annotated[bool, typer.Option("--all", help="Or every file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Is there still what was there: all of it by hash, and a sample by its bytes.

    Those are read whose last proof by bytes is the oldest: run again and again, it proves all of
    them. What is missing, replaced or damaged is sent again by the next run, or by
    `outreach backup repair`. Exit codes: 0 all is there, 3 something is not, or was not looked at.

    Examples: `outreach backup verify` · `outreach backup verify --policy docs --to aws_s3 --all
    --json`
    """
    from outreach_assets.command_line.backup_progress import BackupBars  # noqa: PLC0415
    from outreach_assets.steps.backups.verify_run import VerifyRun  # noqa: PLC0415 imports psycopg
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    with BackupBars() as bars:
        found = VerifyRun(
            postgres=open_neon(settings),
            settings=settings,
            now=datetime.now(UTC),  # noqa: TID251 the edge
            progress=bars,
            event=command_event,
            sample=_sample(sample, "100%" if every else share),
        ).run(folder_id=policy, destination=to)
    if as_json:
        print_json({"places": [_as_object(one) for one in found]})
    else:
        _print_verified(found)
    if not all(one.is_sound for one in found):
        raise typer.Exit(PARTLY)


def repair_command(policy: Policy = None, to: To = None, *, as_json: AsJson = False) -> None:
    """Bring again what `outreach backup verify` found missing, replaced or damaged, and prove it.

    From the source where it is still the same file, otherwise from another destination. What is
    there instead is written over. Exit codes: 0 nothing is left, 3 something could not be repaired.

    Examples: `outreach backup repair` · `outreach backup repair --policy docs --to aws_s3 --json`
    """
    from outreach_assets.command_line.backup_progress import BackupBars  # noqa: PLC0415
    from outreach_assets.steps.backups.repair_run import RepairRun  # noqa: PLC0415 imports psycopg
    from outreach_core.audit import command_event  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    with BackupBars() as bars:
        done = RepairRun(
            postgres=open_neon(settings),
            settings=settings,
            now=datetime.now(UTC),  # noqa: TID251 the edge
            progress=bars,
            event=command_event,
        ).run(folder_id=policy, destination=to)
    if as_json:
        left = [[file._asdict() for file in one.left] for one in done]
        places = [{**vars(one), "left": files} for one, files in zip(done, left, strict=True)]
        print_json({"places": places})
    else:
        _print_repaired(done)
    if not all(one.is_done for one in done):
        raise typer.Exit(PARTLY)


def percent(share: float | None) -> str | None:
    """`98 %`; not 100 before all of it is."""
    return None if share is None else f"{int(share * 100)} %"


def _sample(files: int | None, share: str) -> "Sample":
    from outreach_assets.steps.backups.verify import Sample  # noqa: PLC0415 imports psycopg

    try:
        found = Sample(files=files, share=float(share.removesuffix("%")) / 100)
    except ValueError:
        found = Sample(share=-1)
    if not 0 <= found.share <= 1:
        raise typer.BadParameter("expected a share such as 5%", param_hint="--share")
    return found


def _as_object(one: "Verification") -> dict[str, object]:
    faults = [fault._asdict() for fault in one.faults]
    return {
        **vars(one),
        "faults": faults,
        "is_sound": one.is_sound,
        "bytes_share": one.bytes_share,
    }


def _print_verified(found: "Sequence[Verification]") -> None:
    print_table(
        f"{sum(one.is_sound for one in found)} of {len(found)} sound",
        [
            *("policy", "destination", "files", "sound", "missing", "replaced", "damaged"),
            *("waiting", "read", "proven in 30 days"),
        ],
        [
            [
                *(one.folder_id, one.destination, one.files, one.sound, one.missing),
                *(one.replaced, one.damaged, one.changed + one.waiting, one.read),
                percent(one.bytes_share),
            ]
            for one in found
        ],
    )
    for one in found:
        for says in _sentences(one):
            typer.echo(f"{one.folder_id} at {one.destination}: {says}")
    if any(one.sound < one.files for one in found):
        typer.echo("mend it with `outreach backup repair`")


def _sentences(one: "Verification") -> Iterable[str]:
    yield from filter(None, [one.error, one.source_error])
    if one.unread:
        yield f"{one.unread:,} files could not be read now: verify again"
    for fault in one.faults[:SHOWN]:
        yield f"{fault.path} is {fault.error}"
    if one.files - one.sound > SHOWN:
        yield f"and {one.files - one.sound - SHOWN:,} more, see `outreach backup verify --json`"


def _print_repaired(done: "Sequence[Repair]") -> None:
    print_table(
        f"{sum(one.repaired for one in done):,} of {sum(one.faults for one in done):,} repaired",
        ["policy", "destination", "faults", "repaired", "from"],
        [
            [one.folder_id, one.destination, one.faults, one.repaired, dict(one.origins)]
            for one in done
        ],
    )
    for one in done:
        where = f"{one.folder_id} at {one.destination}"
        unreachable = [f"nobody could look at {o}: {why}" for o, why in one.unreachable.items()]
        for says in filter(None, [one.error, *(unreachable if one.left else ())]):
            typer.echo(f"{where}: {says}")
        for file in one.left[:SHOWN]:
            typer.echo(f"{where}: {file.path} is as it was: {file.reason}")
        if len(one.left) > SHOWN:
            typer.echo(f"{where}: and {len(one.left) - SHOWN:,} more, see --json")
