"""The `outreach` command: which groups there are, and how an error becomes an exit code.

What each command does is in the files beside this one.
"""

import os
import signal
import sys
from types import FrameType

import typer

from outreach_assets.command_line import (
    alerts,
    audit,
    backup,
    backup_drill,
    backup_restore,
    database,
    demo,
    dev,
    doctor,
    failures,
    morning,
    policies,
    refresh,
    rules,
    serve,
    snapshots,
    store,
    tasks,
    tools,
    users,
)
from outreach_core.errors import OutreachError, SettingsError
from outreach_core.states import UnknownStateError

FAILED, WRONG_SETTINGS, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0, and beside 3: a run with states that were not published (refresh.py), a
backup with files that are not there (backups/back_up.py)."""

MISTAKES = (SettingsError, UnknownStateError)
"""What the person at the keyboard asked for wrongly."""


app = typer.Typer(
    name="outreach",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Companies and people from Postgres, judged by rules, published as Parquet.\n\n"
    "Works on this machine alone (an embedded PostgreSQL, a folder) until NEON_* and B2_* name a "
    "database and a bucket; `.env.example` lists every setting.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 done but for some states.",
    epilog="Examples: `outreach demo` · `outreach dev` · `outreach run --state WV` · "
    "`outreach run --all --json` · `outreach doctor`",
)
app.command("demo")(demo.demo)
app.command("dev")(dev.dev)
app.command("run")(refresh.run)
app.command("serve")(serve.serve)
app.command("report")(morning.report)
app.command("doctor")(doctor.doctor)
app.add_typer(
    database.app,
    name="db",
    epilog="Examples: `outreach db status` · `outreach db sample --size demo`",
)
app.add_typer(
    store.app,
    name="store",
    epilog="Examples: `outreach store ls` · `outreach store ls outreach/wv/ --json`",
)
app.add_typer(
    snapshots.app,
    name="snapshots",
    epilog="Examples: `outreach snapshots list` · `outreach snapshots list --state WV`",
)
app.add_typer(
    failures.app,
    name="failures",
    epilog="Examples: `outreach failures export` · `outreach failures stats`",
)
app.add_typer(
    rules.app,
    name="rules",
    epilog="Examples: `outreach rules list` · `outreach rules list --json`",
)
app.add_typer(
    alerts.app,
    name="alerts",
    epilog="Examples: `outreach alerts list --open` · `outreach alerts test`",
)
app.add_typer(
    audit.app,
    name="audit",
    epilog="Examples: `outreach audit list` · `outreach audit verify`",
)
app.add_typer(
    users.app,
    name="users",
    epilog="Examples: `outreach users add anna` · `outreach users list`",
)
app.add_typer(
    tools.app,
    name="tools",
    epilog="Examples: `outreach tools list` · `outreach tools run profile-my-data leads.csv`",
)
app.add_typer(
    tasks.app,
    name="tasks",
    epilog="Examples: `outreach tasks submit leads.csv --tool profile-my-data --wait` · "
    "`outreach tasks list`",
)
app.add_typer(
    policies.app,
    name="policies",
    epilog="Examples: `outreach policies list` · `outreach policies add docs /srv/docs --to local`",
)
backup.app.command("restore")(backup_restore.restore_command)
backup.app.command("drill")(backup_drill.drill_command)
backup.app.command("drills")(backup_drill.drills_command)
app.add_typer(
    backup.app,
    name="backup",
    epilog="Examples: `outreach backup run` · `outreach backup status`",
)


def run() -> None:
    """The entry point: commands raise our errors, and this makes them a sentence and a code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except OutreachError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(WRONG_SETTINGS if isinstance(error, MISTAKES) else FAILED)
    except KeyboardInterrupt:
        typer.secho("stopped", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `outreach … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
