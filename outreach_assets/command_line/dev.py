"""`outreach dev`: everything for a working day, until Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.instance import prepare_home
from outreach_assets.command_line.ports import refuse_taken
from outreach_core import leash
from outreach_core.errors import PermanentError
from outreach_core.sample_choices import ExistingRows, SampleRefusedError, SampleSize

LOOK_EVERY_SECONDS = 0.3


class DevStoppedError(PermanentError):
    """Dagster ended by itself."""


def dev(
    port: Annotated[int, typer.Option(help="The Dagster UI's port.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Where it listens. It has no login: keep it on this machine.")
    ] = "127.0.0.1",
    api_port: Annotated[int, typer.Option(help="The HTTP API's port.")] = 8000,
) -> None:
    """Dagster's UI and daemon, and the HTTP API, with the database they need, until Ctrl-C.

    An empty embedded database gets sample rows first, so that there is something to see.

    Examples: `outreach dev` · `outreach dev --port 3001 --api-port 8001`
    """
    settings = load_settings()
    refuse_taken(host, port)
    refuse_taken(host, api_port, option="--api-port")
    dagster_home = prepare_home(settings)
    if "outreach_ui_url" not in settings.model_fields_set:
        os.environ["OUTREACH_UI_URL"] = f"http://{host}:{port}"  # noqa: TID251 for alerts' links
    if settings.uses_embedded_postgres:
        _sample_when_empty()
    typer.echo("starting Dagster, which takes some seconds …")
    with (
        _leashed(_dagster_words(host, port), dagster_home) as dagster,
        _leashed(_api_words(host, api_port), dagster_home) as api,
    ):
        while dagster.poll() is None and not _answers(host, port):
            time.sleep(LOOK_EVERY_SECONDS)
        if dagster.poll() is None:
            typer.echo(f"Dagster UI: http://{host}:{port}   (Ctrl-C stops everything)")
        _watch(dagster, api)
    raise DevStoppedError(
        f"Dagster ended by itself with code {dagster.returncode}; its last lines say why"
    )


def _watch(dagster: "subprocess.Popen[bytes]", api: "subprocess.Popen[bytes]") -> None:
    """Until Dagster has ended. Without the API one can still work, so that is only said."""
    api_is_up = True
    while dagster.poll() is None:
        if api_is_up and api.poll() is not None:
            api_is_up = False
            typer.echo(f"the API ended with code {api.returncode}: `outreach serve` starts it")
        time.sleep(LOOK_EVERY_SECONDS)


def _sample_when_empty() -> None:
    from outreach_assets.command_line.database import fill  # noqa: PLC0415

    with suppress(SampleRefusedError):
        facts = fill(load_settings(), size=SampleSize.DEMO, seed=1, existing=ExistingRows.REFUSE)
        typer.echo(f"made up {facts.companies:,} companies and {facts.people:,} people to look at")


def _dagster_words(host: str, port: int) -> Sequence[str]:
    from outreach_core.settings import PROJECT_FOLDER  # noqa: PLC0415 see environment.py

    return [
        # It warns that `dg dev` supersedes it, which needs a package more.
        *("-W", "ignore", "-m", "dagster", "dev"),
        *("--workspace", str(PROJECT_FOLDER / "workspace.yaml")),
        *("--host", host, "--port", str(port)),
        *("--log-level", "warning", "--code-server-log-level", "warning"),
    ]


def _api_words(host: str, port: int) -> Sequence[str]:
    run = "from outreach_assets.command_line.main import run; run()"
    # One person's browser and client: a second process would only take memory.
    return ["-c", run, "serve", "--host", host, "--port", str(port), "--workers", "1"]


@contextmanager
def _leashed(words: Sequence[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python, on a leash that this process holds, and nothing left of it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-ES", leash.__file__, sys.executable, *words],
        # Not the project's folder, where Dagster would warn that dagster.yaml there is not in use.
        cwd=folder,
        stdin=subprocess.PIPE,
        # A group of its own: Ctrl-C reaches us, and we let go of the leash.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(leash.STOP_SECONDS + 5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
