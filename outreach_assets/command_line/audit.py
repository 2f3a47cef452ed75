"""`outreach audit`: what happened and who did it, and the proof that nobody altered it since."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.states import checked_states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outreach_core.settings import Settings

BROKEN = 1
SHOWN = ("who", "run_id", "state", "status", "released", "job", "key", "keys", "rows", "error")
"""What the table shows of an event's details; --json shows all."""

app = typer.Typer(no_args_is_help=True, help="What happened, who did it, and the proof of both.")


@app.command("list")
def list_command(
    event_type: Annotated[str | None, typer.Option("--type", help="Only this event type.")] = None,
    state: Annotated[str | None, typer.Option("--state", "-s", help="Only of this state.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only of this run, by its id.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Not older, by the database's clock.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """Events, the newest first.

    Examples: `outreach audit list --state WV` · `outreach audit list --since 2026-11-01 --json`
    """
    from outreach_core.audit import EventFilter, latest_events, open_log  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    wanted = EventFilter(
        event_type=event_type,
        state=checked_states([state])[0] if state else None,
        run_id=run,
        since=since,
    )
    with open_log(open_neon(load_settings())) as connection:
        found = latest_events(connection, wanted, limit=limit)
    if as_json:
        print_json({"events": [vars(event) for event in found]})
        return
    rows = [
        [e.chain_position, f"{e.created_at:%Y-%m-%d %H:%M:%S}", e.event_type, _shown(e.details)]
        for e in found
    ]
    print_table(f"{len(found)} events", ["position", "at", "type", "what"], rows)


@app.command("verify")
def verify_command(*, as_json: AsJson = False) -> None:
    """Whether any event was altered, removed or slipped in; exit code 1 when so.

    Every hash is computed again, and compared with what the exported days closed with.

    Example: `outreach audit verify --json`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.audit_export import verify  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    report = verify(open_neon(settings), build_store(settings))
    if as_json:
        print_json({**vars(report), "breaks": [vars(found) for found in report.breaks]})
    elif report.breaks:
        rows = [[found.kind.value, found.position, found.id, found.says] for found in report.breaks]
        print_table("the audit log was changed", ["what", "position", "id", "that is"], rows)
    else:
        typer.echo(
            f"{report.rows:,} events in one chain, and {report.older_rows:,} older ones: all as "
            f"they were written; it ends at position {report.position:,} with {report.closing_hash}"
        )
    raise typer.Exit(BROKEN if report.breaks else 0)


@app.command("export")
def export_command(
    day: Annotated[
        datetime | None,
        typer.Option(help="Only this day (UTC), which must be over.", formats=["%Y-%m-%d"]),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Finished days as Parquet to the store, each once: all that are not there yet.

    Examples: `outreach audit export` · `outreach audit export --day 2026-11-21`
    """
    found = _export(load_settings(), day.date() if day else None)
    if as_json:
        print_json({"days": found})
        return
    rows = [
        [d["day"], d["rows"], d["position"], "uploaded" if d["is_new"] else "there"] for d in found
    ]
    print_table(f"{len(found)} days", ["day (UTC)", "events", "closes at", "object"], rows)


def _export(settings: "Settings", day: date | None) -> "list[Mapping[str, object]]":
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.audit_export import export_day, export_owed  # noqa: PLC0415
    from outreach_assets.steps.private_duckdb import Limits, private_duckdb  # noqa: PLC0415
    from outreach_core.audit import operator  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    postgres, store = open_neon(settings), build_store(settings)
    limits = Limits(
        memory_mb=settings.outreach_duckdb_memory_mb,
        temp_gb=settings.outreach_duckdb_temp_gb,
        threads=settings.outreach_duckdb_threads,
        folder=settings.home / "spill",
    )
    with private_duckdb(limits) as duck:
        if day is None:
            found = export_owed(postgres, store, duck, settings.home, who=operator())
        else:
            found = [export_day(postgres, store, duck, settings.home, day, who=operator())]
    return [vars(closing) for closing in found]


def _shown(details: "Mapping[str, object] | None") -> str:
    return ", ".join(_said(name, details[name]) for name in SHOWN if details and name in details)


def _said(name: str, value: object) -> str:
    if name == "released" and isinstance(value, dict):
        return f"released by {value['by']}: {value['because']}"
    return f"{name} {value}"
