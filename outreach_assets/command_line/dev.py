"""`outreach dev`: everything for a working day, until Ctrl-C."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Annotated

import typer

from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.instance import prepare_home
from outreach_core.errors import PermanentError
from outreach_core.sample_choices import ExistingRows, SampleRefusedError, SampleSize

STOP_SECONDS = 30


class DevStoppedError(PermanentError):
    """Dagster ended by itself."""


def dev(
    port: Annotated[int, typer.Option(help="The Dagster UI's port.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Where it listens. It has no login: keep it on this machine.")
    ] = "127.0.0.1",
) -> None:
    """Dagster's UI, daemon and code server, with the database they need, until Ctrl-C.

    An empty embedded database gets sample rows first, so that there is something to see.

    Examples: `outreach dev` · `outreach dev --port 3001`
    """
    from outreach_core.settings import PROJECT_FOLDER  # noqa: PLC0415 see environment.py

    settings = load_settings()
    prepare_home(settings)
    if settings.uses_embedded_postgres:
        _sample_when_empty()
    typer.echo(f"Dagster UI: http://{host}:{port}   (Ctrl-C stops everything)")
    dagster = subprocess.Popen(
        [
            *(sys.executable, "-m", "dagster", "dev"),
            *("--workspace", str(PROJECT_FOLDER / "workspace.yaml")),
            *("--host", host, "--port", str(port)),
        ],
        cwd=PROJECT_FOLDER,
        # A group of its own: Ctrl-C reaches us, and we stop it in our own time.
        start_new_session=True,
    )
    try:
        code = dagster.wait()
    finally:
        _stop(dagster)
    raise DevStoppedError(f"Dagster ended by itself with code {code}; its last lines say why")


def _sample_when_empty() -> None:
    from outreach_assets.command_line.database import fill  # noqa: PLC0415

    with suppress(SampleRefusedError):
        facts = fill(load_settings(), size=SampleSize.DEMO, seed=1, existing=ExistingRows.REFUSE)
        typer.echo(f"made up {facts.companies:,} companies and {facts.people:,} people to look at")


def _stop(dagster: "subprocess.Popen[bytes]") -> None:
    """Ask it to stop, and what it started with it; insist after a while."""
    if dagster.poll() is None:
        dagster.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            dagster.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
