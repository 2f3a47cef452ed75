"""`outreach dev`: everything for a working day, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from outreach_assets.command_line import leash
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.instance import prepare_home
from outreach_core.errors import PermanentError, SettingsError
from outreach_core.sample_choices import ExistingRows, SampleRefusedError, SampleSize

LOOK_EVERY_SECONDS = 0.3


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
    settings = load_settings()
    _refuse_taken(host, port)
    dagster_home = prepare_home(settings)
    if "outreach_ui_url" not in settings.model_fields_set:
        os.environ["OUTREACH_UI_URL"] = f"http://{host}:{port}"  # noqa: TID251 for alerts' links
    if settings.uses_embedded_postgres:
        _sample_when_empty()
    typer.echo("starting Dagster, which takes some seconds …")
    with _dagster(dagster_home, host, port) as dagster:
        while dagster.poll() is None and not _answers(host, port):
            time.sleep(LOOK_EVERY_SECONDS)
        if dagster.poll() is None:
            typer.echo(f"Dagster UI: http://{host}:{port}   (Ctrl-C stops everything)")
        code = dagster.wait()
    raise DevStoppedError(f"Dagster ended by itself with code {code}; its last lines say why")


def _sample_when_empty() -> None:
    from outreach_assets.command_line.database import fill  # noqa: PLC0415

    with suppress(SampleRefusedError):
        facts = fill(load_settings(), size=SampleSize.DEMO, seed=1, existing=ExistingRows.REFUSE)
        typer.echo(f"made up {facts.companies:,} companies and {facts.people:,} people to look at")


@contextmanager
def _dagster(home: Path, host: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`dagster dev`, on a leash that this process holds, and nothing left of it afterwards."""
    from outreach_core.settings import PROJECT_FOLDER  # noqa: PLC0415 see environment.py

    dagster = subprocess.Popen(
        [
            *(sys.executable, "-ES", leash.__file__),
            # It warns that `dg dev` supersedes it, which needs a package more.
            *(sys.executable, "-W", "ignore", "-m", "dagster", "dev"),
            *("--workspace", str(PROJECT_FOLDER / "workspace.yaml")),
            *("--host", host, "--port", str(port)),
            *("--log-level", "warning", "--code-server-log-level", "warning"),
        ],
        # Not the project's folder, where it would warn that the dagster.yaml there is not in use.
        cwd=home,
        stdin=subprocess.PIPE,
        # A group of its own: Ctrl-C reaches us, and we let go of the leash.
        start_new_session=True,
    )
    try:
        yield dagster
    finally:
        if dagster.stdin is not None:
            dagster.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            dagster.wait(leash.STOP_SECONDS + 5)
        with suppress(ProcessLookupError):
            os.killpg(dagster.pid, signal.SIGKILL)
        dagster.wait()


def _refuse_taken(host: str, port: int) -> None:
    """Raise SettingsError when something else listens there: Dagster would take another port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"--host {host} --port {port}: {error.strerror}: choose another --port"
            ) from error


def _answers(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
