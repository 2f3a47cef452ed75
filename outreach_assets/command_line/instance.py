"""The Dagster instance that the UI shows, opened by commands as well; where its files lie."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from outreach_core.errors import OutreachError, SettingsError

if TYPE_CHECKING:
    import dagster as dg

    from outreach_core.settings import Settings

DAGSTER_FOLDER = "dagster"
"""Below OUTREACH_HOME: DAGSTER_HOME."""


def prepare_home(settings: "Settings") -> Path:
    """OUTREACH_HOME with DAGSTER_HOME in it, for this process and those it starts.

    Raises SettingsError when it cannot be written to.
    """
    from outreach_core.settings import PROJECT_FOLDER  # noqa: PLC0415 see environment.py

    folder = settings.home / DAGSTER_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT_FOLDER / "dagster.yaml", folder / "dagster.yaml")
    except OSError as error:
        raise SettingsError(
            f"OUTREACH_HOME is {settings.home}, which cannot be written to "
            f"({error.strerror}): name a folder that can"
        ) from error
    os.environ["OUTREACH_HOME"] = str(settings.home)  # noqa: TID251 for the processes we start
    os.environ["DAGSTER_HOME"] = str(folder)  # noqa: TID251 how Dagster is told
    return folder


def open_instance() -> "dg.DagsterInstance":
    """The instance in DAGSTER_HOME; its storage is made when it is not there."""
    import dagster as dg  # noqa: PLC0415 seconds

    return dg.DagsterInstance.get()


def start_database_meanwhile(settings: "Settings") -> Thread:
    """Start the embedded server in the background, while this process imports Dagster."""
    from outreach_core.neon import embedded_server  # noqa: PLC0415

    def start() -> None:
        with suppress(OutreachError):  # whoever needs the server asks again, and reports it
            embedded_server(settings.home).ensure_running()

    thread = Thread(target=start, name="embedded-postgres", daemon=True)
    thread.start()
    return thread
