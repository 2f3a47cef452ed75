"""`outreach alerts`: what is wrong, who was told, and whether telling works."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import FAILED
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.errors import OutreachError, SettingsError

if TYPE_CHECKING:
    from outreach_assets.steps.alerts.causes import Alert
    from outreach_assets.steps.alerts.channels import Channel

MOST = 200

app = typer.Typer(no_args_is_help=True, help="What is wrong, and whom that was told to.")


@app.command("list")
def list_command(
    *,
    only_open: Annotated[bool, typer.Option("--open", help="Only what is wrong now.")] = False,
    as_json: AsJson = False,
) -> None:
    """The newest alerts: what was wrong where, since when, until when, and who was told.

    Examples: `outreach alerts list` · `outreach alerts list --open --json`
    """
    from outreach_assets.steps.alerts.build_channels import build_channels  # noqa: PLC0415
    from outreach_assets.steps.alerts.causes import list_alerts  # noqa: PLC0415 imports psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    found = list_alerts(open_neon(settings), only_open=only_open, most=MOST)
    if as_json:
        print_json({"alerts": [_as_object(alert, settings.outreach_ui_url) for alert in found]})
        return
    names = {channel.key: channel.name for channel in build_channels(settings)}
    print_table(
        f"{len(found)} alerts",
        ["what", "where", "since", "until", "why", "told"],
        [
            [
                " ".join(filter(None, [alert.kind, alert.subject])),
                alert.place,
                f"{alert.opened_at:%Y-%m-%d %H:%M}",
                f"{alert.closed_at:%Y-%m-%d %H:%M}" if alert.closed_at else "open",
                alert.sentence,
                "; ".join(
                    f"{names.get(key, key)}: {_told(said)}"
                    for key, said in alert.deliveries.items()
                ),
            ]
            for alert in found
        ],
    )


@app.command("test")
def send_test(*, as_json: AsJson = False) -> None:
    """Send one test message by each channel that the settings name, and say how it went.

    Exit codes: 0 every channel took it, 1 one did not, 2 no channel is set.

    Example: `outreach alerts test`
    """
    from outreach_assets.steps.alerts.build_channels import build_channels  # noqa: PLC0415

    settings = load_settings()
    channels = build_channels(settings)
    if not channels:
        raise SettingsError(
            "alerts are off: set OUTREACH_ALERT_WEBHOOK_URL, or OUTREACH_ALERT_EMAIL_TO, "
            "OUTREACH_ALERT_EMAIL_FROM and OUTREACH_SMTP_HOST"
        )
    outcomes = {channel.name: _try(channel, settings.outreach_ui_url) for channel in channels}
    if as_json:
        print_json({"channels": {name: error or "sent" for name, error in outcomes.items()}})
    else:
        for name, error in outcomes.items():
            typer.echo(f"{name}: {error or 'sent'}")
    raise typer.Exit(FAILED if any(outcomes.values()) else 0)


def _try(channel: "Channel", ui_url: str) -> str | None:
    from outreach_assets.steps.alerts.channels import Message  # noqa: PLC0415

    title = "test: alerts arrive here"
    says = "Somebody ran `outreach alerts test`. Nothing is wrong."
    try:
        channel.send(Message(title=title, text=f"{title}\n{says}\n{ui_url}"))
    except OutreachError as error:
        return str(error)
    return None


def _told(said: dict[str, str | None]) -> str:
    return said["trouble"] or said["told"] or "not yet"


def _as_object(alert: "Alert", ui_url: str) -> dict[str, Any]:
    return {**alert._asdict(), "link": f"{ui_url.rstrip('/')}/{alert.link}"}
